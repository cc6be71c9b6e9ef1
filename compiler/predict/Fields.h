// SPDX-License-Identifier: Apache-2.0
//
// Reads the fields of JSON objects in files from outside, and collects all their faults.

#ifndef RT3_COMPILER_PREDICT_FIELDS_H
#define RT3_COMPILER_PREDICT_FIELDS_H

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mlir::rt3 {

// The fields of an object; faults are collected with their places.
class Fields {
public:
  Fields(const llvm::json::Object *object, std::string place, std::vector<std::string> &faults)
      : object(object), place(std::move(place)), faults(faults) {
    if (!object)
      fault("", "an object");
  }

  std::string text(llvm::StringRef name, bool isNeeded = true) {
    const llvm::json::Value *value = get(name);
    if (auto found = value ? value->getAsString() : std::nullopt)
      return found->str();
    if (value || isNeeded)
      fault(name, "a text");
    return {};
  }
  // A number of at least `least`; `otherwise` if there is none and it may lack.
  double number(llvm::StringRef name, double least, std::optional<double> otherwise = std::nullopt) {
    const llvm::json::Value *value = get(name);
    auto found = value ? value->getAsNumber() : std::nullopt;
    if (found && *found >= least && *found <= 1e15)
      return *found;
    if (value || !otherwise) {
      std::string expected;
      llvm::raw_string_ostream(expected) << llvm::format("a number from %g to 1e15", least);
      fault(name, expected);
    }
    return otherwise.value_or(0);
  }
  // A number from 0 to 1, which may lack.
  double share(llvm::StringRef name, double otherwise) {
    double found = number(name, 0, otherwise);
    if (found > 1)
      fault(name, "a number from 0 to 1");
    return found;
  }
  const llvm::json::Array *list(llvm::StringRef name) {
    const llvm::json::Value *value = get(name);
    const llvm::json::Array *found = value ? value->getAsArray() : nullptr;
    if (!found || found->empty())
      fault(name, "a list that is not empty");
    return found;
  }
  std::optional<Fields> inner(llvm::StringRef name) {
    const llvm::json::Value *value = get(name);
    if (!value)
      return std::nullopt;
    return Fields(value->getAsObject(), place + "." + name.str(), faults);
  }
  // What nothing above has asked for is no field.
  void rejectOthers() {
    if (!object)
      return;
    for (const auto &field : *object)
      if (!known.count(field.first.str()))
        faults.push_back(place + "." + field.first.str() + ": is no known field");
  }
  void fault(llvm::StringRef name, const llvm::Twine &expected) {
    const llvm::json::Value *value = name.empty() ? nullptr : get(name);
    std::string found;
    llvm::raw_string_ostream stream(found);
    if (value)
      stream << *value;
    faults.push_back((place + (name.empty() ? "" : "." + name) + ": " +
                      (value ? "found " + llvm::StringRef(found).take_front(40) : llvm::Twine("nothing there")) +
                      ", expected " + expected)
                         .str());
  }

private:
  const llvm::json::Value *get(llvm::StringRef name) {
    known.insert(name.str());
    return object ? object->get(name) : nullptr;
  }

  const llvm::json::Object *object;
  std::string place;
  std::vector<std::string> &faults;
  std::set<std::string> known;
};

} // namespace mlir::rt3

#endif // RT3_COMPILER_PREDICT_FIELDS_H
