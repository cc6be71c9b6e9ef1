// SPDX-License-Identifier: Apache-2.0
//
// compileModel(): all stages in order, from an ONNX file to the bytes of a
// library, a header and a bundle.

#ifndef RT3_COMPILER_COMPILE_H
#define RT3_COMPILER_COMPILE_H

#include "codegen/devices/Device.h"
#include "codegen/emit/EmitObject.h"
#include "codegen/predict/CodeProfile.h"
#include "compiler/onnx/Import.h"
#include "compiler/plan/Plan.h"
#include "compiler/prune/Calibrate.h"
#include "compiler/prune/Levels.h"
#include "compiler/prune/RebuildLevels.h"

#include "mlir/IR/MLIRContext.h"

#include <array>

namespace mlir::rt3 {

// Profile: what the code costs by LLVM's scheduling models, in place of the library.
enum class Stage { Graph, Kernel, Llvm, Assembly, Object, Profile, Library };

// Keeps what long pruning has come to, so that it can go on after it was killed.
class PruneCheckpoint {
public:
  virtual ~PruneCheckpoint() = default;
  // A plan whose levels have values as far as `state` says; nothing if there is none.
  virtual std::optional<Plan> load(RebuildState &state) = 0;
  virtual llvm::Error save(const Plan &plan, const RebuildState &state) = 0;
};

// A kernel that layers shall have: "rows:4,unroll:1" (KernelChoice) for those of a name (graph::isNamed).
struct KernelOfLayers {
  std::string layers, choice;
};

struct CompileOptions {
  std::string name; // A C identifier for symbols and files.
  Device device;
  LevelPlan levels;
  onnx::ImportOptions import;
  // What linear layers multiply, none: f32; layers named in keepF32 (`*` at the end for
  // any rest) stay f32.
  std::optional<graph::Precision> precision;
  std::vector<std::string> keepF32;
  // Pruned layers are compiled sparse even where dense is predicted to be faster.
  bool keepsSparse = false;
  // Kernels that layers shall have instead of the fastest; of several for a layer the last counts.
  std::vector<KernelOfLayers> kernels = {};
  // Instead of pruning: what each level keeps; its levels are `levels`.
  std::shared_ptr<const Plan> plan;
  // Reads inputs for the model's function to calibrate pruning with; none: by
  // magnitude.
  std::function<llvm::Expected<std::vector<CalibrationSample>>(func::FuncOp)> readCalibration;
  // Each op's code begins with a call that says so (rt3_kernel.mark).
  bool marksOps = false;
  // Of Stage::Profile: LLVM's CPU whose scheduling model is used; empty: the device's.
  std::string schedulerModel;
  int64_t window = 0;           // As CodeProfile::make.
  Stage stage = Stage::Library; // The last stage to run.
};

// One linear layer at one level, for reports.
struct LayerReport {
  std::string layer, level;
  int64_t inputs, outputs, tokens;    // K, N, M at the largest length; 1 with a cache.
  int64_t kept;                       // Weights that are not pruned.
  int64_t storedSize;                 // Bytes of its streams.
  std::string type;                   // f32 or a precision.
  std::string scheme, kernel, reason; // `reason`: why it is dense, else empty.
  double cycles, denseCycles;         // Predicted.
};

// One op of the program, for whom counts or times them.
struct MarkedOp {
  int64_t mark;            // Its number.
  size_t level;            // In order.
  std::string kind, layer; // Of the kernel dialect; of a linear layer its name.
  int64_t weightBytes = 0; // Of its streams.
  int64_t panelTokens = 1; // Tokens for which they are read once.
  // Activations that it reads and writes, bytes: [p] times the length to the power of p.
  std::array<double, 3> activationBytes{};
  // Weights and activations, each once, that it and the op before it touch, likewise: what the op reads comes
  // from a cache that holds so much. A cache of earlier tokens counts as if it were full.
  std::array<double, 3> touchedBytes{};
  // Partial sums that are stored after a range of inputs and loaded for the next, likewise.
  std::array<double, 3> partialSumBytes{};
};

// What an op outside linear layers came to, for reports.
struct OtherReport {
  std::string kind;
  int64_t count;
};

struct CompileResult {
  std::vector<onnx::Problem> problems; // Then nothing else is set.
  int64_t nodeCount = 0;
  std::string text; // For a stage before Library: what was asked for.
  ProgramDescription program;
  std::string object;
  std::string weights; // The bundle's section.
  std::vector<LayerReport> layers;
  std::vector<OtherReport> others;      // Of one level.
  std::vector<MarkedOp> ops;            // With marksOps.
  std::shared_ptr<CodeProfile> profile; // Of Stage::Profile.
  LoopCounts loops;
  int64_t unfoldedCount = 0; // Constant ops left for run time by the budget.
};

// All dialects and translations that the stages use.
void registerDialects(DialectRegistry &registry);

// Folds and fuses what the importer gave. Returns the number of constant ops that
// the budget (bytes) leaves for run time.
llvm::Expected<int64_t> fuse(ModuleOp module, int64_t foldBudget);

// Fuses an imported module only where activations are read, so that weights stay the
// constants that the file has.
llvm::Error fuseElementwise(ModuleOp module);

// Makes linear layers of a fused module what the options ask for. An error means
// that keepF32 names no layer.
llvm::Error quantize(ModuleOp module, const CompileOptions &options);

// Imports, folds and fuses: the model as interpreted and pruned.
llvm::Expected<onnx::ImportResult> importAndFuse(MLIRContext *context, llvm::StringRef path,
                                                 const onnx::ImportOptions &options, int64_t *unfoldedCount = nullptr);

// An error means a bad file, option or a fault of ours; a valid model with
// unsupported nodes gives problems.
llvm::Expected<CompileResult> compileModel(MLIRContext *context, llvm::StringRef path, const CompileOptions &options);

// Prunes a fused module to the levels of the options, calibrated if they say so, or by
// their plan. `rebuilt`, if not null, gets what calibration has come to; `checkpoint`, if not
// null, is asked for a beginning and told of each level.
llvm::Error prune(ModuleOp module, const CompileOptions &options, std::vector<RebuiltLayer> *rebuilt = nullptr,
                  PruneCheckpoint *checkpoint = nullptr);

// Says in a plan what it was made of: the model's file and what layers multiply.
void setOrigin(Plan &plan, llvm::StringRef path, const CompileOptions &options);

// The stages behind importing, for a module of rt3_graph with one function;
// levels are those of `options`. The module is used up.
llvm::Expected<CompileResult> compileGraph(ModuleOp module, const CompileOptions &options);

// The same behind pruning: linear layers have their levels' encodings.
llvm::Expected<CompileResult> compilePruned(ModuleOp module, const CompileOptions &options);

// A C identifier of at most 48 characters for any text: other characters become
// `_`, and what is a keyword, begins with a digit or has been changed by more
// than that gets a hash.
std::string sanitizeIdentifier(llvm::StringRef text);

} // namespace mlir::rt3

#endif // RT3_COMPILER_COMPILE_H
