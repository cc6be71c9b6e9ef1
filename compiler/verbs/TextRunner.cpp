// SPDX-License-Identifier: Apache-2.0

#include "compiler/verbs/TextRunner.h"

#include "compiler/Progress.h"
#include "compiler/verbs/SampleInputs.h"

#include <algorithm>
#include <cmath>

using namespace mlir::rt3;

static InputShape shapeOf(const rt3_tensor_t &tensor) {
  return {tensor.name, tensor.element_type == RT3_INT64 || tensor.element_type == RT3_INT32,
          std::vector<int64_t>(tensor.dims, tensor.dims + tensor.rank)};
}

llvm::Expected<TextRunner> TextRunner::make(LoadedModel &model, Task task, const Tokenizer &tokenizer,
                                            const std::string &output) {
  const rt3_program_t &program = model.program();
  if (program.state_size)
    return llvm::createStringError("the model was compiled with --kv-cache; compile it without, texts are read whole");
  TextRunner result(model, task, tokenizer);
  std::vector<InputShape> shapes;
  for (uint32_t i = 0; i < program.input_count; ++i)
    shapes.push_back(shapeOf(program.inputs[i]));
  auto inputs = bindTextInputs(shapes);
  if (!inputs)
    return inputs.takeError();
  result.inputs = *inputs;
  std::string names;
  for (uint32_t i = 0; i < program.output_count; ++i) {
    names += (i ? ", " : "") + std::string(program.outputs[i].name);
    if (output == program.outputs[i].name)
      result.output = i;
    result.memory.push_back(allocateAligned(tensorSize(program.outputs[i], program.max_length)));
    result.outputs.push_back(result.memory.back().get());
  }
  const rt3_tensor_t &tensor = program.outputs[result.output];
  if (!output.empty() && output != tensor.name)
    return llvm::createStringError("the model has no output " + output + "; it has " + names);
  std::vector<int64_t> shape(tensor.dims, tensor.dims + tensor.rank);
  if (tensor.element_type != RT3_FLOAT32)
    shape.clear(); // No task suits.
  if (llvm::Error error = checkTaskOutput(task, tensor.name, shape, *inputs, tokenizer.vocabularySize()))
    return std::move(error);
  result.hasTokens = shape.size() == 3;
  result.width = shape.back();
  return result;
}

llvm::Error TextRunner::run(const TokenText &text) {
  const rt3_program_t &program = model.program();
  std::vector<AlignedMemory> inputMemory;
  std::vector<const void *> pointers;
  for (uint32_t i = 0; i < program.input_count; ++i) {
    inputMemory.push_back(toMemory(program.inputs[i], inputs.elements(i, text)));
    pointers.push_back(inputMemory.back().get());
  }
  return model.run(pointers, outputs, inputs.fixedLength ? 1 : text.ids.size());
}

std::vector<double> TextRunner::pooled(const TokenText &text) const {
  const float *values = reinterpret_cast<const float *>(outputs[output]);
  int64_t count = hasTokens ? text.ids.size() : 1;
  std::vector<double> result(width, 0);
  for (int64_t token = 0; token < count; ++token)
    for (int64_t i = 0; i < width; ++i)
      result[i] += values[token * width + i] / count;
  return result;
}

static double cosine(const std::vector<double> &a, const std::vector<double> &b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return aa == 0 || bb == 0 ? 0 : ab / std::sqrt(aa * bb);
}

llvm::Expected<std::vector<Outcome>> TextRunner::runTable(llvm::ArrayRef<TextExample> examples) {
  int64_t maxLength = inputs.fixedLength ? inputs.fixedLength : model.program().max_length;
  std::vector<Outcome> result;
  Progress progress("rows", examples.size());
  for (const TextExample &example : examples) {
    Outcome outcome{0, example.label};
    if (task == Task::Similarity) {
      if (!example.second)
        return llvm::createStringError("similarity is of two texts: expected --text twice, or columns sentence1 and "
                                       "sentence2");
      std::vector<double> embeddings[2];
      for (int side = 0; side < 2; ++side) {
        TokenText text = tokenizer.encode(side ? *example.second : example.first, nullptr, maxLength);
        if (llvm::Error error = run(text))
          return std::move(error);
        embeddings[side] = pooled(text);
      }
      outcome.prediction = cosine(embeddings[0], embeddings[1]);
    } else {
      TokenText text = tokenizer.encode(example.first, example.second ? &*example.second : nullptr, maxLength);
      if (text.ids.empty())
        return llvm::createStringError("line " + llvm::Twine(example.line) + " has an empty text");
      if (llvm::Error error = run(text))
        return std::move(error);
      const float *values = reinterpret_cast<const float *>(outputs[output]);
      outcome.prediction =
          task == Task::Classification ? std::max_element(values, values + width) - values : double(values[0]);
    }
    if (!std::isfinite(outcome.prediction))
      return llvm::createStringError("line " + llvm::Twine(example.line) + ": the model gives NaN or infinity");
    result.push_back(outcome);
    progress.show(result.size());
  }
  return result;
}

llvm::Expected<std::vector<Outcome>> TextRunner::runText(llvm::StringRef text) {
  int64_t maxLength = inputs.fixedLength ? inputs.fixedLength : model.program().max_length;
  TokenText all = tokenizer.encode(text, nullptr, std::numeric_limits<int64_t>::max());
  int64_t count = all.ids.size();
  if (count < 2)
    return llvm::createStringError("a text of " + llvm::Twine(count) + " tokens has none to predict");
  std::vector<Outcome> result;
  int64_t windows = (count - 1 + maxLength - 1) / maxLength;
  Progress progress("windows", windows);
  for (int64_t begin = 0; begin + 1 < count; begin += maxLength) {
    int64_t length = std::min(maxLength, count - 1 - begin);
    TokenText window{{all.ids.begin() + begin, all.ids.begin() + begin + length}, std::vector<int64_t>(length, 0)};
    if (llvm::Error error = run(window))
      return std::move(error);
    Outcome outcome{0, double(length)};
    for (int64_t token = 0; token < length; ++token) {
      const float *logits = reinterpret_cast<const float *>(outputs[output]) + token * width;
      double largest = *std::max_element(logits, logits + width), sum = 0;
      for (int64_t i = 0; i < width; ++i)
        sum += std::exp(logits[i] - largest);
      outcome.prediction += largest + std::log(sum) - logits[all.ids[begin + token + 1]];
    }
    if (!std::isfinite(outcome.prediction))
      return llvm::createStringError("the window from token " + llvm::Twine(begin) +
                                     ": the model gives NaN or infinity");
    result.push_back(outcome);
    progress.show(result.size());
  }
  return result;
}

llvm::Expected<std::vector<Outcome>> TextRunner::runData(const TaskData &data) {
  auto named = [&](llvm::Error error) {
    return llvm::createStringError(data.path + ": " + llvm::toString(std::move(error)));
  };
  if (task == Task::LanguageModel) {
    auto outcomes = runText(data.text);
    return outcomes ? std::move(outcomes) : named(outcomes.takeError());
  }
  auto examples = parseTable(data.text, data.columns, /*hasLabels=*/true,
                             task == Task::Classification ? std::optional(classCount()) : std::nullopt);
  if (!examples)
    return named(examples.takeError());
  if (data.samples && size_t(data.samples) < examples->size())
    examples->resize(data.samples);
  auto outcomes = runTable(*examples);
  return outcomes ? std::move(outcomes) : named(outcomes.takeError());
}
