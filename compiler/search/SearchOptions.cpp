// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/SearchOptions.h"

#include "compiler/search/Methods.h"

using namespace mlir::rt3;

void mlir::rt3::addSearchOptions(CLI::App &app, SearchVerb &verb) {
  ModelOptions &model = verb.evaluator.model;
  addModelOptions(&app, model);
  addTypeOptions(&app, model);
  addCalibrationOptions(&app, model);
  app.add_option("--device", verb.evaluator.device, "NAME[:CORE] of rt3c targets, or a file NAME.json")->required();
  app.add_option("--latency-limit", verb.limit,
                 "of one inference: 12.5ms, or 1.2x the dense model at the fastest clock")
      ->required();
  app.add_option("--data", verb.evaluator.data, "table of texts and labels (.tsv with a header), or a text")
      ->required();
  app.add_option("--task", verb.evaluator.task, "classification, regression, similarity or language-model")->required();
  app.add_option("--data-text", verb.evaluator.columns.texts,
                 "column of --data with texts, at most two (--text: of --calib)")
      ->allow_extra_args(false)
      ->expected(0, 2);
  app.add_option("--label", verb.evaluator.columns.label, "column of labels; none: label or score");
  app.add_option("--samples", verb.evaluator.samples, "rows of the table, from its beginning; none: all")
      ->check(oneOrMore());
  app.add_option("--length", verb.evaluator.length, "free dimension to predict for; none: its maximum");
  app.add_option("--clocks", verb.clocks, "of the levels, in kHz; none: chosen")->delimiter(',');
  app.add_option("--level-count", verb.levels, "levels, where no clocks are given")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  app.add_option("--min-density", verb.minDensity, "least share of weights that a level keeps")
      ->check(between(0.05, 0.95))
      ->capture_default_str();
  app.add_option("--dense-type", verb.denseType,
                 "type of the dense model that limits, losses and runs are to, as f32 for the model as it is; none: "
                 "--type")
      ->check(CLI::IsMember({"f32", "f16", "f16-sums", "bf16", "int8"}));
  CLI::Option *plan = app.add_option(
      "--plan", verb.plan, "search nothing: measure the levels of this folder, as of one that has been trained");
  app.add_option("--reference", verb.reference,
                 "ONNX file that losses are to, as that before training; none: the model")
      ->needs(plan);
  std::vector<std::string> methods = methodNames();
  methods.push_back("all");
  app.add_option("--method", verb.method, "how candidates are found")
      ->check(CLI::IsMember(methods))
      ->capture_default_str();
  app.add_option("--evaluations", verb.budget, "candidates, per method and seed")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--seed", verb.seed)->capture_default_str();
  app.add_option("--repeats", verb.repeats, "seeds from --seed on, to compare methods")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--processes", verb.processes, "at a time on this machine; none: as many as it has CPUs")
      ->check(CLI::Range(1, 1024));
  app.add_option("-o,--out", verb.out, "folder for the plan, the history and what has been evaluated")
      ->capture_default_str();
  for (const char *name : {"--calib", "--calib-samples", "--calib-memory", "--text", "--clocks", "--level-count",
                           "--min-density", "--method", "--evaluations", "--seed", "--repeats"})
    plan->excludes(app.get_option(name));
}
