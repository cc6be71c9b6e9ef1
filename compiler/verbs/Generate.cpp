// SPDX-License-Identifier: Apache-2.0
//
// rt3c generate: writes a text with a language model, the likeliest token each time.

#include "compiler/verbs/LoadedModel.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <map>
#include <utility>

using namespace mlir::rt3;

// Why `program` is no language model over tokens, one text a run; empty if it is.
static std::string misfit(const rt3_program_t &program) {
  if (program.state_size == 0)
    return "was compiled without --kv-cache";
  const rt3_tensor_t &ids = program.inputs[0], &logits = program.outputs[0];
  bool takesIds = program.input_count == 1 && ids.rank == 2 && ids.dims[0] == 1 && ids.dims[1] == -1 &&
                  (ids.element_type == RT3_INT64 || ids.element_type == RT3_INT32);
  bool givesLogits = logits.element_type == RT3_FLOAT32 && logits.rank == 3 && logits.dims[0] == 1 &&
                     logits.dims[1] == -1 && logits.dims[2] > 0;
  if (!takesIds || !givesLogits)
    return "is no model from token numbers [1, length] to logits [1, length, vocabulary]";
  return "";
}

namespace {

class Generator {
public:
  Generator(LoadedModel &model) : model(model), program(model.program()), vocabulary(program.outputs[0].dims[2]) {
    idMemory = allocateAligned(tensorSize(program.inputs[0], program.max_length));
    for (uint32_t i = 0; i < program.output_count; ++i) {
      memory.push_back(allocateAligned(tensorSize(program.outputs[i], program.max_length)));
      outputs.push_back(memory.back().get());
    }
  }

  // Reads `ids` and returns the likeliest token after them.
  llvm::Expected<int64_t> read(llvm::ArrayRef<int64_t> ids) {
    int64_t last = 0;
    while (!ids.empty()) {
      llvm::ArrayRef<int64_t> part = ids.take_front(program.max_length);
      for (auto [i, id] : llvm::enumerate(part)) {
        int32_t narrow = int32_t(id);
        if (program.inputs[0].element_type == RT3_INT64)
          memcpy(idMemory.get() + 8 * i, &id, 8);
        else
          memcpy(idMemory.get() + 4 * i, &narrow, 4);
      }
      timespec before, after;
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
      if (llvm::Error error = model.run({idMemory.get()}, outputs, part.size(), position))
        return std::move(error);
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
      milliseconds += (after.tv_sec - before.tv_sec) * 1e3 + (after.tv_nsec - before.tv_nsec) / 1e6;
      position += part.size();
      last = part.size() - 1;
      ids = ids.drop_front(part.size());
    }
    const float *logits = reinterpret_cast<const float *>(memory[0].get()) + last * vocabulary;
    return std::max_element(logits, logits + vocabulary) - logits;
  }

  double takeMilliseconds() { return std::exchange(milliseconds, 0); }

private:
  LoadedModel &model;
  const rt3_program_t &program;
  int64_t vocabulary, position = 0;
  AlignedMemory idMemory;
  std::vector<AlignedMemory> memory;
  std::vector<void *> outputs;
  double milliseconds = 0; // Of runs, thread CPU time.
};

} // namespace

// The prompt's tokens: numbers, or the bytes of a text.
static llvm::Expected<std::vector<int64_t>> promptOf(const GenerateVerb &verb, int64_t vocabulary) {
  std::vector<int64_t> ids;
  if (verb.ids.empty() == verb.prompt.empty())
    return llvm::createStringError("give either --prompt TEXT (a token per byte) or --ids \"1 403\"");
  if (!verb.prompt.empty() && vocabulary != 256)
    return llvm::createStringError("--prompt is for models with a token per byte, this one has " +
                                   llvm::Twine(vocabulary) + " tokens; give --ids with the numbers of its tokenizer");
  for (unsigned char byte : verb.prompt)
    ids.push_back(byte);
  llvm::SmallVector<llvm::StringRef> words;
  llvm::SplitString(verb.ids, words);
  for (llvm::StringRef word : words)
    if (word.getAsInteger(10, ids.emplace_back()) || ids.back() < 0 || ids.back() >= vocabulary)
      return llvm::createStringError("--ids \"" + word + "\" is no token from 0 to " + llvm::Twine(vocabulary - 1));
  if (ids.empty())
    return llvm::createStringError("--ids \"" + verb.ids + "\" has no number");
  return ids;
}

ExitCode mlir::rt3::runGenerate(const GenerateVerb &verb) {
  auto loaded = LoadedModel::load(verb.folder);
  if (!loaded)
    return fail(kExitBadInput, llvm::toString(loaded.takeError()));
  LoadedModel &model = **loaded;
  const rt3_program_t &program = model.program();
  if (std::string why = misfit(program); !why.empty())
    return fail(kExitUsage, verb.folder + ": " + why);
  auto prompt = promptOf(verb, program.outputs[0].dims[2]);
  if (!prompt)
    return fail(kExitUsage, llvm::toString(prompt.takeError()));
  // The last token is not read any more.
  if (verb.tokens > program.context_length - int64_t(prompt->size()) + 1)
    return fail(kExitLimit, "a prompt of " + llvm::Twine(prompt->size()) + " tokens and " + llvm::Twine(verb.tokens) +
                                " more do not fit the " + llvm::Twine(program.context_length) +
                                " of --kv-cache with which the model was compiled");
  // By the number of the token from which it holds; -1 is the prompt.
  std::map<int64_t, uint32_t> levels;
  auto addLevel = [&](int64_t token, const std::string &name) {
    auto level = model.findLevel(name);
    if (level)
      levels[token] = *level;
    return level.takeError();
  };
  if (!verb.level.empty())
    if (llvm::Error error = addLevel(-1, verb.level))
      return fail(kExitUsage, llvm::toString(std::move(error)));
  for (const std::string &text : verb.switches) {
    auto [number, name] = llvm::StringRef(text).split('=');
    int64_t token;
    if (number.getAsInteger(10, token) || token < 0 || token >= verb.tokens)
      return fail(kExitUsage,
                  "--switch " + text + " is not NUMBER=LEVEL with a token from 0 to " + llvm::Twine(verb.tokens - 1));
    if (llvm::Error error = addLevel(token, name.str()))
      return fail(kExitUsage, llvm::toString(std::move(error)));
  }
  Generator generator(model);
  std::vector<int64_t> part = *prompt;
  struct Times {
    double milliseconds = 0;
    int64_t count = 0;
  };
  std::map<uint32_t, Times> times; // Of single tokens, by level.
  double promptTime = 0;
  llvm::outs() << verb.prompt;
  for (int64_t token = -1; token < verb.tokens - 1; ++token) {
    if (auto level = levels.find(token); level != levels.end())
      if (rt3_model_set_level(model.model(), level->second) != RT3_OK)
        return fail(kExitInternal, "a level cannot be set");
    auto next = generator.read(part);
    if (!next)
      return fail(kExitInternal, llvm::toString(next.takeError()));
    double time = generator.takeMilliseconds();
    if (token == -1) {
      promptTime = time;
    } else {
      Times &level = times[rt3_model_level(model.model())];
      level.milliseconds += time;
      ++level.count;
    }
    if (verb.prompt.empty())
      llvm::outs() << (token == -1 ? "" : " ") << *next;
    else
      llvm::outs() << char(*next);
    llvm::outs().flush();
    part = {*next};
  }
  llvm::outs() << "\n";
  llvm::errs() << llvm::formatv("prompt of {0} tokens: {1:f3} ms\n", prompt->size(), promptTime);
  for (auto &[level, time] : times)
    llvm::errs() << llvm::formatv("level {0}: {1:f4} ms per token over {2} tokens (thread CPU time)\n",
                                  model.levels()[level].name, time.milliseconds / time.count, time.count);
  return kExitOk;
}
