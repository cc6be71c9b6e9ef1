// SPDX-License-Identifier: Apache-2.0

#include "compiler/onnx/Model.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Errno.h"
#include "llvm/Support/MathExtras.h"

#include <google/protobuf/io/coded_stream.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace mlir::rt3::onnx;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;
using llvm::StringRef;
using llvm::Twine;

int64_t TensorData::elementCount() const {
  int64_t count = 1;
  for (int64_t size : dims)
    count *= size;
  return count;
}

namespace {
// Closes a file descriptor.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0)
      close(number);
  }
};
} // namespace

static std::string systemError() { return llvm::sys::StrError(errno); }

static Error readExactly(int file, off_t offset, llvm::MutableArrayRef<char> out) {
  for (size_t done = 0; done < out.size();) {
    ssize_t count = pread(file, out.data() + done, out.size() - done, offset + done);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return createStringError(count < 0 ? systemError() : std::string("the file has become shorter"));
    done += count;
  }
  return Error::success();
}

// The size of a regular file.
static Expected<int64_t> fileSize(int file) {
  struct stat info;
  if (fstat(file, &info) != 0)
    return createStringError(systemError());
  if (!S_ISREG(info.st_mode))
    return createStringError("it is not a regular file");
  return info.st_size;
}

Expected<ModelProto> mlir::rt3::onnx::readModel(StringRef path) {
  auto fail = [&](const Twine &why) { return createStringError(path + ": cannot be read: " + why); };
  // Not to wait for a writer if it is a pipe.
  Descriptor file{open(path.str().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0)
    return fail(systemError());
  Expected<int64_t> size = fileSize(file.number);
  if (!size)
    return fail(llvm::toString(size.takeError()));
  if (*size > kMaxFileSize)
    return fail("it has " + Twine(*size) + " bytes, more than the " + Twine(kMaxFileSize) +
                " of a protobuf file; save the weights as external data");
  std::string bytes(*size, '\0');
  if (Error error = readExactly(file.number, 0, llvm::MutableArrayRef<char>(bytes.data(), bytes.size())))
    return fail(llvm::toString(std::move(error)));
  Expected<ModelProto> model = parseModel(bytes);
  if (!model)
    return createStringError(path + ": " + llvm::toString(model.takeError()));
  return model;
}

Expected<ModelProto> mlir::rt3::onnx::parseModel(StringRef bytes) {
  ModelProto model;
  if (bytes.empty())
    return createStringError("the file is empty, expected an ONNX model");
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
  stream.SetTotalBytesLimit(INT_MAX);
  if (!model.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    return createStringError("this is not an ONNX model, or it is truncated (protobuf cannot parse it)");
  if (!model.has_graph())
    return createStringError("this is not an ONNX model: it has no graph");
  return model;
}

// Opens `path` below `folder`, one component after the other, never through a
// link.
static Expected<int> openBelow(StringRef folder, StringRef path) {
  llvm::SmallVector<StringRef> parts;
  path.split(parts, '/');
  if (path.empty() || path.starts_with("/") || path.contains('\0') ||
      llvm::any_of(parts, [](StringRef part) { return part == ".." || part.empty(); }))
    return createStringError("the path leaves the folder of the model");
  int current = open(folder.empty() ? "." : folder.str().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (auto [i, part] : llvm::enumerate(parts)) {
    if (current < 0)
      return createStringError(systemError());
    bool isLast = i + 1 == parts.size();
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (isLast ? 0 : O_DIRECTORY);
    int next = openat(current, part.str().c_str(), flags);
    close(current);
    current = next;
  }
  if (current < 0)
    return createStringError(errno == ELOOP ? std::string("it is a link") : systemError());
  struct stat info;
  if (fstat(current, &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink != 1) {
    close(current);
    return createStringError("it is not a regular file, or it has several links");
  }
  return current;
}

static Expected<std::string> readExternal(const TensorProto &tensor, StringRef folder, int64_t expectedSize) {
  std::string location;
  int64_t offset = 0, length = -1;
  llvm::SmallVector<StringRef> seen;
  for (const StringStringEntryProto &entry : tensor.external_data()) {
    StringRef key = entry.key();
    if (llvm::is_contained(seen, key))
      return createStringError("external data has \"" + key + "\" twice");
    seen.push_back(key);
    int64_t *number = key == "offset" ? &offset : key == "length" ? &length : nullptr;
    if (key == "location")
      location = entry.value();
    else if (number && (StringRef(entry.value()).getAsInteger(10, *number) || *number < 0))
      return createStringError("external data has " + key + " \"" + entry.value() + "\", expected a number of bytes");
  }
  if (length >= 0 && length != expectedSize)
    return createStringError("external data has " + Twine(length) + " bytes, expected " + Twine(expectedSize));
  Expected<int> opened = openBelow(folder, location);
  if (!opened)
    return createStringError("external data \"" + location + "\": " + llvm::toString(opened.takeError()));
  Descriptor file{*opened};
  Expected<int64_t> size = fileSize(file.number);
  if (!size)
    return size.takeError();
  if (offset > *size || expectedSize > *size - offset)
    return createStringError("external data \"" + location + "\" has " + Twine(*size) + " bytes, expected " +
                             Twine(expectedSize) + " at " + Twine(offset));
  std::string bytes(expectedSize, '\0');
  if (Error error = readExactly(file.number, offset, llvm::MutableArrayRef<char>(bytes.data(), bytes.size())))
    return createStringError("external data \"" + location + "\": " + llvm::toString(std::move(error)));
  return bytes;
}

int64_t mlir::rt3::onnx::storedElementSize(int32_t type) {
  switch (type) {
  case TensorProto::BOOL:
  case TensorProto::INT8:
  case TensorProto::UINT8:
    return 1;
  case TensorProto::FLOAT16:
  case TensorProto::BFLOAT16:
  case TensorProto::INT16:
  case TensorProto::UINT16:
    return 2;
  case TensorProto::FLOAT:
  case TensorProto::INT32:
    return 4;
  case TensorProto::DOUBLE:
  case TensorProto::INT64:
    return 8;
  default:
    return 0;
  }
}

static float fromHalf(uint16_t bits, const llvm::fltSemantics &semantics) {
  llvm::APFloat value(semantics, llvm::APInt(16, bits));
  bool losesInfo;
  value.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  return value.convertToFloat();
}

namespace {

// Collects elements under the type that the compiler keeps.
struct Elements {
  TensorData &out;

  template <typename T> void append(T value) {
    const char *begin = reinterpret_cast<const char *>(&value);
    out.bytes.insert(out.bytes.end(), begin, begin + sizeof value);
  }

  // One element of raw data.
  void appendRaw(int32_t type, const char *bytes) {
    auto read = [&]<typename T>(T) {
      T value;
      memcpy(&value, bytes, sizeof value);
      return value;
    };
    switch (type) {
    case TensorProto::BOOL:
      return append<uint8_t>(*bytes != 0);
    case TensorProto::INT8:
      return append<int32_t>(read(int8_t()));
    case TensorProto::UINT8:
      return append<int32_t>(read(uint8_t()));
    case TensorProto::INT16:
      return append<int32_t>(read(int16_t()));
    case TensorProto::UINT16:
      return append<int32_t>(read(uint16_t()));
    case TensorProto::FLOAT16:
      return append(fromHalf(read(uint16_t()), llvm::APFloat::IEEEhalf()));
    case TensorProto::BFLOAT16:
      return append(fromHalf(read(uint16_t()), llvm::APFloat::BFloat()));
    case TensorProto::DOUBLE:
      return append<float>(read(double()));
    default:
      out.bytes.insert(out.bytes.end(), bytes, bytes + storedElementSize(type));
    }
  }
};

} // namespace

static int32_t keptType(int32_t type) {
  switch (type) {
  case TensorProto::FLOAT:
  case TensorProto::FLOAT16:
  case TensorProto::BFLOAT16:
  case TensorProto::DOUBLE:
    return TensorProto::FLOAT;
  case TensorProto::INT8:
  case TensorProto::UINT8:
  case TensorProto::INT16:
  case TensorProto::UINT16:
    return TensorProto::INT32;
  default:
    return type;
  }
}

Expected<TensorData> mlir::rt3::onnx::readTensor(const TensorProto &tensor, StringRef folder) {
  auto fail = [&](const Twine &why) { return createStringError("tensor \"" + tensor.name() + "\": " + why); };
  int64_t elementSize = storedElementSize(tensor.data_type());
  if (elementSize == 0)
    return fail("element type " + Twine(tensor.data_type()) +
                " is not supported; only bool, float and integers of 8 to 64 bits are");
  TensorData data;
  data.elementType = keptType(tensor.data_type());
  int64_t count = 1;
  for (int64_t size : tensor.dims()) {
    int64_t product;
    if (size < 0 || llvm::MulOverflow(count, size, product) || product > kMaxFileSize)
      return fail("dimensions are negative, or their product is over " + Twine(kMaxFileSize));
    count = product;
    data.dims.push_back(size);
  }
  if (count > kMaxFileSize / elementSize)
    return fail("it has " + Twine(count) + " elements, over 2 GiB");
  Elements elements{data};
  auto readRaw = [&](StringRef bytes) -> Error {
    if (int64_t(bytes.size()) != count * elementSize)
      return createStringError("it has " + Twine(bytes.size()) + " bytes, expected " + Twine(count * elementSize) +
                               " for " + Twine(count) + " elements");
    data.bytes.reserve(count * elementSize);
    if (keptType(tensor.data_type()) == tensor.data_type() && tensor.data_type() != TensorProto::BOOL)
      data.bytes.assign(bytes.begin(), bytes.end());
    else
      for (int64_t i = 0; i < count; ++i)
        elements.appendRaw(tensor.data_type(), bytes.data() + i * elementSize);
    return Error::success();
  };
  if (tensor.data_location() == TensorProto::EXTERNAL) {
    Expected<std::string> bytes = readExternal(tensor, folder, count * elementSize);
    if (!bytes)
      return fail(llvm::toString(bytes.takeError()));
    if (Error error = readRaw(*bytes))
      return fail(llvm::toString(std::move(error)));
    return data;
  }
  int64_t typed =
      tensor.float_data_size() + tensor.int32_data_size() + tensor.int64_data_size() + tensor.double_data_size();
  if (tensor.has_raw_data()) {
    if (typed != 0)
      return fail("it has both raw and typed data");
    if (Error error = readRaw(tensor.raw_data()))
      return fail(llvm::toString(std::move(error)));
    return data;
  }
  int64_t declared = tensor.data_type() == TensorProto::FLOAT    ? tensor.float_data_size()
                     : tensor.data_type() == TensorProto::DOUBLE ? tensor.double_data_size()
                     : tensor.data_type() == TensorProto::INT64  ? tensor.int64_data_size()
                                                                 : tensor.int32_data_size();
  if (typed != count)
    return fail("it has " + Twine(typed) + " elements, expected " + Twine(count));
  if (declared != count)
    return fail("its data does not have the element type that it declares");
  for (float value : tensor.float_data())
    elements.append(value);
  for (double value : tensor.double_data())
    elements.append<float>(value);
  for (int64_t value : tensor.int64_data())
    elements.append(value);
  for (int32_t value : tensor.int32_data()) {
    if (tensor.data_type() == TensorProto::FLOAT16)
      elements.append(fromHalf(value, llvm::APFloat::IEEEhalf()));
    else if (tensor.data_type() == TensorProto::BFLOAT16)
      elements.append(fromHalf(value, llvm::APFloat::BFloat()));
    else if (tensor.data_type() == TensorProto::BOOL)
      elements.append<uint8_t>(value != 0);
    else
      elements.append(value);
  }
  return data;
}
