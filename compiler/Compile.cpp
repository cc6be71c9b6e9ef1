// SPDX-License-Identifier: Apache-2.0

#include "compiler/Compile.h"

#include "codegen/Pipelines.h"
#include "codegen/emit/EmitObject.h"
#include "compiler/RunPasses.h"
#include "compiler/interpreter/FoldPositions.h"
#include "dialects/graph/Graph.h"
#include "dialects/kernel/Kernel.h"
#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SHA256.h"

#include <map>
#include <set>

using namespace mlir;
using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

void mlir::rt3::registerDialects(DialectRegistry &registry) {
  registry.insert<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, scf::SCFDialect, vector::VectorDialect,
                  graph::GraphDialect, kernel::KernelDialect>();
  registerTranslations(registry);
}

std::string mlir::rt3::sanitizeIdentifier(StringRef text) {
  std::string result;
  bool isChanged = text.empty() || text.size() > 40;
  for (char c : text.take_front(40)) {
    bool isPlain = llvm::isAlnum(c) || c == '_';
    isChanged |= !isPlain && c != '-' && c != '.';
    result += isPlain ? c : '_';
  }
  static const char *const kReserved[] = {
      "auto",   "break",  "case",   "char",   "class",  "const",  "default", "do",   "double", "else", "enum",
      "extern", "float",  "for",    "goto",   "if",     "inline", "int",     "long", "main",   "new",  "return",
      "short",  "signed", "sizeof", "static", "struct", "switch", "union",   "void", "while"};
  if (isChanged || llvm::isDigit(result[0]) || result[0] == '_' || llvm::is_contained(kReserved, result)) {
    auto digest = llvm::SHA256::hash(llvm::arrayRefFromStringRef(text));
    result = "m" + result + "_" + llvm::toHex(digest, /*LowerCase=*/true).substr(0, 6);
  }
  return result;
}

Error mlir::rt3::runPasses(ModuleOp module, llvm::function_ref<void(OpPassManager &)> build) {
  // Users know layers by their names, not by pages of IR.
  module.getContext()->printOpOnDiagnostic(false);
  PassManager passManager(module.getContext());
  // Once, after the last pass: after each, it took a tenth of compiling. Tests of passes (rt3-opt) verify after each.
  passManager.enableVerifier(false);
  build(passManager);
  std::string messages;
  bool isOurs = true;
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
      return success();
    messages += (messages.empty() ? "" : "\n  ") + diagnostic.str();
    // A pass that cannot go on because of what the user gave says, in a note, what
    // to do about it; anything else must not happen.
    for (Diagnostic &note : diagnostic.getNotes()) {
      messages += "; " + note.str();
      isOurs = false;
    }
    return success();
  });
  if (succeeded(passManager.run(module)) && succeeded(mlir::verify(module)))
    return Error::success();
  if (isOurs)
    return onnx::makeOwnFault(messages.empty() ? "a pass failed without a message" : messages);
  return llvm::createStringError(messages);
}

Error mlir::rt3::runKernelPasses(ModuleOp module, const CompileOptions &options,
                                 llvm::function_ref<void(OpPassManager &, const PipelineOptions &)> build) {
  auto fault = [](const Twine &text) {
    return llvm::make_error<onnx::OptionFault>(text.str(), llvm::inconvertibleErrorCode());
  };
  for (const KernelOfLayers &kernel : options.kernels) {
    bool isUsed = false;
    module.walk([&](graph::LinearOp op) {
      if (!graph::isNamed(op.getLayer(), kernel.layers))
        return;
      isUsed = true;
      op->setAttr(graph::kKernelAttr, StringAttr::get(op.getContext(), kernel.choice));
    });
    if (!isUsed)
      return fault("--kernel: no layer is named \"" + kernel.layers +
                   "\"; the report of a compilation lists all names");
  }
  PipelineOptions pipeline{options.device.name, options.keepsSparse};
  Error error = runPasses(module, [&](OpPassManager &pm) { build(pm, pipeline); });
  if (!error || options.kernels.empty() || error.isA<onnx::OwnFault>())
    return error;
  return fault(llvm::toString(std::move(error)));
}

Expected<int64_t> mlir::rt3::fuse(ModuleOp module, int64_t foldBudget) {
  FoldLimits limits = foldLimits(module, foldBudget);
  foldConstants(module, limits);
  for (StringRef name : {graph::kContextAttr, graph::kMaxLengthAttr})
    if (auto count = module->getAttrOfType<IntegerAttr>(name)) {
      foldPositions(module, count.getInt(), limits);
      break;
    }
  if (Error error = runPasses(module, buildFusePipeline))
    return std::move(error);
  // Fusing turns what is left into constants: scales, tables of positions.
  foldConstants(module, limits);
  return countUnfolded(module);
}

Error mlir::rt3::fuseElementwise(ModuleOp module) { return runPasses(module, buildFuseElementwisePipeline); }

Error mlir::rt3::quantize(ModuleOp module, const CompileOptions &options) {
  if (!options.precision)
    return Error::success();
  StringRef name = graph::stringifyPrecision(*options.precision);
  // f16 weights are multiplied as f32.
  if (options.precision != graph::Precision::F16 && !findProducts(options.device, options.precision)) {
    std::string others;
    for (const Device &device : allDevices())
      if (findProducts(device, options.precision))
        others += (others.empty() ? "" : ", ") + device.name +
                  (device.name == options.device.name ? " (not this machine)" : "");
    std::string type = name.str(); // As --type has it.
    std::replace(type.begin(), type.end(), '_', '-');
    return llvm::make_error<onnx::OptionFault>("target " + options.device.name + " has no products of " + type +
                                                   "; those that have: " + others,
                                               llvm::inconvertibleErrorCode());
  }
  if (Error error = runPasses(module, [&](OpPassManager &pm) { buildQuantizePipeline(pm, name, options.keepF32); }))
    return error.isA<onnx::OwnFault>()
               ? std::move(error)
               : llvm::make_error<onnx::OptionFault>(llvm::toString(std::move(error)), llvm::inconvertibleErrorCode());
  return Error::success();
}

Expected<onnx::ImportResult> mlir::rt3::importAndFuse(MLIRContext *context, StringRef path,
                                                      const onnx::ImportOptions &options, int64_t *unfoldedCount) {
  auto result = onnx::importModel(context, path, options);
  if (!result || !result->module)
    return result;
  auto unfolded = fuse(*result->module, options.foldBudget);
  if (!unfolded)
    return unfolded.takeError();
  if (unfoldedCount)
    *unfoldedCount = *unfolded;
  return result;
}

static std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  OpPrintingFlags flags;
  flags.elideLargeElementsAttrs(16).elideLargeResourceString(64);
  module->print(stream, flags);
  return text;
}

//===-- What the kernel dialect says of the program -----------------------===//

static std::vector<TensorDescription> describeTensors(ArrayRef<Type> types, ArrayAttr attributes, StringRef otherwise) {
  std::vector<TensorDescription> result;
  for (auto [i, type] : llvm::enumerate(types)) {
    RankedTensorType tensor = cast<kernel::BufferType>(type).getTensor();
    TensorDescription description;
    StringAttr name;
    if (attributes)
      name = dyn_cast_or_null<StringAttr>(cast<DictionaryAttr>(attributes[i]).get("rt3_graph.name"));
    description.name = name ? name.str() : (otherwise + Twine(i)).str();
    Type element = tensor.getElementType();
    description.elementType = element.isF32()         ? RT3_FLOAT32
                              : element.isInteger(64) ? RT3_INT64
                              : element.isInteger(32) ? RT3_INT32
                                                      : RT3_BOOL;
    for (int64_t size : tensor.getShape())
      description.dims.push_back(ShapedType::isDynamic(size) ? -1 : size);
    result.push_back(description);
  }
  return result;
}

// The stream as the runtime will check it.
static StreamDescription describeStream(kernel::LinearOp op, kernel::StreamAttr stream, kernel::WeightsOp weights) {
  auto inputs = kernel::inputWords(op);
  auto outputs = cast<kernel::BufferType>(op.getType()).getTensor().getShape().back();
  StreamDescription result;
  result.offset = *weights.getOffset();
  // Without the padding behind the last value.
  result.length = weights.getData().getNumElements() - 16;
  int64_t ranges = llvm::divideCeil(inputs, stream.getRange());
  int64_t last = inputs - (ranges - 1) * stream.getRange();
  result.rangeCount = ranges;
  result.groupCount = llvm::alignTo(outputs, kernel::kFeatureMultiple) / stream.getRows();
  result.valueSize = stream.getValueSize();
  result.unroll = stream.getFilled() ? stream.getUnroll() : 1;
  result.entries = stream.getGathered() ? stream.getColumns() : 1;
  // A block reads `columns` inputs from its index on, a gathered one a single
  // input per index. A block may begin before the last input and end behind it:
  // features are rounded up to 8, of which every block size is a divisor.
  int64_t vectors = kernel::vectorsPerWord(op.getTile(), op.getDot());
  int64_t width = stream.getGathered() ? 1 : stream.getColumns();
  auto limit = [&](int64_t size) { return (llvm::alignTo(size, width) - width) * vectors; };
  result.indexLimit = limit(stream.getRange());
  result.lastIndexLimit = limit(last);
  for (int64_t pattern : stream.getPatterns().asArrayRef())
    result.patternValues.push_back(llvm::popcount(uint64_t(pattern)));
  if (auto parts = stream.getParts()) {
    int64_t eights = llvm::divideCeil(outputs, kernel::kFeatureMultiple), count = parts.size() / ranges;
    for (int64_t part = 0; part < count; ++part)
      result.partGroups.push_back(eights * part / count * kernel::kFeatureMultiple / stream.getRows());
    result.partOffsets.assign(parts.asArrayRef().begin(), parts.asArrayRef().end());
  }
  return result;
}

static std::string kernelText(kernel::LinearOp op) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  int64_t width = op.getTile().getVectors() * op.getTile().getLanes();
  for (auto part : op.getStreams().getAsRange<kernel::StreamAttr>()) {
    stream << (text.empty() ? "" : " + ");
    if (part.getPatterns().asArrayRef().empty()) {
      stream << "dense, tile " << part.getRows() << "x" << width << " (rows:" << part.getRows() << ")";
      continue;
    }
    stream << part.getRows() << "x" << part.getColumns() << (part.getGathered() ? " gathered" : "") << " "
           << part.getPatterns().size() << " patterns, tile " << part.getPass() << "x" << width
           << " (rows:" << part.getPass() << ",unroll:" << part.getUnroll() << ",filled:" << part.getFilled()
           << ",range:" << part.getRange() << ")";
  }
  stream << ", " << op.getTile().getIsa();
  return text;
}

static LayerReport reportLayer(kernel::LinearOp op, StringRef level, SymbolTable &symbols) {
  LayerReport report{};
  report.layer = op.getLayer().str();
  report.level = level.str();
  report.kernel = kernelText(op);
  for (auto stream : op.getStreams().getAsRange<kernel::StreamAttr>())
    report.storedSize += symbols.lookup<kernel::WeightsOp>(stream.getWeights().getValue()).getData().getNumElements();
  if (auto facts = op->getAttrOfType<DictionaryAttr>(graph::kReportAttr)) {
    auto integer = [&](StringRef name) { return cast<IntegerAttr>(facts.get(name)).getInt(); };
    auto real = [&](StringRef name) { return cast<FloatAttr>(facts.get(name)).getValueAsDouble(); };
    auto text = [&](StringRef name) { return cast<StringAttr>(facts.get(name)).str(); };
    report.inputs = integer("inputs");
    report.outputs = integer("outputs");
    report.tokens = integer("tokens");
    report.kept = integer("kept");
    report.type = text("type");
    report.scheme = text("scheme");
    report.reason = text("reason");
    report.cycles = real("cycles");
    report.denseCycles = real("dense_cycles");
  }
  return report;
}

// Fills in what the planned kernel module says.
static void describe(ModuleOp module, const CompileOptions &options, CompileResult &result) {
  ProgramDescription &program = result.program;
  program.name = options.name;
  program.requiredFeatures = options.device.requiredFeatures;
  if (auto attribute = module->getAttrOfType<IntegerAttr>(graph::kMaxLengthAttr))
    program.maxLength = attribute.getInt();
  SymbolTable symbols(module);
  std::map<std::string, int64_t> others;
  std::map<uint64_t, std::vector<StreamDescription>> streamsAt;
  if (auto size = module->getAttrOfType<IntegerAttr>(kernel::kStateSizeAttr))
    program.stateSize = size.getInt();
  if (auto context = module->getAttrOfType<IntegerAttr>(graph::kContextAttr))
    program.contextLength = context.getInt();
  std::set<std::string> features;
  for (auto [index, function] : llvm::enumerate(module.getOps<func::FuncOp>())) {
    program.workspaceSize = std::max<uint64_t>(
        program.workspaceSize, function->getAttrOfType<IntegerAttr>(kernel::kWorkspaceSizeAttr).getInt());
    if (function->hasAttr(graph::kTokenOfAttr))
      continue; // Behind all levels, of whose parts it is made.
    if (index == 0) {
      program.inputs = describeTensors(function.getArgumentTypes(), function.getArgAttrsAttr(), "input");
      program.outputs = describeTensors(function.getResultTypes(), function.getResAttrsAttr(), "output");
    }
    program.levelFunctions.push_back(function.getName().str());
    const LevelSpec &level = options.levels.levels[index];
    function.walk([&](kernel::LinearOp op) {
      result.layers.push_back(reportLayer(op, level.name, symbols));
      for (auto &[precision, products] : options.device.products)
        if (products.dot == op.getDot()) {
          program.requiredFeatures |= products.requiredFeatures;
          features.insert(products.features);
        }
      for (auto stream : op.getStreams().getAsRange<kernel::StreamAttr>())
        if (!stream.getPatterns().asArrayRef().empty()) {
          // Equal bytes may be read by layers with other limits: each is checked.
          StreamDescription description =
              describeStream(op, stream, symbols.lookup<kernel::WeightsOp>(stream.getWeights().getValue()));
          if (!llvm::is_contained(streamsAt[description.offset], description)) {
            streamsAt[description.offset].push_back(description);
            program.streams.push_back(description);
          }
        }
    });
    if (index == 0)
      function.walk([&](Operation *op) {
        if (op->getName().getDialectNamespace() == "rt3_kernel" && !isa<kernel::LinearOp, kernel::ConstantOp>(op))
          ++others[op->getName().stripDialect().str()];
      });
  }
  program.targetFeatures = llvm::join(features, ",");
  for (auto &[kind, count] : others)
    result.others.push_back({kind, count});
  for (auto weights : module.getOps<kernel::WeightsOp>()) {
    result.weights.resize(*weights.getOffset(), '\0');
    ArrayRef<char> bytes = graph::rawBytes(weights.getData());
    result.weights.append(bytes.begin(), bytes.end());
  }
  // A workspace of one line at least, so that a pointer to it means something.
  program.workspaceSize = std::max<uint64_t>(program.workspaceSize, 64);
  program.weightsSize = result.weights.size();
  // The code follows from the printed module and the device; weights have their
  // hash for a name.
  llvm::SHA256 hash;
  hash.update(print(module));
  hash.update(options.device.name + options.name);
  auto digest = hash.final();
  std::copy(digest.begin(), digest.begin() + 16, program.modelId.begin());
}

// Bytes of a buffer, added to the power of the length that it grows with.
static void addBytes(Value value, std::array<double, 3> &bytes) {
  auto buffer = dyn_cast<kernel::BufferType>(value.getType());
  if (!buffer || value.getDefiningOp<kernel::ConstantOp>())
    return;
  RankedTensorType tensor = buffer.getTensor();
  double size = std::max(1u, tensor.getElementType().getIntOrFloatBitWidth() / 8);
  size_t power = 0;
  for (int64_t dim : tensor.getShape()) {
    if (ShapedType::isDynamic(dim))
      ++power;
    else
      size *= dim;
  }
  bytes[std::min<size_t>(power, bytes.size() - 1)] += size;
}

// Ranges of inputs of all streams: results are stored after each, and loaded before each but the first.
static int64_t countRanges(kernel::LinearOp op) {
  int64_t ranges = 0;
  for (auto stream : op.getStreams().getAsRange<kernel::StreamAttr>())
    ranges += llvm::divideCeil(kernel::inputWords(op), stream.getRange());
  return ranges;
}

// What an op reads and writes, views as what they show.
static SetVector<Value> buffersOf(Operation &op) {
  SetVector<Value> buffers;
  for (Value value : llvm::concat<Value>(llvm::to_vector(op.getOperands()), llvm::to_vector(op.getResults()))) {
    while (auto view = value.getDefiningOp<kernel::ViewOp>())
      value = view->getOperand(0);
    buffers.insert(value);
  }
  return buffers;
}

// Numbers the ops that have code.
static void markOps(ModuleOp module, std::vector<MarkedOp> &ops) {
  SymbolTable symbols(module);
  Builder b(module.getContext());
  size_t level = 0, levels = 0;
  for (auto function : module.getOps<func::FuncOp>())
    levels += !function->hasAttr(graph::kTokenOfAttr);
  for (auto function : module.getOps<func::FuncOp>()) {
    SetVector<Value> buffersBefore;
    int64_t weightsBefore = 0;
    for (Operation &op : function.getBody().front()) {
      if (isa<kernel::ViewOp, kernel::ConstantOp, kernel::ScratchOp, func::ReturnOp>(op))
        continue;
      MarkedOp marked{int64_t(ops.size()), level % levels, op.getName().stripDialect().str(), {}};
      if (auto linear = dyn_cast<kernel::LinearOp>(op)) {
        marked.layer = linear.getLayer().str();
        marked.panelTokens = linear.getTile().getLanes() * linear.getTile().getVectors();
        for (auto stream : linear.getStreams().getAsRange<kernel::StreamAttr>())
          marked.weightBytes +=
              symbols.lookup<kernel::WeightsOp>(stream.getWeights().getValue()).getData().getNumElements();
        addBytes(linear.getResult(), marked.partialSumBytes);
        for (double &bytes : marked.partialSumBytes)
          bytes *= 2 * (countRanges(linear) - 1);
      }
      for (Value value : llvm::concat<Value>(llvm::to_vector(op.getOperands()), llvm::to_vector(op.getResults())))
        addBytes(value, marked.activationBytes);
      SetVector<Value> buffers = buffersOf(op), touched = buffers;
      touched.insert_range(buffersBefore);
      for (Value value : touched)
        addBytes(value, marked.touchedBytes);
      marked.touchedBytes[0] += marked.weightBytes + weightsBefore;
      buffersBefore = std::move(buffers);
      weightsBefore = marked.weightBytes;
      op.setAttr(kernel::kMarkAttr, b.getI64IntegerAttr(marked.mark));
      ops.push_back(std::move(marked));
    }
    ++level;
  }
}

//===-- All stages --------------------------------------------------------===//

Expected<CompileResult> mlir::rt3::compileModel(MLIRContext *context, StringRef path, const CompileOptions &options) {
  int64_t unfoldedCount = 0;
  auto imported = importAndFuse(context, path, options.import, &unfoldedCount);
  if (!imported)
    return imported.takeError();
  if (!imported->problems.empty()) {
    CompileResult result;
    result.nodeCount = imported->nodeCount;
    result.problems = std::move(imported->problems);
    return result;
  }
  if (Error error = quantize(*imported->module, options))
    return std::move(error);
  auto result = compileGraph(*imported->module, options);
  if (!result) {
    Error error = result.takeError();
    if (error.isA<onnx::OwnFault>() || error.isA<onnx::OptionFault>())
      return std::move(error);
    return llvm::createStringError(path + ": " + llvm::toString(std::move(error)));
  }
  result->nodeCount = imported->nodeCount;
  result->unfoldedCount = unfoldedCount;
  return result;
}

void mlir::rt3::setOrigin(Plan &plan, StringRef path, const CompileOptions &options) {
  plan.model = path.str();
  graph::PruningUnits units = pruningUnits(options.device);
  if (options.precision && units.count(*options.precision))
    plan.unit = units[*options.precision];
  plan.precision = options.precision ? graph::stringifyPrecision(*options.precision).str() : "f32";
}

Expected<CompileResult> mlir::rt3::compileGraph(ModuleOp module, const CompileOptions &options) {
  if (Error error = prune(module, options))
    return std::move(error);
  return compilePruned(module, options);
}

Expected<CompileResult> mlir::rt3::compilePruned(ModuleOp module, const CompileOptions &options) {
  CompileResult result;
  if (options.stage == Stage::Graph) {
    result.text = print(module);
    return result;
  }
  if (Error error = runKernelPasses(module, options, buildGraphToKernelPipeline))
    return std::move(error);
  describe(module, options, result);
  if (options.stage == Stage::Kernel) {
    result.text = print(module);
    return result;
  }
  if (options.marksOps)
    markOps(module, result.ops);
  if (Error error = runPasses(module, buildKernelToLoopsPipeline))
    return std::move(error);
  // Weights are data of the bundle, not of the code.
  for (auto weights : llvm::make_early_inc_range(module.getOps<kernel::WeightsOp>()))
    weights.erase();
  for (auto level : llvm::make_early_inc_range(module.getOps<graph::LevelOp>()))
    level.erase();
  if (Error error = runPasses(module, buildLoopsToLlvmPipeline))
    return std::move(error);
  auto program = optimizeProgram(module, options.device, result.program);
  if (!program)
    return program.takeError();
  if (options.stage == Stage::Profile) {
    StringRef model = options.schedulerModel.empty() ? options.device.tuneCpu : options.schedulerModel;
    auto profile = CodeProfile::make(std::move(*program), options.device, result.program, model, options.window);
    if (!profile)
      return profile.takeError();
    result.profile = std::move(*profile);
    return result;
  }
  EmitKind kind = options.stage == Stage::Llvm       ? EmitKind::LlvmIr
                  : options.stage == Stage::Assembly ? EmitKind::Assembly
                                                     : EmitKind::Object;
  auto code = emit(*program, kind, &result.loops);
  if (!code)
    return code.takeError();
  (options.stage == Stage::Library ? result.object : result.text) = std::move(*code);
  return result;
}
