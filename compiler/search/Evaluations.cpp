// SPDX-License-Identifier: Apache-2.0

#include "compiler/search/Evaluations.h"

#include "compiler/prune/Levels.h"
#include "compiler/verbs/Outputs.h"
#include "compiler/verbs/Verbs.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/SHA256.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir::rt3;
using llvm::Error;
using llvm::Expected;

static std::string textOf(const llvm::json::Object &object) {
  return llvm::formatv("{0}", llvm::json::Value(llvm::json::Object(object)));
}

static std::string errorText(const llvm::Twine &what) { return textOf(llvm::json::Object{{"error", what.str()}}); }

// A file's name is the hash of its job and all else that its result depends on.
std::string Evaluations::pathOf(const std::string &job) const {
  auto digest = llvm::SHA256::hash(llvm::arrayRefFromStringRef(key + "\n" + job));
  return llvm::toHex(digest, /*LowerCase=*/true).substr(0, 32) + ".json";
}

// Files hold the job, the result's hash and the result: what is damaged or of another job is
// done again.
std::optional<std::string> Evaluations::readResult(const std::string &job) const {
  auto text = readFile(folder + "/" + pathOf(job));
  if (!text) {
    llvm::consumeError(text.takeError());
    return std::nullopt;
  }
  auto [first, rest] = llvm::StringRef(*text).split('\n');
  auto [hash, result] = rest.split('\n');
  auto digest = llvm::SHA256::hash(llvm::arrayRefFromStringRef(result));
  if (first != job || hash != llvm::toHex(digest, /*LowerCase=*/true) || result.contains('\n'))
    return std::nullopt;
  auto value = parseJson(result);
  if (!value) {
    llvm::consumeError(value.takeError());
    return std::nullopt;
  }
  return value->getAsObject() ? std::optional(result.str()) : std::nullopt;
}

namespace {

// A child that does a job and writes its result to a pipe.
struct Child {
  pid_t process;
  int pipe;
  size_t job;
  std::string text;
};

} // namespace

static Child startChild(const std::string &job, size_t number, const Evaluate &evaluate) {
  int ends[2];
  if (pipe(ends) != 0)
    return {-1, -1, number, errorText("no pipe: " + llvm::Twine(strerror(errno)))};
  pid_t parent = getpid(), process = fork();
  if (process == 0) {
    // A child alone would go on for nobody.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
      _exit(1);
    close(ends[0]);
    // Progress lines of children would write over each other.
    if (int nowhere = open("/dev/null", O_WRONLY); nowhere >= 0)
      dup2(nowhere, STDERR_FILENO);
    auto object = parseJson(job);
    std::string result = object ? textOf(evaluate(*object->getAsObject())) : errorText("job is not JSON");
    for (size_t at = 0; at < result.size();) {
      ssize_t written = write(ends[1], result.data() + at, result.size() - at);
      if (written <= 0)
        _exit(1);
      at += written;
    }
    _exit(0);
  }
  close(ends[1]);
  if (process < 0) {
    close(ends[0]);
    return {-1, -1, number, errorText("no process: " + llvm::Twine(strerror(errno)))};
  }
  return {process, ends[0], number, {}};
}

// The result of a child that has closed its pipe.
static std::string finishChild(Child &child) {
  close(child.pipe);
  int status = 0;
  while (waitpid(child.process, &status, 0) < 0 && errno == EINTR)
    ;
  if (WIFSIGNALED(status))
    return errorText("the process was ended by signal " + llvm::Twine(WTERMSIG(status)) + " (" +
                     strsignal(WTERMSIG(status)) + ")");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return errorText("the process ended with code " + llvm::Twine(WEXITSTATUS(status)));
  return child.text;
}

void Evaluations::keep(const std::string &job, std::string &result) const {
  auto parsed = llvm::json::parse(result);
  if (!parsed || !parsed->getAsObject()) {
    llvm::consumeError(parsed.takeError());
    result = errorText("the process wrote no JSON");
    return;
  }
  if (parsed->getAsObject()->get("error"))
    return;
  auto digest = llvm::SHA256::hash(llvm::arrayRefFromStringRef(result));
  std::string file = job + "\n" + llvm::toHex(digest, /*LowerCase=*/true) + "\n" + result;
  if (Error error = writeFiles(folder, {{pathOf(job), file}}))
    result = errorText(llvm::toString(std::move(error)));
}

std::vector<std::string> Evaluations::runProcesses(const std::vector<std::string> &jobs, const ShowEvaluations &show) {
  std::vector<std::string> results(jobs.size());
  std::vector<Child> children;
  size_t next = 0, done = 0;
  auto finish = [&](size_t job, std::string text) {
    results[job] = std::move(text);
    // Kept at once: whoever kills us loses what runs, nothing else.
    keep(jobs[job], results[job]);
    if (show)
      show(++done, jobs.size());
  };
  while (next < jobs.size() || !children.empty()) {
    while (next < jobs.size() && children.size() < size_t(processes)) {
      Child child = startChild(jobs[next], next, evaluate);
      if (child.process < 0)
        finish(next, child.text);
      else
        children.push_back(std::move(child));
      ++next;
    }
    std::vector<pollfd> ready;
    for (const Child &child : children)
      ready.push_back({child.pipe, POLLIN, 0});
    if (ready.empty())
      continue;
    if (poll(ready.data(), ready.size(), -1) < 0) {
      if (errno != EINTR) // Then reading waits for each in turn.
        for (pollfd &each : ready)
          each.revents = POLLIN;
      else
        continue;
    }
    for (size_t i = children.size(); i-- > 0;) {
      if (!ready[i].revents)
        continue;
      char buffer[4096];
      ssize_t size = read(children[i].pipe, buffer, sizeof(buffer));
      if (size > 0) {
        children[i].text.append(buffer, size);
      } else if (size == 0 || errno != EINTR) {
        finish(children[i].job, finishChild(children[i]));
        children.erase(children.begin() + i);
      }
    }
  }
  return results;
}

Expected<std::vector<llvm::json::Object>> Evaluations::run(const std::vector<llvm::json::Object> &jobs,
                                                           const ShowEvaluations &show) {
  // The first process decides what is missing: others may have no view of its disk.
  std::vector<std::string> texts, missing;
  for (const llvm::json::Object &job : jobs)
    texts.push_back(textOf(job));
  std::map<std::string, std::string> found;
  for (const std::string &text : texts)
    if (!known.count(text) && !found.count(text)) {
      auto result = others.rank() == 0 ? readResult(text) : std::nullopt;
      found[text] = result.value_or("");
    }
  std::string list;
  for (auto &[text, result] : found)
    list += text + "\n" + result + "\n";
  list = others.broadcast(list);
  llvm::SmallVector<llvm::StringRef> lines;
  llvm::StringRef(list).split(lines, '\n');
  for (size_t i = 0; i + 1 < lines.size(); i += 2) {
    if (lines[i + 1].empty())
      missing.push_back(lines[i].str());
    else
      known[lines[i].str()] = lines[i + 1].str();
  }
  std::vector<std::string> own;
  for (size_t i = others.rank(); i < missing.size(); i += others.size())
    own.push_back(missing[i]);
  std::string mine;
  for (const std::string &result : runProcesses(own, show))
    mine += result + "\n";
  std::vector<std::string> all = others.gather(mine);
  for (size_t rank = 0; rank < all.size(); ++rank) {
    llvm::SmallVector<llvm::StringRef> results;
    llvm::StringRef(all[rank]).split(results, '\n');
    for (size_t i = 0; rank + i * all.size() < missing.size(); ++i) {
      std::string result = results[i].str();
      // The first process reads them when a search goes on, and may not see the others' disks.
      if (rank != 0 && others.rank() == 0)
        keep(missing[rank + i * all.size()], result);
      known[missing[rank + i * all.size()]] = std::move(result);
    }
  }
  doneCount += missing.size();
  std::vector<llvm::json::Object> results;
  for (const std::string &text : texts) {
    auto value = llvm::cantFail(llvm::json::parse(known[text]));
    if (auto error = value.getAsObject()->getString("error")) {
      std::string why = error->str();
      known.erase(text);
      return llvm::createStringError("evaluation of " + text + ": " + why);
    }
    results.push_back(std::move(*value.getAsObject()));
  }
  return results;
}
