// SPDX-License-Identifier: Apache-2.0

#include "compiler/verbs/Npy.h"

#include "rt3/rt3.h"
#include "rt3/rt3_bundle.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using namespace mlir::rt3;
using llvm::createStringError;
using llvm::StringRef;

static const std::pair<const char *, uint32_t> kTypes[] = {
    {"<f4", RT3_FLOAT32}, {"<i4", RT3_INT32}, {"<i8", RT3_INT64}, {"|b1", RT3_BOOL}};

static size_t sizeOf(uint32_t type) { return type == RT3_INT64 ? 8 : type == RT3_BOOL ? 1 : 4; }

StringRef mlir::rt3::elementName(uint32_t elementType) {
  return elementType == RT3_FLOAT32 ? "float32"
         : elementType == RT3_INT64 ? "int64"
         : elementType == RT3_INT32 ? "int32"
                                    : "bool";
}

// The text behind 'key': in a header like {'descr': '<f4', 'shape': (1, 2), }
static StringRef valueOf(StringRef header, StringRef key) {
  return header.split(("'" + key + "':").str()).second.ltrim();
}

llvm::Expected<NpyArray> mlir::rt3::parseNpy(StringRef bytes) {
  if (bytes.size() < 10 || !bytes.starts_with(kNpyMagic))
    return createStringError("this is no .npy file");
  bool isLong = bytes[6] >= 2;
  size_t start = isLong ? 12 : 10;
  uint32_t length = 0;
  if (bytes.size() < start)
    return createStringError("the .npy header is truncated");
  memcpy(&length, bytes.data() + 8, isLong ? 4 : 2);
  if (length > bytes.size() - start)
    return createStringError("the .npy header is truncated");
  StringRef header = bytes.substr(start, length), data = bytes.substr(start + length);
  NpyArray array;
  StringRef type = valueOf(header, "descr").substr(1, 3);
  for (auto [name, elementType] : kTypes)
    if (type == name)
      array.elementType = elementType;
  if (!array.elementType)
    return createStringError("element type " + type + " is not supported; <f4, <i4, <i8 and |b1 are");
  if (!valueOf(header, "fortran_order").starts_with("False"))
    return createStringError("the array is in Fortran order; save it with numpy.ascontiguousarray");
  if (!valueOf(header, "shape").starts_with("("))
    return createStringError("the .npy header has no shape");
  StringRef shape = valueOf(header, "shape").drop_front(1).split(')').first;
  llvm::SmallVector<StringRef> parts;
  shape.split(parts, ',', -1, /*KeepEmpty=*/false);
  int64_t size = sizeOf(array.elementType);
  for (StringRef part : parts) {
    int64_t dimension;
    if (part.trim().empty())
      continue;
    if (part.trim().getAsInteger(10, dimension) || dimension < 0 || llvm::MulOverflow(size, dimension, size))
      return createStringError("the shape (" + shape + ") is not valid");
    array.shape.push_back(dimension);
  }
  if (int64_t(data.size()) != size)
    return createStringError("it has " + llvm::Twine(data.size()) + " bytes of data, expected " + llvm::Twine(size));
  array.bytes = data.str();
  return array;
}

std::string mlir::rt3::writeNpy(const NpyArray &array) {
  std::string type, shape;
  for (auto [name, elementType] : kTypes)
    if (elementType == array.elementType)
      type = name;
  for (int64_t size : array.shape)
    shape += std::to_string(size) + ", ";
  if (array.shape.size() > 1)
    shape.resize(shape.size() - 2);
  std::string header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  // Data begins at a multiple of 64.
  header.resize(llvm::alignTo(header.size() + 11, 64) - 11, ' ');
  header += '\n';
  uint16_t length = header.size();
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes.append(reinterpret_cast<const char *>(&length), 2);
  return bytes + header + array.bytes;
}
