// SPDX-License-Identifier: Apache-2.0
//
// rt3c search: a model, a device and a latency limit in; for every clock the layout that
// meets the limit with the best results out, as a plan.

#include "compiler/Progress.h"
#include "compiler/search/Search.h"
#include "compiler/search/SearchFile.h"
#include "compiler/search/SearchOptions.h"
#include "compiler/verbs/Outputs.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <thread>
#include <unistd.h>

using namespace mlir;
using namespace mlir::rt3;

// How often the plan's densities are lowered when all levels together, which share the order of
// their hidden units, take longer than each did alone.
static constexpr int kMostCorrections = 4;
static constexpr double kCorrection = 0.97;
// Instead of a method, in search.json.
static constexpr llvm::StringLiteral kGivenPlan = "given plan";

// JSON has no NaN.
static llvm::json::Value number(double value) {
  return std::isfinite(value) ? llvm::json::Value(value) : llvm::json::Value(nullptr);
}

namespace {

class SearchRun {
public:
  explicit SearchRun(const SearchVerb &verb) : verb(verb) {}

  ExitCode run() {
    auto made = LevelEvaluator::make(verb.evaluator);
    if (!made) // The others may have theirs, and would wait.
      others.abort(fail(made.takeError()));
    evaluator = std::move(*made);
    evaluations = evaluationsOf(*evaluator);
    std::vector<llvm::Error (SearchRun::*)()> steps;
    if (!verb.plan.empty())
      steps = {&SearchRun::checkOptions, &SearchRun::readPlan, &SearchRun::measureDense, &SearchRun::measurePlan};
    else
      steps = {&SearchRun::checkOptions, &SearchRun::measureDense, &SearchRun::buildSpace, &SearchRun::searchAll,
               &SearchRun::finish};
    llvm::Error error = llvm::Error::success();
    for (auto step : steps)
      if (!error)
        error = (this->*step)();
    if (!error && !isLimitMet)
      return fail(kExitLimit, llvm::Twine("a level of the plan misses the limit: raise --latency-limit or ") +
                                  (verb.plan.empty() ? "lower --min-density" : "prune it further"));
    if (!error)
      return kExitOk;
    ExitCode code = fail(std::move(error));
    others.abort(code); // Nobody waits for the one that has failed.
  }

private:
  const Core &core() const { return evaluator->core(); }
  double powerMw(size_t clock) const { return core().levels[clock].powerMw; }

  std::unique_ptr<Evaluations> evaluationsOf(LevelEvaluator &subject) const {
    int processes = verb.processes ? verb.processes : std::max(1u, std::thread::hardware_concurrency());
    return std::make_unique<Evaluations>(
        verb.out + "/evaluations", subject.key(), processes,
        [&](const llvm::json::Object &job) { return subject.evaluate(job); }, others);
  }

  const std::string &ownType() const { return verb.evaluator.model.type; }
  const std::string &denseType() const { return verb.denseType.empty() ? ownType() : verb.denseType; }
  bool hasOtherDense() const { return denseType() != ownType(); }

  // A model as it is.
  llvm::Expected<LevelResult> denseOf(const LevelEvaluator &subject, Evaluations &ofSubject) const {
    auto results = ofSubject.run({levelJob(searchedLayouts()[0])});
    if (!results)
      return results.takeError();
    auto result = parseLevelResult(results->front(), core().levels.size());
    if (result && (!(result->metric > 0) || !std::isfinite(result->metric)))
      return llvm::createStringError("the dense model's " + subject.metric().name + " is " +
                                     std::to_string(result->metric) +
                                     ": there is nothing to keep; see --data and --task");
    return result;
  }

  // What needs no evaluation is said before the first.
  llvm::Error checkOptions() {
    llvm::StringRef text = verb.limit;
    isLimitRelative = text.consume_back("x");
    if ((!isLimitRelative && !text.consume_back("ms")) || text.getAsDouble(limitNumber) || !(limitNumber > 0) ||
        limitNumber > 1e9)
      return llvm::make_error<onnx::OptionFault>(
          "--latency-limit " + verb.limit + ": expected a time as 12.5ms, or a share of the dense model's at the " +
              "fastest clock as 1.2x",
          llvm::inconvertibleErrorCode());
    for (int64_t frequency : verb.clocks)
      if (auto found = findClock(core(), frequency); !found)
        return llvm::make_error<onnx::OptionFault>("--clocks: " + llvm::toString(found.takeError()),
                                                   llvm::inconvertibleErrorCode());
    return others.rank() == 0 ? checkWritable(verb.out) : llvm::Error::success(); // The first one's disk counts.
  }

  llvm::Error measureDense() {
    auto result = denseOf(*evaluator, *evaluations);
    if (!result)
      return result.takeError();
    ownDense = baseline = *result;
    if (hasOtherDense()) {
      auto other = measureOther(verb.evaluator.model.model, "--dense-type " + denseType());
      if (!other)
        return other.takeError();
      baseline = std::move(*other);
    }
    reference = baseline.metric;
    if (!verb.reference.empty()) {
      auto other = measureOther(verb.reference, "--reference " + verb.reference);
      if (!other)
        return other.takeError();
      reference = other->metric;
    }
    size_t top = core().levels.size() - 1;
    reward.limit = isLimitRelative ? limitNumber * baseline.seconds[top] : limitNumber / 1e3;
    reward.denseEnergyMj = powerMw(top) * baseline.seconds[top];
    auto sayDense = [&](llvm::StringRef name, const LevelResult &model, const std::string &more) {
      say(llvm::formatv("{0} at {1} MHz: {2:f3} ms, {3} mJ, {4} {5:f4}{6}\n", name,
                        core().levels[top].frequencyKhz / 1000, 1e3 * model.seconds[top],
                        energyText(powerMw(top) * model.seconds[top]), evaluator->metric().name, model.metric, more));
    };
    sayDense(denseName(), baseline, llvm::formatv("; limit {0:f3} ms", 1e3 * reward.limit));
    if (hasOtherDense())
      sayDense("dense " + ownType(), ownDense, "");
    if (!verb.reference.empty())
      say(llvm::formatv("{0}: {1} {2:f4}\n", printable(verb.reference), evaluator->metric().name, reference));
    return llvm::Error::success();
  }

  // What another model is compared with: the dense one of another type; or that before training, which changes
  // the dense model, too. `option` has asked for it.
  llvm::Expected<LevelResult> measureOther(const std::string &path, const std::string &option) {
    auto fault = [&](llvm::Error error) -> llvm::Error {
      bool isOption = error.isA<onnx::OptionFault>();
      std::string text = option + ": " + llvm::toString(std::move(error));
      if (isOption)
        return llvm::make_error<onnx::OptionFault>(text, llvm::inconvertibleErrorCode());
      return llvm::createStringError(text);
    };
    LevelEvaluatorOptions options = verb.evaluator;
    options.model.model = path;
    options.model.type = denseType();
    if (options.model.type == "f32")
      options.model.keepF32.clear();
    auto other = LevelEvaluator::make(options);
    if (!other)
      return fault(other.takeError());
    auto result = denseOf(**other, *evaluationsOf(**other));
    if (!result)
      return fault(result.takeError());
    return result;
  }

  // Of a given plan: whether it is one for this device and type, before anything takes long.
  llvm::Error readPlan() {
    auto read = readPlanFolder(verb.plan);
    if (!read)
      return read.takeError();
    given = std::move(*read);
    auto wrong = [&](const llvm::Twine &what) { return llvm::createStringError("--plan " + verb.plan + ": " + what); };
    if (given.precision != verb.evaluator.model.type)
      return wrong("is of --type " + given.precision + ", expected " + verb.evaluator.model.type);
    if (given.levels.levels.size() > kMostLevels)
      return wrong("has " + llvm::Twine(given.levels.levels.size()) + " levels, expected up to " +
                   llvm::Twine(kMostLevels));
    for (const LevelSpec &level : given.levels.levels)
      if (auto clock = findClock(core(), level.frequencyKhz); !clock)
        return wrong("level " + level.name + ": " + llvm::toString(clock.takeError()) +
                     "; frequency_khz of the levels says which are meant");
    return llvm::Error::success();
  }

  // What the given levels come to at their clocks; nothing is chosen.
  llvm::Error measurePlan() {
    if (others.rank() != 0)
      return llvm::Error::success();
    Progress progress("measuring the plan", 1);
    auto results = evaluator->evaluatePlan(given);
    if (!results)
      return results.takeError();
    return write(given, kGivenPlan, *results);
  }

  // What each layout can do at each clock, and which clocks to use.
  llvm::Error buildSpace() {
    std::vector<llvm::json::Object> jobs;
    for (size_t layout = 1; layout < searchedLayouts().size(); ++layout)
      jobs.push_back(curveJob(layout, verb.minDensity));
    Progress progress("predicting layouts", jobs.size());
    auto results = evaluations->run(jobs, [&](size_t done, size_t) { progress.show(done); });
    if (!results)
      return results.takeError();
    std::vector<TimeCurve> curves{{{1}, {ownDense.seconds}, {}}};
    for (const llvm::json::Object &result : *results)
      if (auto curve = parseCurve(result, core().levels.size()))
        curves.push_back(std::move(*curve));
      else
        return curve.takeError();
    // With all of its weights, a layout is the dense one.
    curves[0].narrow = {curves[1].narrow.back()};
    auto clocks = chooseClocks(curves);
    if (!clocks)
      return clocks.takeError();
    std::vector<SearchLevel> levels;
    for (size_t clock : *clocks) {
      SearchLevel level{clock, {}};
      bool isDensePossible = ownDense.seconds[clock] <= reward.limit;
      for (size_t layout = 0; layout < curves.size(); ++layout)
        if (auto density = largestDensity(curves[layout], clock, reward.limit))
          // Where dense can meet the limit, so that nothing is lost, what keeps all has no use.
          if (layout == 0 || !isDensePossible || *density < 1)
            level.layouts.push_back({layout, *density});
      if (level.layouts.empty())
        return llvm::make_error<onnx::OptionFault>("--latency-limit " + verb.limit + ": " +
                                                       whyTooSlow(curves, core(), clock, reward.limit),
                                                   llvm::inconvertibleErrorCode());
      for (const FeasibleLayout &wide : level.layouts) {
        if (evaluator->narrowLayers().empty())
          break;
        std::vector<double> &row = level.mixed.emplace_back();
        for (size_t narrow = 0; narrow < curves.size(); ++narrow) {
          double most = largestDensity(combine(curves[wide.layout], curves[narrow]), clock, reward.limit).value_or(0);
          bool isMix = wide.layout != 0 && narrow != wide.layout && (!isDensePossible || most < 1);
          row.push_back(isMix ? most : 0);
        }
      }
      std::string text = llvm::formatv("at {0} MHz:", core().levels[clock].frequencyKhz / 1000);
      for (const FeasibleLayout &feasible : level.layouts)
        text += llvm::formatv(" {0} {1:f0} %;", layoutName(searchedLayouts()[feasible.layout]), 100 * feasible.density);
      say(text + "\n");
      levels.push_back(std::move(level));
    }
    space = SearchSpace(std::move(levels), core(), verb.minDensity, evaluator->narrowLayers());
    return llvm::Error::success();
  }

  // Given clocks, or so many evenly from the slowest that a level can use to the fastest.
  llvm::Expected<std::vector<size_t>> chooseClocks(const std::vector<TimeCurve> &curves) {
    const std::vector<ClockLevel> &all = core().levels;
    std::vector<size_t> clocks;
    if (!verb.clocks.empty()) {
      for (size_t i = 0; i < all.size(); ++i)
        if (llvm::is_contained(verb.clocks, all[i].frequencyKhz))
          clocks.push_back(i);
      return clocks;
    }
    // Slower than where an inference takes the least energy, nothing is gained.
    size_t cheapest = 0;
    bool isPowerKnown = llvm::all_of(all, [](const ClockLevel &clock) { return clock.powerMw > 0; });
    for (size_t i = 0; isPowerKnown && i < all.size(); ++i)
      if (powerMw(i) * ownDense.seconds[i] < powerMw(cheapest) * ownDense.seconds[cheapest])
        cheapest = i;
    for (size_t i = 0; i < cheapest; ++i)
      dropped.push_back(llvm::formatv("{0} MHz takes {1:f2} mJ for the dense model, while {2} MHz takes {3:f2} mJ",
                                      all[i].frequencyKhz / 1000, powerMw(i) * ownDense.seconds[i],
                                      all[cheapest].frequencyKhz / 1000,
                                      powerMw(cheapest) * ownDense.seconds[cheapest]));
    for (const std::string &why : dropped)
      say("left out: " + why + "\n");
    size_t slowest = cheapest;
    auto isFeasible = [&](size_t clock) {
      return llvm::any_of(
          curves, [&](const TimeCurve &curve) { return largestDensity(curve, clock, reward.limit).has_value(); });
    };
    while (slowest + 1 < all.size() && !isFeasible(slowest))
      ++slowest;
    double low = all[slowest].frequencyKhz, high = all.back().frequencyKhz;
    for (int64_t i = 0; i < verb.levels; ++i) {
      double wanted = verb.levels == 1 ? high : low + (high - low) * i / (verb.levels - 1);
      size_t nearest = slowest;
      for (size_t c = slowest; c < all.size(); ++c)
        if (std::abs(all[c].frequencyKhz - wanted) < std::abs(all[nearest].frequencyKhz - wanted))
          nearest = c;
      if (clocks.empty() || clocks.back() != nearest)
        clocks.push_back(nearest);
    }
    return clocks;
  }

  size_t clockOf(const LevelSpec &spec) const {
    size_t clock = 0;
    while (core().levels[clock].frequencyKhz != spec.frequencyKhz)
      ++clock;
    return clock;
  }

  LevelValue valueOf(const LevelSpec &spec, const LevelResult &result) const {
    size_t clock = clockOf(spec);
    double quality = evaluator->metric().isBetterHigher ? result.metric / reference : reference / result.metric;
    return {spec, quality, result.metric, result.seconds[clock], powerMw(clock) * result.seconds[clock], {}};
  }

  llvm::Error searchAll() {
    std::vector<std::string> methods = {verb.method};
    if (verb.method == "all")
      methods = methodNames();
    auto evaluate = [&](const std::vector<LevelSpec> &specs) -> llvm::Expected<std::vector<LevelValue>> {
      std::vector<llvm::json::Object> jobs;
      for (const LevelSpec &spec : specs)
        jobs.push_back(levelJob(spec));
      auto found = evaluations->run(jobs);
      if (!found)
        return found.takeError();
      std::vector<LevelValue> values;
      for (size_t i = 0; i < specs.size(); ++i) {
        auto result = parseLevelResult((*found)[i], core().levels.size());
        if (!result)
          return result.takeError();
        values.push_back(valueOf(specs[i], *result));
      }
      return values;
    };
    for (const std::string &method : methods)
      for (int64_t repeat = 0; repeat < verb.repeats; ++repeat) {
        uint64_t seed = verb.seed + repeat;
        std::optional<Progress> progress(std::in_place, method + ", seed " + std::to_string(seed), verb.budget);
        auto result = search(space, method, seed, verb.budget, reward, evaluate, others, [&](const SearchResult &now) {
          const Trial &best = now.trials[now.best];
          std::string note = llvm::formatv("best reward {0:f4}, limit", best.reward);
          for (const LevelValue &level : best.levels)
            note += level.seconds <= reward.limit ? " met" : " missed";
          progress->show(now.trials.size(), note);
        });
        progress.reset(); // Its line makes room for what is said.
        if (!result)
          return result.takeError();
        say(llvm::formatv("{0}, seed {1}: best reward {2:f4} after {3} of {4} evaluations\n", method, seed,
                          result->trials[result->best].reward, result->best + 1, result->trials.size()));
        found.push_back(std::move(*result));
      }
    compareMethods(methods);
    return llvm::Error::success();
  }

  void compareMethods(const std::vector<std::string> &methods) {
    if (verb.repeats < 2)
      return;
    for (const std::string &method : methods) {
      SearchStatistics statistics = statisticsOf(found, method);
      say(llvm::formatv("{0,-10} best reward {1:f4} +- {2:f4} (95 %, {3} seeds), mean on the way {4:f4}\n", method,
                        statistics.mean, statistics.halfInterval, verb.repeats, statistics.meanOnTheWay));
      comparison.push_back(llvm::json::Object{{"method", method},
                                              {"mean", statistics.mean},
                                              {"half_interval", statistics.halfInterval},
                                              {"seeds", verb.repeats},
                                              {"mean_on_the_way", statistics.meanOnTheWay}});
    }
  }

  // The plan of the best levels, with the measured truth about it.
  llvm::Error finish() {
    const SearchResult *bestResult = &found.front();
    for (const SearchResult &result : found)
      if (result.trials[result.best].reward > bestResult->trials[bestResult->best].reward)
        bestResult = &result;
    if (others.rank() != 0)
      return llvm::Error::success();
    std::vector<LevelValue> best = bestLevels(found, reward);
    if (double now = rewardOf(best, reward); now > bestResult->trials[bestResult->best].reward)
      say(llvm::formatv("levels of several candidates together: reward {0:f4}\n", now));
    LevelPlan plan;
    for (const LevelValue &level : best)
      plan.levels.push_back(level.spec);
    for (int correction = 0;; ++correction) {
      Progress progress("pruning the plan", 1);
      auto made = evaluator->makePlan(plan);
      if (!made)
        return made.takeError();
      bool isMet = true;
      for (size_t i = 0; i < plan.levels.size(); ++i)
        if (valueOf(plan.levels[i], made->levels[i]).seconds > reward.limit && plan.levels[i].scheme != Scheme::Dense) {
          isMet = false;
          plan.levels[i].density =
              std::max(verb.minDensity, std::floor(plan.levels[i].density * kCorrection * 100) / 100);
        }
      if (isMet || correction == kMostCorrections)
        return write(made->plan, bestResult->method, made->levels);
    }
  }

  // Writes the folder of a plan, and prints what its levels come to.
  llvm::Error write(const Plan &plan, llvm::StringRef method, const std::vector<LevelResult> &results) {
    std::vector<LevelValue> levels;
    for (auto [spec, result] : llvm::zip_equal(plan.levels.levels, results)) {
      levels.push_back(valueOf(spec, result));
      levels.back().spec.density = keptShare(plan, levels.size() - 1);
      levels.back().clockSeconds = result.seconds;
    }
    isLimitMet = llvm::all_of(levels, [&](const LevelValue &level) { return level.seconds <= reward.limit; });
    // Few rows tell levels that are near each other badly apart: it is said, and nothing is done about it.
    for (auto [level, better] : llvm::enumerate(bestUpTo(levels)))
      if (better != level)
        overtaken.push_back(llvm::formatv("{0} MHz measures worse than {1} MHz ({2} {3:f4}, not {4:f4}): the latter's "
                                          "level would take {5:f3} ms there",
                                          levels[level].spec.frequencyKhz / 1000,
                                          levels[better].spec.frequencyKhz / 1000, evaluator->metric().name,
                                          levels[level].metric, levels[better].metric,
                                          1e3 * levels[better].clockSeconds[clockOf(levels[level].spec)]));
    auto [json, weights] = writePlan(plan);
    std::string levelsText = llvm::formatv("{0:2}\n", llvm::json::Value(levelsJson(plan.levels)));
    std::string history = llvm::formatv("{0}\n", llvm::json::Value(resultJson(method, levels)));
    if (llvm::Error error = writeFiles(verb.out, {{kPlanJson.str(), json},
                                                  {kPlanWeights.str(), weights},
                                                  {"levels.json", levelsText},
                                                  {"search.json", history}}))
      return error;
    print(levels);
    for (const std::string &text : overtaken)
      llvm::outs() << text << "\n";
    return llvm::Error::success();
  }

  void print(const std::vector<LevelValue> &levels) const {
    llvm::outs() << llvm::formatv("{0,8} {1,-28} {2,8} {3,10} {4,9} {5,10} {6,-6} {7,9} {8,8}\n", "MHz", "layout",
                                  "kept", evaluator->metric().name, "loss", "ms", "limit", "mJ", "runs");
    for (const LevelValue &level : levels)
      llvm::outs() << llvm::formatv("{0,8} {1,-28} {2,6:f0} % {3,10:f4} {4,7:f2} % {5,10:f3} {6,-6} {7,9} {8,8}\n",
                                    level.spec.frequencyKhz / 1000, layoutNames(level.spec), 100 * level.spec.density,
                                    level.metric, lossPercent(level.quality), 1e3 * level.seconds,
                                    level.seconds <= reward.limit ? "met" : "missed", energyText(level.energyMj),
                                    runsText(reward.denseEnergyMj, level.energyMj));
    llvm::outs() << "written to " << printable(verb.out)
                 << ": plan.json, plan.weights, levels.json, search.json; loss: 1 - metric / "
                 << (!verb.reference.empty() ? "that of " + printable(verb.reference) : denseName())
                 << (evaluator->metric().isBetterHigher ? "" : " turned round, because less is better")
                 << "; runs: per charge, over " << denseName() << " at the fastest clock\n";
  }

  std::string denseName() const { return hasOtherDense() ? "dense " + denseType() : "dense"; }

  static llvm::json::Array levelsOf(const std::vector<LevelValue> &levels) {
    llvm::json::Array list;
    for (const LevelValue &level : levels) {
      int64_t sample = level.spec.patternSample; // The same in all layouts that have patterns.
      for (const NamedLayout &named : level.spec.layers)
        sample = std::max(sample, named.layout.patternSample);
      llvm::json::Object entry{{"level", level.spec.name},
                               {"frequency_khz", level.spec.frequencyKhz},
                               {"layout", layoutNames(level.spec)},
                               {"density", level.spec.density},
                               {"sample", sample},
                               {"metric", number(level.metric)},
                               {"quality", number(level.quality)},
                               {"seconds", level.seconds},
                               {"energy_mj", level.energyMj}};
      if (!level.clockSeconds.empty())
        entry["clock_seconds"] = llvm::json::Array(level.clockSeconds);
      list.push_back(std::move(entry));
    }
    return list;
  }

  llvm::json::Object resultJson(llvm::StringRef method, const std::vector<LevelValue> &levels) const {
    llvm::json::Array runs;
    for (const SearchResult &result : found) {
      llvm::json::Array trials;
      for (const Trial &trial : result.trials)
        trials.push_back(llvm::json::Object{{"reward", trial.reward}, {"levels", levelsOf(trial.levels)}});
      runs.push_back(llvm::json::Object{{"method", result.method},
                                        {"seed", int64_t(result.seed)},
                                        {"best", int64_t(result.best)},
                                        {"trials", std::move(trials)}});
    }
    llvm::json::Array denseClocks;
    for (size_t i = 0; i < core().levels.size(); ++i)
      denseClocks.push_back(llvm::json::Object{{"frequency_khz", core().levels[i].frequencyKhz},
                                               {"power_mw", powerMw(i)},
                                               {"seconds", baseline.seconds[i]},
                                               {"own_seconds", ownDense.seconds[i]}});
    return llvm::json::Object{{"format", "rt3-search"},
                              {"version", 1},
                              {"model", llvm::json::fixUTF8(verb.evaluator.model.model)},
                              {"task", verb.evaluator.task},
                              {"metric", evaluator->metric().name},
                              {"device", evaluator->chip().name},
                              {"core", core().name},
                              {"limit_seconds", reward.limit},
                              {"type", ownType()},
                              {"dense_type", denseType()},
                              {"dense_metric", baseline.metric},
                              {"own_dense_metric", ownDense.metric},
                              {"reference", llvm::json::fixUTF8(verb.reference)},
                              {"reference_metric", reference},
                              {"dense_energy_mj", reward.denseEnergyMj},
                              {"dense_clocks", std::move(denseClocks)},
                              {"left_out", llvm::json::Array(dropped)},
                              {"overtaken", llvm::json::Array(overtaken)},
                              {"method", method},
                              {"levels", levelsOf(levels)},
                              {"comparison", llvm::json::Array(comparison)},
                              {"runs", std::move(runs)}};
  }

  void say(const llvm::Twine &text) const {
    if (others.rank() == 0)
      (llvm::outs() << text).flush();
  }

  const SearchVerb &verb;
  Communicator others;
  std::unique_ptr<LevelEvaluator> evaluator;
  std::unique_ptr<Evaluations> evaluations;
  LevelResult ownDense;         // The dense model of the levels' type.
  LevelResult baseline;         // The dense model that limits, losses and runs are to.
  bool isLimitRelative = false; // To the dense model's time at the fastest clock; else in ms.
  double limitNumber = 0;
  double reference = 0; // Metric that losses are to: the baseline's, if no other is given.
  Plan given;           // --plan.
  RewardOptions reward;
  SearchSpace space;
  std::vector<std::string> dropped, overtaken; // For people: clocks left out; levels that slower ones are better than.
  std::vector<SearchResult> found;
  llvm::json::Array comparison;
  bool isLimitMet = true; // By the plan.
};

} // namespace

int main(int argc, char **argv) {
  SearchVerb verb;
  CLI::App app("rt3c search finds, for every clock of a device, what to prune so that a latency limit is met");
  app.name("rt3c search");
  app.footer("exit codes: 0 ok, 1 internal, 2 usage, 3 unsupported model, 4 bad input file, 5 limit, 6 mismatch");
  addSearchOptions(app, verb);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &asked) {
    app.exit(asked);
    return kExitOk;
  } catch (const CLI::ParseError &error) {
    return fail(kExitUsage, faultOf(app, error) + "; see rt3c search --help");
  }
  return SearchRun(verb).run();
}
