// SPDX-License-Identifier: Apache-2.0

#include "compiler/energy/Battery.h"

#include <algorithm>
#include <cmath>

using namespace mlir::rt3;

static constexpr double kRatedHours = 20;

double mlir::rt3::temperatureFactor(double degrees) { return std::clamp(1 - 0.007 * (25 - degrees), 0.4, 1.0); }

namespace {

// Also Peukert's, with an exponent over 1.
class SimpleBattery : public Battery {
public:
  SimpleBattery(double capacity, double ratedPower, double exponent)
      : energy(capacity), ratedPower(ratedPower), exponent(exponent) {}

  double draw(double power, double seconds) override {
    if (empty || power <= 0)
      return empty ? 0 : seconds;
    double factor = exponent > 1 && power > ratedPower ? std::pow(power / ratedPower, exponent - 1) : 1;
    double wanted = power * factor * seconds;
    if (wanted >= energy) {
      empty = true;
      seconds *= energy / wanted;
      lostEnergy += power * (factor - 1) * seconds;
      energy = 0;
      return seconds;
    }
    lostEnergy += power * (factor - 1) * seconds;
    energy -= wanted;
    return seconds;
  }
  double left() const override { return energy; }
  double lost() const override { return lostEnergy; }

private:
  double energy, ratedPower, exponent, lostEnergy = 0;
};

class KineticBattery : public Battery {
public:
  KineticBattery(double capacity, double share, double rate)
      : available(share * capacity), bound((1 - share) * capacity), share(share), rate(rate / (share * (1 - share))) {}

  double draw(double power, double seconds) override {
    if (empty)
      return 0;
    if (power < 0)
      power = 0;
    if (after(power, seconds).first > 0) {
      std::tie(available, bound) = after(power, seconds);
      return seconds;
    }
    // When the available well runs dry, by halving: it falls all the time, or it would not be dry
    // at the end.
    double low = 0, high = seconds;
    for (int i = 0; i < 60; ++i) {
      double middle = (low + high) / 2;
      (after(power, middle).first > 0 ? low : high) = middle;
    }
    std::tie(available, bound) = after(power, low);
    empty = true;
    return low;
  }
  double left() const override { return available + bound; }

private:
  // Both wells after drawing for a while: the solution of the model's equations for a
  // constant power.
  std::pair<double, double> after(double power, double seconds) const {
    double all = available + bound, decay = std::exp(-rate * seconds), gone = 1 - decay;
    double first =
        available * decay + (all * rate * share - power) * gone / rate - power * share * (rate * seconds - gone) / rate;
    return {first, all - power * seconds - first};
  }

  double available, bound, share, rate;
};

} // namespace

llvm::Expected<std::unique_ptr<Battery>> mlir::rt3::makeBattery(const BatteryOptions &options) {
  auto check = [](const char *name, double value, double low, double high) -> llvm::Error {
    if (value >= low && value <= high)
      return llvm::Error::success();
    return llvm::createStringError("battery: %s is %g, expected %g to %g", name, value, low, high);
  };
  llvm::Error error = llvm::joinErrors(
      llvm::joinErrors(check("the capacity in J", options.capacity, 1e-6, 1e12),
                       check("the temperature", options.temperature, -40, 85)),
      llvm::joinErrors(check("Peukert's exponent", options.peukertExponent, 1, 2),
                       llvm::joinErrors(check("the available share", options.availableShare, 0.01, 0.99),
                                        check("the flow rate", options.flowRate, 1e-9, 10))));
  if (error)
    return std::move(error);
  double capacity = options.capacity * temperatureFactor(options.temperature);
  double rated = options.ratedPower > 0 ? options.ratedPower : options.capacity / (kRatedHours * 3600);
  if (options.model == "ideal")
    return std::make_unique<SimpleBattery>(capacity, rated, 1);
  if (options.model == "peukert")
    return std::make_unique<SimpleBattery>(capacity, rated, options.peukertExponent);
  if (options.model == "kibam")
    return std::make_unique<KineticBattery>(capacity, options.availableShare, options.flowRate);
  return llvm::createStringError("battery: \"" + options.model + "\" is none of ideal, peukert, kibam");
}
