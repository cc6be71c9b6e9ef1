// SPDX-License-Identifier: Apache-2.0
//
// The inputs of a graph: what --shape and the file say of their sizes, and the
// arguments that they become.

#include "compiler/onnx/Importer.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

#include <set>

using namespace mlir;
using namespace mlir::rt3;
using namespace mlir::rt3::onnx;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;

Expected<std::vector<DimensionChoice>> mlir::rt3::onnx::parseShape(StringRef text) {
  std::vector<DimensionChoice> shape;
  SmallVector<StringRef> parts;
  text.split(parts, 'x');
  for (StringRef part : parts) {
    DimensionChoice choice;
    auto [low, high] = part.split("..");
    int64_t first;
    bool isBad = low.getAsInteger(10, first) || first < 1;
    if (part.contains("..")) {
      choice.isFree = true;
      isBad |= high.getAsInteger(10, choice.size) || choice.size < 1 || first != 1;
    } else {
      choice.size = first;
    }
    if (isBad || choice.size > kMaxFileSize)
      return createStringError("\"" + part + "\" in shape \"" + text +
                               "\" is neither a size like 128 nor a range from 1 like 1..384");
    shape.push_back(choice);
  }
  return shape;
}

static Error optionFault(const Twine &message) {
  return llvm::make_error<OptionFault>(message, llvm::inconvertibleErrorCode());
}

// Fixes every dimension of every input, from the options and what the model
// says.
Error Importer::bindShapes() {
  llvm::StringSet<> initializers;
  for (const TensorProto &tensor : model.graph().initializer())
    initializers.insert(tensor.name());
  llvm::StringMap<DimensionChoice> symbols;
  std::set<std::string> used;
  for (auto &[name, choice] : options.shapes)
    if (choice.size() == 1)
      symbols[name] = choice[0];
  // First what is said of whole inputs, so that their symbols count elsewhere.
  for (const ValueInfoProto &input : model.graph().input()) {
    auto found = options.shapes.find(input.name());
    if (found == options.shapes.end() || initializers.contains(input.name()))
      continue;
    used.insert(input.name());
    const TensorShapeProto &shape = input.type().tensor_type().shape();
    if (size_t(shape.dim_size()) != found->second.size())
      return optionFault("--shape " + input.name() + " has " + Twine(found->second.size()) +
                         " dimensions, the input has " + Twine(shape.dim_size()));
    for (int i = 0; i < shape.dim_size(); ++i) {
      const auto &dimension = shape.dim(i);
      DimensionChoice choice = found->second[i];
      if (dimension.has_dim_value() && dimension.dim_value() > 0 &&
          (choice.isFree || choice.size != dimension.dim_value()))
        return optionFault("--shape " + input.name() + " asks for another size of dimension " + Twine(i) +
                           " than the " + Twine(dimension.dim_value()) + " that the model fixes");
      if (!dimension.dim_param().empty())
        symbols.try_emplace(dimension.dim_param(), choice);
    }
  }
  std::string open, openName, example, freeExample;
  struct FreeDimension {
    std::string input;
    int index;
    std::string symbol;

    std::string text() const {
      return "dimension " + std::to_string(index) + " of " + input + (symbol.empty() ? "" : " (" + symbol + ")");
    }
  };
  std::optional<FreeDimension> first;
  for (const ValueInfoProto &input : model.graph().input()) {
    if (initializers.contains(input.name()))
      continue;
    if (!input.type().tensor_type().has_shape())
      return createStringError("the input \"" + input.name() +
                               "\" says neither its rank nor its sizes; infer shapes "
                               "before exporting (onnx.shape_inference)");
    auto found = options.shapes.find(input.name());
    const TensorShapeProto &shape = input.type().tensor_type().shape();
    bool isNamed = found != options.shapes.end();
    std::optional<FreeDimension> own; // Of this input.
    std::vector<Size> sizes;
    for (int i = 0; i < shape.dim_size(); ++i) {
      const auto &dimension = shape.dim(i);
      DimensionChoice choice;
      if (found != options.shapes.end()) {
        choice = found->second[i];
      } else if (dimension.has_dim_value() && dimension.dim_value() > 0) {
        choice.size = dimension.dim_value();
      } else if (auto symbol = symbols.find(dimension.dim_param());
                 !dimension.dim_param().empty() && symbol != symbols.end()) {
        choice = symbol->second;
        used.insert(dimension.dim_param());
      } else {
        open += (open.empty() ? "" : ", ") + input.name() + " dimension " + std::to_string(i) +
                (dimension.dim_param().empty() ? "" : " (" + dimension.dim_param() + ")");
        if (openName.empty()) {
          // An example of the right rank.
          openName = input.name();
          const TensorShapeProto::Dimension *free = nullptr; // The one that may be free.
          for (const auto &other : shape.dim()) {
            std::string size = other.dim_value() > 0                             ? std::to_string(other.dim_value())
                               : &other == &shape.dim(0) && shape.dim_size() > 1 ? "1"
                                                                                 : "128";
            example += (example.empty() ? "" : "x") + size;
            bool isFree = size == "128" && other.dim_value() <= 0 &&
                          (!free || (!other.dim_param().empty() && other.dim_param() == free->dim_param()));
            free = isFree && !free ? &other : free;
            freeExample += (freeExample.empty() ? "" : "x") + (isFree ? "1..128" : size);
          }
        }
        continue;
      }
      if (choice.isFree) {
        if (freeMaximum != 0 && freeMaximum != choice.size)
          return optionFault("two free dimensions have the maxima " + Twine(freeMaximum) + " and " +
                             Twine(choice.size) + "; only one dimension may be free");
        // One length serves all free dimensions, so they must be one: the same
        // symbol, or of inputs whose shapes the user gave alike.
        const std::string &symbol = dimension.dim_param();
        const FreeDimension *other = own ? &*own : first ? &*first : nullptr;
        bool isSame = !other || (!symbol.empty() && symbol == other->symbol) || (!own && isNamed);
        if (!isSame)
          return optionFault("two different dimensions are free: " + other->text() + " and " +
                             FreeDimension{input.name(), i, symbol}.text() + "; fix one of them");
        own = FreeDimension{input.name(), i, symbol};
        first = first ? first : own;
        freeMaximum = choice.size;
      }
      sizes.push_back(choice.isFree ? Size(0, 1) : Size(choice.size));
    }
    inputShapes[input.name()] = sizes;
  }
  std::set<std::string> names;
  for (const ValueInfoProto &input : model.graph().input()) {
    if (initializers.contains(input.name()))
      continue;
    names.insert(input.name());
    for (const auto &dimension : input.type().tensor_type().shape().dim())
      if (!dimension.dim_param().empty())
        names.insert(dimension.dim_param());
  }
  for (auto &[name, choice] : options.shapes)
    if (!used.contains(name))
      return optionFault("--shape " + name +
                         ": the model has no input or symbolic dimension of that name that another --shape "
                         "does not give; there are " +
                         llvm::join(names, ", "));
  if (!open.empty())
    return optionFault("sizes are not known: " + open + "; fix them, for example with --shape " + openName + "=" +
                       example + " or, with one free dimension, --shape " + openName + "=" + freeExample);
  return Error::success();
}

void Importer::chooseInputTypes() {
  for (const ValueInfoProto &input : model.graph().input()) {
    auto shape = inputShapes.find(input.name());
    if (shape == inputShapes.end())
      continue;
    // A node of its own for the messages of typeOf.
    NodeProto proto;
    proto.set_name(input.name());
    proto.set_op_type("input");
    Node node{proto, *this, opsetOf(""), {}};
    auto type = typeOf(node, input.type().tensor_type().elem_type(), shape->second);
    inputs.emplace_back(&input, type.value_or(RankedTensorType()));
  }
}

ArrayAttr Importer::namesAttr(ArrayRef<StringRef> names) {
  SmallVector<Attribute> list;
  for (StringRef name : names)
    list.push_back(b.getDictionaryAttr(b.getNamedAttr("rt3_graph.name", b.getStringAttr(name))));
  return b.getArrayAttr(list);
}

Error Importer::defineInputs(func::FuncOp function) {
  unsigned index = 0;
  SmallVector<StringRef> names;
  for (auto [input, type] : inputs) {
    Tensor tensor;
    tensor.isBroken = !type;
    if (type) {
      tensor = tensorOf(function.getArgument(index++));
      names.push_back(input->name());
    }
    if (Error error = define(input->name(), tensor))
      return error;
  }
  function.setArgAttrsAttr(namesAttr(names));
  return Error::success();
}
