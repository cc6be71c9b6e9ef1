// SPDX-License-Identifier: Apache-2.0

#include "compiler/CommandLine.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::rt3;

CLI::Range mlir::rt3::oneOrMore() { return {int64_t(1), int64_t(1) << 30}; }

CLI::Validator mlir::rt3::between(double low, double high, bool isLowAllowed) {
  std::string range;
  llvm::raw_string_ostream(range) << llvm::format(isLowAllowed ? "from %g to %g" : "over %g to %g", low, high);
  return CLI::Validator(
      [=](std::string &text) -> std::string {
        double number;
        bool fits = !llvm::StringRef(text).getAsDouble(number) && number <= high &&
                    (isLowAllowed ? number >= low : number > low);
        return fits ? "" : text + " is no number " + range;
      },
      range);
}

std::string mlir::rt3::faultOf(const CLI::App &app, const CLI::ParseError &error) {
  if (!dynamic_cast<const CLI::ExtrasError *>(&error))
    return error.what();
  // CLI11 names them from the last one on.
  std::vector<std::string> words = app.remaining(/*recurse=*/true);
  return "not expected: " + llvm::join(words, " ");
}

void mlir::rt3::addModelOptions(CLI::App *app, ModelOptions &options, bool isNeeded) {
  app->add_option("model", options.model, "ONNX file")->required(isNeeded);
  app->add_option(
         "--shape", options.shapes,
         "NAME=1x128, or NAME=1x1..384 for one free dimension; NAME is an input or a symbolic dimension; repeatable")
      ->allow_extra_args(false);
  app->add_option("--fold-budget", options.foldBudget, "bytes of constants that may be computed while importing")
      ->check([](const std::string &text) {
        int64_t number;
        return llvm::StringRef(text).getAsInteger(10, number) || number < 0 ? "expected a number of bytes" : "";
      })
      ->capture_default_str();
  app->add_option("--kv-cache", options.kvCache,
                  "tokens of a text: runs continue each other, for a causal decoder exported without a cache")
      ->check([](const std::string &text) {
        int64_t number;
        return llvm::StringRef(text).getAsInteger(10, number) || number < 1 || number > 1 << 24
                   ? "expected a number of tokens from 1 to 16777216"
                   : "";
      });
  app->add_flag("--json", options.asJson, "print JSON");
}

void mlir::rt3::addTextOptions(CLI::App *app, TextOptions &options) {
  app->add_option("--tokenizer", options.tokenizer, "for texts: vocab.txt of WordPiece, or bytes");
  app->add_option("--text", options.columns.texts, "column of a .tsv with texts, at most two; none: the usual names")
      ->allow_extra_args(false)
      ->expected(0, 2);
}

void mlir::rt3::addTargetOptions(CLI::App *app, ModelOptions &options, bool takesPlan) {
  app->add_option("--target", options.target, "device to compile for, see rt3c targets; none: this machine");
  app->add_option("--levels", options.levels,
                  takesPlan ? "levels.json; none: one level, weights as they are"
                            : "levels.json: what each level keeps");
  if (takesPlan)
    app->add_option("--plan", options.plan, "instead: folder that rt3c prune wrote");
  addTypeOptions(app, options);
  addCalibrationOptions(app, options);
  if (takesPlan) // Others choose no kernels.
    app->add_flag("--keep-sparse", options.keepsSparse,
                  "pruned layers stay sparse where dense is predicted to be faster");
  if (takesPlan)
    app->add_option("--kernel", options.kernels,
                    "NAME=rows:4,unroll:2,filled:1,range:384 or some of these: the kernel of a layer, instead of the "
                    "one predicted to be fastest; NAME as for --keep-f32; repeatable")
        ->allow_extra_args(false);
}

void mlir::rt3::addTypeOptions(CLI::App *app, ModelOptions &options) {
  app->add_option("--type", options.type,
                  "of linear layers: f32; f16 (weights alone); f16-sums or bf16 (activations too, where the target "
                  "can); int8 (activations quantised per token)")
      ->capture_default_str();
  app->add_option("--keep-f32", options.keepF32, "layer that stays f32, `*` at the end for any rest; repeatable")
      ->allow_extra_args(false);
}

void mlir::rt3::addCalibrationOptions(CLI::App *app, ModelOptions &options) {
  app->add_option("--calib", options.calibration,
                  "inputs to prune by: texts, a .tsv with a header or a text per line; or arrays, an .npz with all "
                  "samples, or a folder with an .npz or a folder of NAME.npy per sample; none: by magnitude");
  app->add_option("--calib-samples", options.calibrationSamples, "samples to take, spread over all")
      ->check(oneOrMore())
      ->capture_default_str();
  app->add_option("--calib-memory", options.calibrationMemory,
                  "MiB that pruning may take; of samples that need more, some are left out")
      ->check(oneOrMore())
      ->capture_default_str();
  addTextOptions(app, options.texts);
}
