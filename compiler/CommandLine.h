// SPDX-License-Identifier: Apache-2.0
//
// Options that several verbs have.

#ifndef RT3_COMPILER_COMMANDLINE_H
#define RT3_COMPILER_COMMANDLINE_H

#include "compiler/verbs/Verbs.h"

#include <CLI/CLI.hpp>

namespace mlir::rt3 {

// Of an option that is a number of things, 1 to 2^30.
CLI::Range oneOrMore();

// Of an option that is a number over `low` (or from it) up to `high`; NaN is none of them, which CLI::Range takes.
CLI::Validator between(double low, double high, bool isLowAllowed = true);

// What is wrong with the words that `app` was given.
std::string faultOf(const CLI::App &app, const CLI::ParseError &error);

// The model, its shapes and how it is imported.
void addModelOptions(CLI::App *app, ModelOptions &options, bool isNeeded = true);

// Tokenizer and columns.
void addTextOptions(CLI::App *app, TextOptions &options);

// What linear layers multiply.
void addTypeOptions(CLI::App *app, ModelOptions &options);

// Calibration, and texts for it.
void addCalibrationOptions(CLI::App *app, ModelOptions &options);

// Device, levels, type and calibration.
void addTargetOptions(CLI::App *app, ModelOptions &options, bool takesPlan = true);

} // namespace mlir::rt3

#endif // RT3_COMPILER_COMMANDLINE_H
