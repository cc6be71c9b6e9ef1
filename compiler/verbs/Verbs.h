// SPDX-License-Identifier: Apache-2.0
//
// The verbs of rt3c, one file each, and what they share: exit codes and options
// that several of them have.

#ifndef RT3_COMPILER_VERBS_VERBS_H
#define RT3_COMPILER_VERBS_VERBS_H

#include "compiler/Compile.h"
#include "compiler/data/Metrics.h"
#include "compiler/data/Table.h"
#include "compiler/data/TextInputs.h"
#include "compiler/data/Tokenizer.h"
#include "compiler/energy/Simulator.h"

#include "llvm/Support/JSON.h"

#include <optional>
#include <string>
#include <vector>

namespace mlir::rt3 {

// How a verb ends. Never renumbered.
enum ExitCode {
  kExitOk = 0,
  kExitInternal = 1,    // A fault of rt3c.
  kExitUsage = 2,       // Options.
  kExitUnsupported = 3, // A valid model with nodes that cannot be compiled.
  kExitBadInput = 4,    // A file that is not what it should be.
  kExitLimit = 5,       // A limit was reached.
  kExitMismatch = 6,    // compare found a difference.
};

// Options of verbs that read texts.
struct TextOptions {
  std::string tokenizer; // A vocab.txt, or "bytes".
  TableColumns columns;
};

// Options of verbs that read a model.
struct ModelOptions {
  std::string model;
  std::vector<std::string> shapes; // NAME=1x128 or NAME=1x1..384.
  std::string target;              // Empty: this machine.
  std::string levels;              // levels.json; empty: one level as it is.
  int64_t foldBudget = 64 << 20;
  int64_t kvCache = 0; // Tokens; 0: none.
  bool keepsSparse = false;
  std::vector<std::string> kernels; // NAME=rows:4.
  std::string type = "f32";         // Or a precision, with hyphens.
  std::vector<std::string> keepF32;
  std::string calibration;          // A folder, or a file of texts or arrays; empty: none.
  int64_t calibrationSamples = 512; // At most.
  int64_t calibrationMemory = 4096; // MiB, at most, about.
  TextOptions texts;
  std::string plan; // A folder that prune wrote; empty: none.
  bool asJson = false;
};

struct CompileVerb {
  ModelOptions model;
  std::string out = "out", name, emit;
};
struct PruneVerb {
  ModelOptions model;
  std::vector<std::string> masks; // [LEVEL=]FILE; instead of levels.
  std::string out = "plan";
};
struct EvalVerb {
  ModelOptions model; // The file may be a folder that compile wrote.
  std::string data, task;
  std::string output;    // Of the model; empty: the first.
  std::string reference; // A model or folder to compare with; empty: the dense one.
  int64_t samples = 0;   // Rows; 0: all.
  uint64_t seed = 1;
};
struct CheckVerb {
  ModelOptions model;
};
struct InspectVerb {
  std::string bundle;
  bool asJson = false;
};
struct RunVerb {
  std::string folder;              // What compile wrote.
  std::vector<std::string> inputs; // NAME=FILE, .npy or raw.
  std::string out = ".", level;
  int64_t length = 0; // 0: from the first input with a free dimension.
};
struct GenerateVerb {
  std::string folder;
  std::string prompt, ids; // One of them: text, a token per byte; or numbers.
  std::string level;
  std::vector<std::string> switches; // NUMBER=LEVEL.
  int64_t tokens = 64;
};
struct BenchVerb {
  std::string folder;
  int64_t length = 0;
  int64_t position = 0; // Tokens before, of models with a cache.
  uint32_t threads = 1;
  double seconds = 1;     // Per level.
  std::string rivalModel; // ONNX file for ONNX Runtime; empty: none.
  bool asJson = false;
};
// Of the largest reference, or of 1 if that is larger. Where
// activations are rounded (int8, bf16, f16_sums), one whose last bits differ may round to the next
// step, and f16 sums have 11 bits.
constexpr double kTolerance = 1e-4, kRoundedTolerance = 2e-2;

struct CompareVerb {
  ModelOptions model;
  std::string folder;              // A compiled library.
  std::vector<std::string> runs;   // Instead: two folders that rt3c run wrote.
  bool isPerLayer = false;         // Every layer's result, from a library made for that.
  std::optional<double> tolerance; // Default: kTolerance or kRoundedTolerance.
  int64_t length = 0;              // 0: the largest.
};

struct PredictVerb {
  ModelOptions model;
  std::string device;   // NAME[:CORE] or a file.
  int64_t length = 0;   // 0: the largest.
  int64_t position = 0; // Tokens before, of models with a cache.
  bool allClocks = false, layers = false, extrapolates = false;
};
struct CalibrateVerb {
  ModelOptions model;
  std::string device;           // What the file is made from.
  std::vector<int64_t> lengths; // None: 1, the largest and two between.
  std::string measurements;     // File of other models', to fit to as well; empty: none.
  std::string out = "device.json";
  bool isCheck = false; // Fits nothing: says how wrong the device's constants are.
  bool printsOps = false;
};

struct SimulateVerb {
  std::string folder; // What search wrote; simulation.json goes there, too.
  double batteryWh = 15;
  double periodMs = 0; // 0: the deadline.
  std::string trace;   // Empty: none.
  SimulationOptions options;
  bool asJson = false;
};
struct ReportVerb {
  std::string folder;   // What search and simulate wrote.
  std::string compiled; // What compile wrote of its plan; empty: nothing.
  std::string out = "report.html";
  std::string picture; // SVG file of the Pareto alone; empty: none.
};

ExitCode runCompile(const CompileVerb &verb);
ExitCode runPrune(const PruneVerb &verb);
ExitCode runEval(const EvalVerb &verb);
ExitCode runCheck(const CheckVerb &verb);
ExitCode runInspect(const InspectVerb &verb);
ExitCode runRun(const RunVerb &verb);
ExitCode runGenerate(const GenerateVerb &verb);
ExitCode runBench(const BenchVerb &verb);
ExitCode runCompare(const CompareVerb &verb);
ExitCode runPredict(const PredictVerb &verb);
ExitCode runCalibrate(const CalibrateVerb &verb);
ExitCode runSimulate(const SimulateVerb &verb);
ExitCode runReport(const ReportVerb &verb);
ExitCode runOps(bool asJson);
ExitCode runTargets(bool asJson);

// Prints "rt3c: error: ..." to stderr.
ExitCode fail(ExitCode code, const llvm::Twine &message);

// The same for an error: kExitInternal if it is a fault of ours, kExitUsage if it
// is one of options, else kExitBadInput.
ExitCode fail(llvm::Error error);

// The parsed --shape options, or an error.
llvm::Expected<onnx::ImportOptions> importOptions(const ModelOptions &options);

// What the options of a model and of its target ask for, or the code of the error that
// has been printed; says on stderr which device was taken if none was named.
ExitCode chooseOptions(const ModelOptions &options, CompileOptions &out);

// The plan that prune wrote to a folder.
llvm::Expected<Plan> readPlanFolder(const std::string &folder);

// The tokenizer that the options name; an error without one.
llvm::Expected<std::unique_ptr<Tokenizer>> chooseTokenizer(const TextOptions &options);

// The inputs of a model's function, as texts are bound to them.
std::vector<InputShape> inputShapes(func::FuncOp function);

// An error if the tokenizer has tokens for which a table that the model looks tokens up in has no row.
llvm::Error checkVocabulary(func::FuncOp function, const TextInputs &inputs, const Tokenizer &tokenizer);

// The task of a name; an error lists them.
llvm::Expected<Task> parseTask(const std::string &name);

// Whether a file of --calib has NumPy's arrays (.npz, .npy), not texts.
bool hasArrays(const std::string &path);

// What reads the samples of --calib; null without it.
std::function<llvm::Expected<std::vector<CalibrationSample>>(func::FuncOp)>
calibrationReader(const ModelOptions &options);

// Prints all nodes that cannot be compiled, grouped by operator.
void printProblems(const ModelOptions &options, llvm::ArrayRef<onnx::Problem> problems, int64_t nodeCount);

// A whole file, or an error that names it.
llvm::Expected<std::string> readFile(const std::string &path);

} // namespace mlir::rt3

#endif // RT3_COMPILER_VERBS_VERBS_H
