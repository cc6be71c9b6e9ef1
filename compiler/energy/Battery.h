// SPDX-License-Identifier: Apache-2.0
//
// Batteries: how much of what is in them comes out.

#ifndef RT3_COMPILER_ENERGY_BATTERY_H
#define RT3_COMPILER_ENERGY_BATTERY_H

#include "llvm/Support/Error.h"

#include <memory>
#include <string>

namespace mlir::rt3 {

// Energies in J, powers in W, times in s. Voltage is taken as constant, so energy stands for
// charge.
struct BatteryOptions {
  std::string model = "ideal"; // ideal, peukert or kibam.
  double capacity = 0;         // J at 25 degrees and the rated power.
  double temperature = 25;     // Degrees Celsius.
  // Peukert: at power P the battery loses P (P / rated)^(exponent - 1), for P over the rated power
  // (Peukert, 1897; of lithium cells the exponent is 1.03 to 1.1).
  double ratedPower = 0; // 0: what empties it in 20 hours.
  double peukertExponent = 1.05;
  // KiBaM: two wells, of which the available one has the share c; the other flows into it at
  // rate k times the difference of their heights (Manwell and McGowan, 1993).
  double availableShare = 0.6, flowRate = 4.5e-4; // c; k, 1/s.
};

class Battery {
public:
  virtual ~Battery() = default;
  // Draws `power` for `seconds`. Returns how long it could: less than `seconds` once it is empty.
  virtual double draw(double power, double seconds) = 0;
  // J that are left, of which not all need be available.
  virtual double left() const = 0;
  // J that have gone without having been drawn (Peukert's).
  virtual double lost() const { return 0; }
  bool isEmpty() const { return empty; }

protected:
  bool empty = false;
};

// The share of its capacity that a lithium-ion cell has at a temperature: 1 from 25 degrees
// up, 0.7 % less per degree below, as data sheets of 18650 cells have it between -20 and 25; never
// under 0.4.
double temperatureFactor(double degrees);

// Errors: a model that there is not, numbers out of range; says which.
llvm::Expected<std::unique_ptr<Battery>> makeBattery(const BatteryOptions &options);

} // namespace mlir::rt3

#endif // RT3_COMPILER_ENERGY_BATTERY_H
