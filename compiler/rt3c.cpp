// SPDX-License-Identifier: Apache-2.0
//
// rt3c: parses options and calls a verb. A model without a verb is compiled.

#include "compiler/CommandLine.h"
#include "compiler/verbs/Verbs.h"
#include "rt3/rt3_pool.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <unistd.h>

using namespace mlir::rt3;

// Other programs, because libtorch and MPI take longer to load than most verbs to run.
static ExitCode runProgram(llvm::StringRef verb, char **argv, const char *advice) {
  std::string own = llvm::sys::fs::getMainExecutable(argv[0], nullptr);
  std::string program = (llvm::sys::path::parent_path(own) + "/rt3c-" + verb).str();
  execv(program.c_str(), argv + 1);
  return fail(kExitUsage, "rt3c was built without " + verb + ": there is no " + program + "; " + advice);
}

int main(int argc, char **argv) {
  CLI::App app("rt3c compiles pruned ONNX models to libraries that run at several levels");
  app.name("rt3c");
  app.set_version_flag("--version", "rt3c 0.1.0 (LLVM 22)");
  app.require_subcommand(1);
  app.footer("exit codes: 0 ok, 1 internal, 2 usage, 3 unsupported model, 4 bad input file, 5 limit, 6 mismatch");

  if (argc > 1 && llvm::StringRef(argv[1]) == "train")
    return runProgram("train", argv, "install libtorch-dev and build again (RT3_BUILD_TRAIN)");
  if (argc > 1 && llvm::StringRef(argv[1]) == "search")
    return runProgram("search", argv, "build all of it again");
  app.add_subcommand("train", "train the weights for all levels at once (needs libtorch)");
  app.add_subcommand("search", "find what to prune at every clock of a device, so that a latency limit is met");

  CompileVerb compile;
  CLI::App *compileApp = app.add_subcommand("compile", "compile a model (the default)");
  addModelOptions(compileApp, compile.model);
  addTargetOptions(compileApp, compile.model);
  compileApp->add_option("-o,--out", compile.out, "folder for the results")->capture_default_str();
  compileApp->add_option("--name", compile.name, "C identifier for symbols and files; none: from the file's name");
  compileApp->add_option("--emit", compile.emit, "print a stage instead: graph, kernel, llvm, asm, object");

  PruneVerb prune;
  CLI::App *pruneApp = app.add_subcommand("prune", "write a plan: what each level keeps, and its weights");
  addModelOptions(pruneApp, prune.model);
  addTargetOptions(pruneApp, prune.model, /*takesPlan=*/false);
  pruneApp
      ->add_option("--masks", prune.masks,
                   "instead of levels: [LEVEL=]FILE, an .npz with [outputs, inputs] by layer, an .smtx, or a folder of "
                   ".smtx; repeatable, slowest level first")
      ->allow_extra_args(false);
  pruneApp->add_option("-o,--out", prune.out, "folder for the plan")->capture_default_str();

  EvalVerb eval;
  CLI::App *evalApp = app.add_subcommand("eval", "metrics of a task at every level, beside the dense model's");
  addModelOptions(evalApp, eval.model);
  addTargetOptions(evalApp, eval.model);
  evalApp->add_option("--data", eval.data, "table of texts and labels (.tsv with a header), or a text")->required();
  evalApp->add_option("--task", eval.task, "classification, regression, similarity or language-model")->required();
  evalApp->add_option("--label", eval.model.texts.columns.label, "column of labels; none: label or score");
  evalApp->add_option("--output", eval.output, "result of the model to look at; none: its first");
  evalApp->add_option("--reference", eval.reference,
                      "ONNX file or compiled folder to compare with; none: the model before pruning");
  evalApp->add_option("--samples", eval.samples, "rows of the table, from its beginning; none: all")
      ->check(oneOrMore());
  evalApp->add_option("--seed", eval.seed, "of the bootstrap")->capture_default_str();

  PredictVerb predict;
  CLI::App *predictApp = app.add_subcommand("predict", "time and energy of every level on a device, without it");
  addModelOptions(predictApp, predict.model);
  addTargetOptions(predictApp, predict.model);
  predictApp->add_option("--device", predict.device, "NAME[:CORE] of rt3c targets, or a file NAME.json")->required();
  predictApp->add_option("--length", predict.length, "free dimension; none: its maximum")->check(oneOrMore());
  predictApp->add_option("--position", predict.position, "tokens before, of a model with --kv-cache")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  predictApp->add_flag("--all-clocks", predict.allClocks, "every level at every clock of the core");
  predictApp->add_flag("--layers", predict.layers, "every op of every level");
  predictApp->add_flag("--extrapolate", predict.extrapolates, "also for lengths that were not calibrated");

  CalibrateVerb calibrate;
  CLI::App *calibrateApp =
      app.add_subcommand("calibrate", "fit the constants of predictions to this machine, on a model and its levels");
  addModelOptions(calibrateApp, calibrate.model);
  addTargetOptions(calibrateApp, calibrate.model);
  calibrateApp->add_option("--device", calibrate.device, "NAME[:CORE] or file that the new file is made from")
      ->required();
  calibrateApp->add_option("--lengths", calibrate.lengths, "free dimensions to measure; none: 1 to its maximum")
      ->delimiter(',');
  calibrateApp->add_flag("--check", calibrate.isCheck, "fit nothing, say how wrong the device's own constants are");
  calibrateApp->add_flag("--ops", calibrate.printsOps, "print every op, measured and predicted");
  calibrateApp->add_option(
      "--measurements", calibrate.measurements,
      "file: what earlier runs measured on other models is fitted to as well, this run's is added");
  calibrateApp->add_option("-o,--out", calibrate.out, "file for the calibrated device")->capture_default_str();

  SimulateVerb simulate;
  CLI::App *simulateApp =
      app.add_subcommand("simulate", "spend a battery on inferences, with a search's levels and in other ways");
  simulateApp->add_option("folder", simulate.folder, "what search wrote")->required();
  simulateApp->add_option("--battery-wh", simulate.batteryWh, "capacity")
      ->check(between(1e-6, 1e6))
      ->capture_default_str();
  simulateApp->add_option("--battery", simulate.options.battery.model, "ideal, peukert or kibam")
      ->check(CLI::IsMember({"ideal", "peukert", "kibam"}))
      ->capture_default_str();
  simulateApp->add_option("--temperature", simulate.options.battery.temperature, "of the battery, degrees Celsius")
      ->check(between(-40.0, 85.0))
      ->capture_default_str();
  simulateApp->add_option("--period-ms", simulate.periodMs, "between requests; none: the latency limit")
      ->check(between(1e-3, 1e9));
  simulateApp->add_option("--jitter", simulate.options.jitter, "share of the period by which requests vary")
      ->check(between(0.0, 0.99))
      ->capture_default_str();
  simulateApp
      ->add_option_function<double>(
          "--idle-mw", [&](double milliwatts) { simulate.options.idlePower = milliwatts / 1e3; },
          "of the whole device, always; the tables of devices leave it out")
      ->check(between(0.0, 1e6));
  simulateApp->add_option("--trace", simulate.trace,
                          "clock caps and heat over time: lines of `ms cap_khz battery_percent temperature_mc`");
  simulateApp->add_option("--seed", simulate.options.seed, "of the jitter")->capture_default_str();
  simulateApp->add_flag("--json", simulate.asJson, "print JSON");

  ReportVerb report;
  CLI::App *reportApp = app.add_subcommand("report", "one HTML page of what search, simulate and compile found");
  reportApp->add_option("folder", report.folder, "what search and simulate wrote")->required();
  reportApp->add_option("--compiled", report.compiled,
                        "what compile wrote of the plan: kernels, and why layers are dense");
  reportApp->add_option("--picture", report.picture, "SVG file of accuracy over energy alone, besides");
  reportApp->add_option("-o,--out", report.out, "HTML file")->capture_default_str();

  CheckVerb check;
  CLI::App *checkApp = app.add_subcommand("check", "say what is not supported, without compiling");
  addModelOptions(checkApp, check.model);

  InspectVerb inspect;
  CLI::App *inspectApp = app.add_subcommand("inspect", "print what a bundle or a plan holds");
  inspectApp->add_option("bundle", inspect.bundle, ".rt3 file, or folder of a plan")->required();
  inspectApp->add_flag("--json", inspect.asJson, "print JSON");

  RunVerb run;
  CLI::App *runApp = app.add_subcommand("run", "run a compiled model on files");
  runApp->add_option("folder", run.folder, "what compile wrote")->required();
  runApp->add_option("--input", run.inputs, "NAME=FILE, .npy or raw bytes; one per input")->allow_extra_args(false);
  runApp->add_option("-o,--out", run.out, "folder for NAME.npy of each output")->capture_default_str();
  runApp->add_option("--level", run.level, "name or number; none: 0");
  runApp->add_option("--length", run.length, "free dimension; none: from the inputs");

  GenerateVerb generate;
  CLI::App *generateApp = app.add_subcommand("generate", "write a text with a model compiled with --kv-cache");
  generateApp->add_option("folder", generate.folder, "what compile wrote")->required();
  generateApp->add_option("--prompt", generate.prompt, "text, a token per byte");
  generateApp->add_option("--ids", generate.ids, "instead: token numbers, separated by spaces");
  generateApp->add_option("--tokens", generate.tokens, "to write; the likeliest each time")
      ->check(oneOrMore())
      ->capture_default_str();
  generateApp->add_option("--level", generate.level, "name or number; none: 0");
  generateApp->add_option("--switch", generate.switches, "NUMBER=LEVEL: from that new token on; repeatable")
      ->allow_extra_args(false);

  BenchVerb bench;
  CLI::App *benchApp = app.add_subcommand("bench", "time a compiled model at every level");
  benchApp->add_option("folder", bench.folder, "what compile wrote")->required();
  benchApp->add_option("--length", bench.length, "free dimension; none: its maximum");
  benchApp->add_option("--position", bench.position, "tokens before, of a model compiled with --kv-cache")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  benchApp->add_option("--threads", bench.threads, "of large layers; times are then wall-clock")
      ->check(CLI::Range(1, RT3_POOL_MAX_THREADS))
      ->capture_default_str();
  benchApp->add_option("--seconds", bench.seconds, "per level")->capture_default_str();
  benchApp->add_option("--vs", bench.rivalModel, "ONNX file that ONNX Runtime times beside it");
  benchApp->add_flag("--json", bench.asJson, "print JSON");

  CompareVerb compare;
  CLI::App *compareApp =
      app.add_subcommand("compare", "compare a compiled model with the interpreter, level by level, or two runs");
  addModelOptions(compareApp, compare.model, /*isNeeded=*/false);
  addTargetOptions(compareApp, compare.model);
  compareApp->add_option("--with", compare.folder, "what compile wrote");
  compareApp->add_flag("--layers", compare.isPerLayer, "compare every layer's result, compiled once more to keep them");
  compareApp->add_option("--runs", compare.runs, "instead: two folders of .npy files that rt3c run wrote")->expected(2);
  compareApp->add_option("--length", compare.length, "free dimension; none: its maximum");
  compareApp
      ->add_option(
          "--tolerance", compare.tolerance,
          "largest difference, relative to the largest reference if that is over 1; none: 1e-4, where activations are "
          "rounded (int8, bf16, f16-sums) 2e-2")
      ->check([](const std::string &text) {
        double number;
        return llvm::StringRef(text).getAsDouble(number) || !(number >= 0) ? "expected a number of at least 0" : "";
      });

  bool asJson = false;
  CLI::App *opsApp = app.add_subcommand("ops", "list the supported operators");
  opsApp->add_flag("--json", asJson, "print JSON");
  CLI::App *targetsApp = app.add_subcommand("targets", "list the targets, and the devices with their clocks");
  targetsApp->add_flag("--json", asJson, "print JSON");

  // A first word that is no verb is a model to compile.
  std::vector<std::string> words(argv + 1, argv + argc);
  auto isVerb = [&](const std::string &word) {
    std::vector<CLI::App *> verbs = app.get_subcommands([&](CLI::App *verb) { return verb->get_name() == word; });
    return !verbs.empty();
  };
  bool asksForHelp = !words.empty() && (words[0] == "--help" || words[0] == "-h" || words[0] == "--version");
  if (!words.empty() && !asksForHelp && !isVerb(words[0])) {
    // A word alone that is no file is a misspelt verb.
    if (words[0].rfind('-', 0) != 0 && words[0].find_first_of("./") == std::string::npos && words.size() > 1)
      return fail(kExitUsage, "\"" + words[0] + "\" is neither a verb (rt3c --help lists them) nor an ONNX file");
    words.insert(words.begin(), "compile");
  }
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::Success &asked) { // --help, --version
    app.exit(asked);
    return kExitOk;
  } catch (const CLI::ParseError &error) {
    std::string what = words.empty() && argc == 1 ? "a model or a verb is required" : faultOf(app, error);
    return fail(kExitUsage, what + "; see rt3c --help, or --help of the verb");
  }
  if (*compileApp)
    return runCompile(compile);
  if (*pruneApp)
    return runPrune(prune);
  if (*evalApp)
    return runEval(eval);
  if (*reportApp)
    return runReport(report);
  if (*simulateApp)
    return runSimulate(simulate);
  if (*predictApp)
    return runPredict(predict);
  if (*calibrateApp)
    return runCalibrate(calibrate);
  if (*checkApp)
    return runCheck(check);
  if (*inspectApp)
    return runInspect(inspect);
  if (*runApp)
    return runRun(run);
  if (*generateApp)
    return runGenerate(generate);
  if (*benchApp)
    return runBench(bench);
  if (*compareApp)
    return runCompare(compare);
  return *opsApp ? runOps(asJson) : runTargets(asJson);
}
