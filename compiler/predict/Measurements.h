// SPDX-License-Identifier: Apache-2.0
//
// The file of what rt3c calibrate has measured, so that constants can be fitted to several
// models.

#ifndef RT3_COMPILER_PREDICT_MEASUREMENTS_H
#define RT3_COMPILER_PREDICT_MEASUREMENTS_H

#include "compiler/predict/Fit.h"

namespace mlir::rt3 {

struct MeasurementFile {
  std::string machine; // LLVM's name of the CPU.
  // What costs were found with, as a Core has it: others cannot be fitted together.
  std::string target, schedulerModel;
  int64_t window = 0;
  std::vector<MeasuredModel> models;
};

// Errors name the first twenty places, what was found and what was expected.
llvm::Expected<MeasurementFile> parseMeasurements(llvm::StringRef json);
// What parseMeasurements reads again.
llvm::json::Object measurementsJson(const MeasurementFile &file);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_MEASUREMENTS_H
