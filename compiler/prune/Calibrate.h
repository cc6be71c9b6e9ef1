// SPDX-License-Identifier: Apache-2.0
//
// What calibration inputs say of a model's layers, and how that keeps more of what a
// layer computes when weights go.

#ifndef RT3_COMPILER_PRUNE_CALIBRATE_H
#define RT3_COMPILER_PRUNE_CALIBRATE_H

#include "compiler/interpreter/Interpreter.h"
#include "compiler/prune/Masks.h"

#include <memory>

namespace mlir::rt3 {

// One run of the model.
struct CalibrationSample {
  int64_t length;                 // The free dimension; 1 if there is none.
  std::vector<HostTensor> inputs; // As the function takes them.
};

// The second moments of a layer's inputs x over all tokens: H = sum of xᵀ x, or, about
// their means, of (x - mean)ᵀ (x - mean).
struct InputMoments {
  int64_t inputs;
  std::vector<double> sums;  // [K][K]
  std::vector<double> means; // [K]; empty: not about them.
};

// Makes moments of `count` tokens, about 0, those about `means`. Inputs that are the same in
// all tokens get zeros, not what rounding leaves.
void centre(InputMoments &moments, std::vector<double> means, double count);

// Moments by layer; layers that read the same tensor share theirs.
using Calibration = llvm::DenseMap<Operation *, std::shared_ptr<InputMoments>>;

// Runs `function`, dense, on all samples. Shows its progress on a terminal.
// `isCentred`: biases can make up for what inputs are on average, so that the
// moments are those about it.
//
// Errors: no sample, inputs that make a layer's NaN or infinite, or saliency that leaves the range of floats.
llvm::Expected<Calibration> calibrate(func::FuncOp function, const std::vector<CalibrationSample> &samples,
                                      bool isCentred);

// What H's diagonal is raised by, so that inputs that are always 0 or depend on each other do no harm, and
// what few samples happen to say counts less: shares of each input's own moment and of the mean of
// all. The first suits layers of which a few inputs are hundreds of times larger than the rest, beside which a
// share of the mean would drown those.
inline constexpr double kOwnDampening = 0.1, kMeanDampening = 0.03;

// The inverse of H, dampened.
class InverseMoments {
public:
  explicit InverseMoments(const InputMoments &moments);

  // How much the squared output error grows when weight w[k, n] goes and the others
  // are set anew: w^2 / H^-1[k, k] (Hassibi and Stork, Optimal Brain Surgeon, 1993).
  Saliency saliency(llvm::ArrayRef<float> weights, int64_t outputs) const;

  // Weights that are free only where `mask` (K x N) is 1; elsewhere they are `fixed`, or 0
  // if that is empty. First input by input: what is lost is made up for by the inputs
  // behind it (Frantar and Alistarh, SparseGPT, 2023, without its blocks). Then sweeps of
  // coordinate descent over all free weights, towards least squares, from there or from
  // `weights` where free, whichever is nearer: never worse than those.
  std::vector<float> rebuild(llvm::ArrayRef<float> weights, int64_t outputs, const Mask &mask,
                             llvm::ArrayRef<float> fixed = {}) const;

  // The weights, all free, whose outputs x' W' are nearest to x W, where these are the
  // moments of x' and `difference` (K x K) is the sum of x'ᵀ (x - x'): dampened towards W.
  std::vector<float> retarget(llvm::ArrayRef<float> weights, int64_t outputs, llvm::ArrayRef<double> difference) const;

  // The squared output error between weights, dampened.
  double error(llvm::ArrayRef<float> a, llvm::ArrayRef<float> b, int64_t outputs) const;

private:
  int64_t inputs;
  std::vector<double> moments;  // [K][K], H with its diagonal raised.
  std::vector<double> diagonal; // Of the inverse.
  std::vector<double> factor;   // [K][K], upper U with UᵀU = the inverse.
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_PRUNE_CALIBRATE_H
