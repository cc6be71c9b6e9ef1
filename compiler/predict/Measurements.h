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
  std::vector<MeasuredModel> models;
};

// Errors name every place, what was found and what was expected.
llvm::Expected<MeasurementFile> parseMeasurements(llvm::StringRef json);
// Its text; what parseMeasurements reads again.
llvm::json::Object measurementsJson(const MeasurementFile &file);

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_MEASUREMENTS_H
