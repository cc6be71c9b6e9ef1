# SPDX-License-Identifier: Apache-2.0
"""Writes ONNX files for tests and benchmarks, without the onnx package, which
Debian 12 has for Python 3 only in a version without protobuf 3.21's classes.

Only what the models here need of onnx.proto (https://onnx.ai/onnx/repo-docs/IR.html).
"""

import numpy

# TensorProto.DataType
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}


def _varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field, value):
    return _varint(field << 3) + _varint(value)


def _bytes(field, value):
    if isinstance(value, str):
        value = value.encode()
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _attribute(name, value):
    out = _bytes(1, name)
    if isinstance(value, float):
        return out + _varint(2 << 3 | 5) + numpy.float32(value).tobytes() + _number(20, 1)
    if isinstance(value, int):
        return out + _number(3, value) + _number(20, 2)
    if isinstance(value, str):
        return out + _bytes(4, value) + _number(20, 3)
    return out + b"".join(_number(8, each) for each in value) + _number(20, 7)


def _tensor(name, array):
    array = numpy.asarray(array, order="C")  # ascontiguousarray would give scalars an axis
    dims = b"".join(_number(1, size) for size in array.shape)
    return dims + _number(2, TYPES[array.dtype.name]) + _bytes(8, name) + _bytes(9, array.tobytes())


def _value(name, dtype, shape):
    dims = b"".join(_bytes(1, _bytes(2, size) if isinstance(size, str) else _number(1, size)) for size in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, TYPES[dtype]) + _bytes(2, dims)))


class Graph:
    """A model under construction; its values are names.

        graph = Graph()
        x = graph.input("x", "float32", [1, "length", 768])
        graph.output(graph.op("MatMul", x, graph.constant("w", w)), "float32", [1, "length", 3072])
        graph.save("model.onnx")
    """

    def __init__(self, opset=17):
        self.opset, self.parts, self.count = opset, [], 0

    def input(self, name, dtype, shape):
        self.parts.append(_bytes(11, _value(name, dtype, shape)))
        return name

    def output(self, name, dtype, shape):
        self.parts.append(_bytes(12, _value(name, dtype, shape)))

    def constant(self, name, array):
        """An initializer; a Python number becomes a float32 scalar."""
        self.parts.append(_bytes(5, _tensor(name, numpy.float32(array) if isinstance(array, float) else array)))
        return name

    def op(self, operator, *inputs, name=None, outputs=1, **attributes):
        """Adds a node; its output's name, or a list of names."""
        self.count += 1
        name = name or f"{operator.lower()}{self.count}"
        names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        node = b"".join(_bytes(1, each) for each in inputs) + b"".join(_bytes(2, each) for each in names)
        node += _bytes(3, name) + _bytes(4, operator)
        node += b"".join(_bytes(5, _attribute(key, value)) for key, value in attributes.items())
        self.parts.append(_bytes(1, node))
        return names[0] if outputs == 1 else names

    def save(self, path):
        opset = _bytes(8, _bytes(1, "") + _number(2, self.opset))
        with open(path, "wb") as file:
            file.write(_number(1, 8) + opset + _bytes(7, b"".join(self.parts) + _bytes(2, "rt3")))
