// SPDX-License-Identifier: Apache-2.0

#include "compiler/report/Report.h"

#include "compiler/report/Svg.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <map>
#include <set>

using namespace mlir::rt3;
using llvm::formatv;

// What is shown of lists that could be of any length.
static constexpr size_t kMostLayers = 400, kMostPatterns = 32, kMostSets = 64;

static constexpr const char *kStyle = R"css(
body { font: 15px/1.45 system-ui, sans-serif; color: #1d1d1f; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0; } th, td { padding: .2rem .7rem; border-bottom: 1px solid #d8d8dc; text-align: right; }
td { white-space: nowrap; } td.text { white-space: normal; } th { font-weight: 600; } td:first-child, th:first-child, td.text, th.text { text-align: left; }
.scroll { overflow-x: auto; } .missed { color: #b00020; font-weight: 600; }
svg { max-width: 40rem; width: 100%; height: auto; display: block; margin: .8rem 0; }
svg text { font: 11px system-ui, sans-serif; fill: #333; } svg .title { font-weight: 600; font-size: 13px; }
svg .grid { stroke: #e3e3e8; } svg .limit { stroke: #b00020; stroke-dasharray: 5 4; }
svg.pattern { display: inline-block; width: auto; margin: 3px; } .kept { fill: #0072b2; } .gone { fill: #e8e8ee; }
.note { color: #555; }
)css";

llvm::Expected<std::optional<SimulationFile>> mlir::rt3::readSimulation(const std::string &folder) {
  std::string path = folder + "/simulation.json";
  if (!llvm::sys::fs::exists(path))
    return std::nullopt;
  auto text = readFile(path);
  if (!text)
    return text.takeError();
  auto value = parseJson(*text);
  if (!value)
    return llvm::createStringError(path + ": " + llvm::toString(value.takeError()));
  const llvm::json::Object *object = value->getAsObject();
  const llvm::json::Array *list = object ? object->getArray("strategies") : nullptr;
  if (!list || object->getString("format") != llvm::StringRef("rt3-simulation") || object->getInteger("version") != 1)
    return llvm::createStringError(path + ": is not version 1 of what rt3c simulate writes");
  SimulationFile file;
  file.battery = object->getString("battery").value_or("").str();
  file.batteryWh = object->getNumber("battery_wh").value_or(0);
  file.temperature = object->getNumber("temperature").value_or(0);
  file.deadlineSeconds = object->getNumber("deadline_seconds").value_or(0);
  file.periodSeconds = object->getNumber("period_seconds").value_or(0);
  file.idleWatts = object->getNumber("idle_watts").value_or(0);
  file.jitter = object->getNumber("jitter").value_or(0);
  file.trace = object->getString("trace").value_or("").str();
  for (const llvm::json::Value &entry : *list) {
    const llvm::json::Object *strategy = entry.getAsObject();
    const llvm::json::Array *curve = strategy ? strategy->getArray("curve") : nullptr;
    if (!curve || !strategy->getString("strategy"))
      return llvm::createStringError(path + ": a strategy has no name or no curve");
    SimulatedStrategy found;
    found.name = strategy->getString("strategy")->str();
    found.note = strategy->getString("note").value_or("").str();
    found.runs = strategy->getNumber("runs").value_or(0);
    found.requests = strategy->getNumber("requests").value_or(0);
    found.misses = strategy->getNumber("misses").value_or(0);
    found.seconds = strategy->getNumber("seconds").value_or(0);
    for (const llvm::json::Value &point : *curve) {
      const llvm::json::Array *pair = point.getAsArray();
      if (!pair || pair->size() != 2 || !(*pair)[0].getAsNumber() || !(*pair)[1].getAsNumber())
        return llvm::createStringError(path + ": a point of a curve is not two numbers");
      found.curve.emplace_back(*(*pair)[0].getAsNumber(), *(*pair)[1].getAsNumber());
    }
    file.strategies.push_back(std::move(found));
  }
  return file;
}

// Accuracy over time and over energy: every evaluated level once, by its clock.
static std::pair<Chart, Chart> paretoCharts(const SearchFile &search) {
  std::map<size_t, std::map<std::string, const FoundLevel *>> byClock;
  for (const FoundRun &run : search.runs)
    for (const FoundTrial &trial : run.trials)
      for (const FoundLevel &level : trial.levels)
        byClock[level.clock][formatv("{0} {1} {2}", level.layout, level.density, level.metric)] = &level;
  std::string where = search.device + ", core " + search.core;
  Chart time{"Accuracy and latency: " + where,
             "predicted ms at the level's clock",
             search.metric,
             {},
             1e3 * search.limitSeconds,
             "limit"};
  Chart energy{"Accuracy and energy: " + where, "predicted mJ per inference", search.metric, {}, std::nullopt, ""};
  auto label = [&](const FoundLevel &level) {
    return formatv("{0} MHz, {1}, {2:f0} %: {3:f4}", search.denseClocks[level.clock].frequencyKhz / 1000, level.layout,
                   100 * level.density, level.metric)
        .str();
  };
  auto add = [&](const FoundLevel &level, ChartSeries &times, ChartSeries &energies) {
    times.points.push_back({1e3 * level.clockSeconds[level.clock], level.metric, label(level)});
    if (level.energyMj > 0)
      energies.points.push_back({level.energyMj, level.metric, label(level)});
  };
  for (auto &[clock, levels] : byClock) {
    std::string name = formatv("{0} MHz", search.denseClocks[clock].frequencyKhz / 1000);
    ChartSeries times{name, {}}, energies{name, {}};
    for (auto &[key, level] : levels)
      add(*level, times, energies);
    time.series.push_back(std::move(times));
    energy.series.push_back(std::move(energies));
  }
  ChartSeries times{"chosen", {}, false, true}, energies = times;
  for (const FoundLevel &level : search.levels)
    add(level, times, energies);
  time.series.push_back(std::move(times));
  energy.series.push_back(std::move(energies));
  return {std::move(time), std::move(energy)};
}

std::string mlir::rt3::reportPicture(const SearchFile &search) {
  auto [time, energy] = paretoCharts(search);
  return standaloneSvg(search.denseEnergyMj > 0 ? energy : time);
}

namespace {

class Page {
public:
  explicit Page(const ReportContents &contents) : contents(contents), search(contents.search), out(html) {}

  std::string make() {
    out << "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
           "<link rel=\"icon\" href=\"data:,\">\n<title>RT3: "
        << escapeHtml(search.model) << "</title>\n<style>" << kStyle << "</style>\n</head>\n<body>\n";
    addLevels();
    addPareto();
    addHistory();
    addBattery();
    addPatterns();
    addLayers();
    out << "</body>\n</html>\n";
    return std::move(html);
  }

private:
  void addLevels() {
    out << "<h1>Levels of " << escapeHtml(search.model) << "</h1>\n";
    out << formatv("<p>{0}, core {1}. Every inference has {2:f3} ms; the dense model takes {3:f3} ms and {4} mJ at "
                   "{5} MHz. Task: {6}, {7} of the dense model {8:f4}. Times and energies are predictions.</p>\n",
                   escapeHtml(search.device), escapeHtml(search.core), 1e3 * search.limitSeconds,
                   1e3 * search.denseClocks.back().denseSeconds, energyText(search.denseEnergyMj),
                   search.denseClocks.back().frequencyKhz / 1000, escapeHtml(search.task), escapeHtml(search.metric),
                   search.denseMetric);
    if (search.hasOtherDense())
      out << formatv("<p class=\"note\">The dense model, to which {0} are, is of type {1}; "
                     "levels are of type {2}, in which the dense model takes {3:f3} ms there: {4} {5:f4}.</p>\n",
                     search.reference.empty() ? "losses and runs per charge" : "runs per charge",
                     escapeHtml(search.denseType), escapeHtml(search.type), 1e3 * search.denseClocks.back().ownSeconds,
                     escapeHtml(search.metric), search.ownDenseMetric);
    if (!search.reference.empty())
      out << formatv("<p class=\"note\">Losses are to {0}: {1} {2:f4}.</p>\n", escapeHtml(search.reference),
                     escapeHtml(search.metric), search.referenceMetric);
    out << "<div class=\"scroll\"><table>\n<tr><th>MHz</th><th class=\"text\">layout</th><th>kept</th><th>"
        << escapeHtml(search.metric) << "</th><th>loss</th><th>ms</th><th>mJ</th><th>runs per charge</th></tr>\n";
    for (const FoundLevel &level : search.levels) {
      double seconds = level.clockSeconds[level.clock];
      out << formatv("<tr><td>{0}</td><td class=\"text\">{1}</td><td>{2:f0} %</td><td>{3:f4}</td><td>{4:f2} %</td>"
                     "<td{5}>{6:f3}</td><td>{7}</td><td>{8}</td></tr>\n",
                     search.denseClocks[level.clock].frequencyKhz / 1000, escapeHtml(level.layout), 100 * level.density,
                     level.metric, lossPercent(level.quality), seconds > search.limitSeconds ? " class=\"missed\"" : "",
                     1e3 * seconds, energyText(level.energyMj), runsText(search.denseEnergyMj, level.energyMj));
    }
    out << "</table></div>\n";
    for (const std::string &why : search.leftOut)
      out << "<p class=\"note\">Left out, because slower takes more energy: " << escapeHtml(why) << ".</p>\n";
    for (const std::string &text : search.overtaken)
      out << "<p class=\"note\">" << escapeHtml(text) << ".</p>\n";
  }

  void addPareto() {
    auto [time, energy] = paretoCharts(search);
    out << "<h2>Accuracy, latency, energy</h2>\n" << svgChart(time) << svgChart(energy);
  }

  // The best reward so far, a line per method: the mean over its seeds.
  void addHistory() {
    if (search.runs.empty()) {
      out << "<h2>Search</h2>\n<p class=\"note\">Nothing was searched: the levels are those of a given plan.</p>\n";
      return;
    }
    std::map<std::string, std::vector<const FoundRun *>> byMethod;
    for (const FoundRun &run : search.runs)
      byMethod[run.method].push_back(&run);
    Chart chart{"Best reward so far", "evaluations", "reward", {}, std::nullopt, ""};
    for (auto &[method, runs] : byMethod) {
      size_t most = 0;
      for (const FoundRun *run : runs)
        most = std::max(most, run->trials.size());
      std::vector<double> best(runs.size(), -1);
      ChartSeries series{
          runs.size() > 1 ? formatv("{0}, mean of {1} seeds", method, runs.size()).str() : method, {}, true};
      for (size_t i = 0; i < most; ++i) {
        double sum = 0;
        for (size_t r = 0; r < runs.size(); ++r) {
          if (i < runs[r]->trials.size())
            best[r] = std::max(best[r], runs[r]->trials[i].reward);
          sum += best[r];
        }
        // The first few are chance and would take all of the height.
        if (i + 1 >= 4 || most < 8)
          series.points.push_back({double(i + 1), sum / runs.size(), ""});
      }
      chart.series.push_back(std::move(series));
    }
    out << "<h2>Search</h2>\n" << svgChart(chart);
    if (search.comparison.empty())
      return;
    out << "<table>\n<tr><th>method</th><th>best reward, mean</th><th>95 % interval</th><th>seeds</th></tr>\n";
    const MethodSummary *best = &search.comparison.front(), *random = nullptr, *rl = nullptr;
    for (const MethodSummary &method : search.comparison) {
      out << formatv("<tr><td>{0}</td><td>{1:f4}</td><td>&plusmn; {2:f4}</td><td>{3}</td></tr>\n",
                     escapeHtml(method.method), method.mean, method.halfInterval, method.seeds);
      best = method.mean > best->mean ? &method : best;
      random = method.method == "random" ? &method : random;
      rl = method.method == "rl" ? &method : rl;
    }
    out << "</table>\n";
    if (rl && random) {
      bool isBetter = rl->mean - rl->halfInterval > random->mean + random->halfInterval;
      out << formatv("<p>RL {0} random search here{1}; the best mean is that of {2}.</p>\n",
                     rl->mean > random->mean ? "beats" : "does not beat",
                     rl->mean > random->mean && !isBetter ? ", but within the intervals" : "",
                     escapeHtml(best->method));
    }
  }

  void addBattery() {
    out << "<h2>Battery</h2>\n";
    const auto &simulation = contents.simulation;
    if (contents.isSimulationStale) {
      out << "<p class=\"note\">Not shown: simulation.json is of an earlier search in this folder; run rt3c simulate "
             "again.</p>\n";
      return;
    }
    if (!simulation) {
      out << "<p class=\"note\">Not simulated: rt3c simulate has not been run on this search.</p>\n";
      return;
    }
    out << formatv(
        "<p>{0} battery of {1:f2} Wh at {2:f0} &deg;C, a request every {3:f3} ms{4}, {5:f0} mW idle{6}. Power "
        "is that of one core above the idle chip, as its table has it.</p>\n",
        escapeHtml(simulation->battery), simulation->batteryWh, simulation->temperature,
        1e3 * simulation->periodSeconds,
        simulation->jitter > 0 ? formatv(" give or take {0:f0} %", 100 * simulation->jitter).str() : "",
        1e3 * simulation->idleWatts,
        simulation->trace.empty() ? "" : ", clock caps and heat by " + escapeHtml(simulation->trace));
    Chart chart{"Battery over time", "hours", "% left", {}, std::nullopt, ""};
    out << "<div class=\"scroll\"><table>\n<tr><th>strategy</th><th>runs per charge</th><th></th><th>late</th>"
           "<th>hours</th><th class=\"text\"></th></tr>\n";
    for (const SimulatedStrategy &strategy : simulation->strategies) {
      ChartSeries series{strategy.name, {}, true};
      for (auto [seconds, percent] : strategy.curve)
        series.points.push_back({seconds / 3600, percent, ""});
      chart.series.push_back(std::move(series));
      out << formatv(
          "<tr><td>{0}</td><td>{1:f0}</td><td>{2:f2} x</td><td{3}>{4:f1} %</td><td>{5:f1}</td>"
          "<td class=\"text\">{6}</td></tr>\n",
          escapeHtml(strategy.name), strategy.runs, strategy.runs / std::max(1.0, simulation->strategies[0].runs),
          strategy.misses > 0 ? " class=\"missed\"" : "", 100 * strategy.misses / std::max(1.0, strategy.requests),
          strategy.seconds / 3600, escapeHtml(strategy.note));
    }
    out << "</table></div>\n" << svgChart(chart);
  }

  void addPatterns() {
    out << "<h2>Patterns</h2>\n";
    if (contents.plan.patternSets.empty())
      out << "<p class=\"note\">No level has patterns.</p>\n";
    // Those of a single layer go by its name.
    std::map<size_t, std::vector<const PlannedLayer *>> users;
    for (const PlannedLayer &layer : contents.plan.layers)
      for (const PlannedLevel &level : layer.levels)
        if (!level.mask.empty() && (level.scheme == Scheme::Pattern || level.scheme == Scheme::BlockPattern))
          users[level.patternSet].push_back(&layer);
    for (auto [i, set] : llvm::enumerate(contents.plan.patternSets)) {
      if (i == kMostSets) {
        out << formatv("<p class=\"note\">{0} more sets are not shown.</p>\n",
                       contents.plan.patternSets.size() - kMostSets);
        break;
      }
      std::string of = users[i].size() == 1 ? " of " + users[i].front()->name : "";
      out << formatv(
          "<h3>{0}</h3>\n<p class=\"note\">{1} outputs (down) x {2} inputs (across); {3} patterns.</p>\n<div>",
          escapeHtml(set.name + of), set.rows, set.columns, set.patterns.size());
      for (size_t p = 0; p < std::min(set.patterns.size(), kMostPatterns); ++p)
        out << svgPattern(uint64_t(set.patterns[p]), set.rows, set.columns);
      out << "</div>\n";
    }
  }

  void addLayers() {
    const Plan &plan = contents.plan;
    out << "<h2>Layers</h2>\n<div class=\"scroll\"><table>\n<tr><th>layer</th><th>inputs x outputs</th>";
    for (const LevelSpec &level : plan.levels.levels)
      out << "<th class=\"text\">" << escapeHtml(level.name) << "</th>";
    out << "</tr>\n";
    std::map<std::pair<std::string, std::string>, const CompiledLayer *> compiled;
    for (const CompiledLayer &layer : contents.layers)
      compiled[{layer.layer, layer.level}] = &layer;
    std::map<std::string, std::set<std::string>> reasons;
    for (size_t i = 0; i < std::min(plan.layers.size(), kMostLayers); ++i) {
      const PlannedLayer &layer = plan.layers[i];
      out << formatv("<tr><td>{0}</td><td>{1} x {2}</td>", escapeHtml(layer.name), layer.inputs, layer.outputs);
      for (auto [l, level] : llvm::enumerate(layer.levels)) {
        const std::string &levelName = plan.levels.levels[l].name;
        double kept = keptShare(layer, l);
        auto found = compiled.find({layer.name, levelName});
        std::string reason = level.reason, speedup;
        if (found != compiled.end()) {
          if (reason.empty())
            reason = found->second->reason;
          speedup = formatv(", {0:f1} x", found->second->speedup);
        }
        if (!reason.empty())
          reasons[reason].insert(layer.name + " (" + levelName + ")");
        out << formatv("<td class=\"text\">{0} {1:f0} %{2}{3}</td>", schemeName(level.scheme), 100 * kept, speedup,
                       reason.empty() ? "" : ", dense");
      }
      out << "</tr>\n";
    }
    out << "</table></div>\n<h2>Why dense</h2>\n";
    if (plan.layers.size() > kMostLayers)
      out << formatv("<p class=\"note\">{0} more layers are not shown.</p>\n", plan.layers.size() - kMostLayers);
    if (reasons.empty())
      out << "<p class=\"note\">Every layer of a pruned level runs sparse.</p>\n";
    for (auto &[reason, layers] : reasons) {
      out << "<p>" << escapeHtml(reason) << ": <span class=\"note\">";
      size_t shown = 0;
      for (const std::string &layer : layers)
        if (shown++ < 40)
          out << (shown > 1 ? ", " : "") << escapeHtml(layer);
      if (shown > 40)
        out << formatv(" and {0} more", shown - 40);
      out << "</span></p>\n";
    }
  }

  const ReportContents &contents;
  const SearchFile &search;
  std::string html;
  llvm::raw_string_ostream out;
};

} // namespace

std::string mlir::rt3::reportHtml(const ReportContents &contents) { return Page(contents).make(); }
