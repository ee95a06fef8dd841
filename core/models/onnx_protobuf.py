"""ONNX files written byte by byte, so that a student is exported without torch or the onnx package.

Protocol buffers are simple to write: a message is its fields one after another, each a key (number and
wire type) and a value. Field numbers are those of `onnx.proto`; reading is `core.models.onnx_safety`'s walk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.onnx_safety import Malformed, fields

TYPES = {np.dtype("<f4"): 1, np.dtype("u1"): 2, np.dtype("<i8"): 7, np.dtype("<f2"): 10}
FLOAT, FLOAT16 = 1, 10
Attribute = int | str | Sequence[int]


def varint(value: int) -> bytes:
    """A number, seven bits a byte; negative ones as 64-bit two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put(number: int, value: int | str | bytes | memoryview) -> bytes:
    """A field: a number as it is, text or a message with its length before it."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    block = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(block)) + block


def tensor(name: str, array: np.ndarray) -> bytes:
    """A TensorProto with its values inside."""
    array = np.ascontiguousarray(array)
    dims = b"".join(put(1, int(n)) for n in array.shape)
    return dims + put(2, TYPES[array.dtype.newbyteorder("<")]) + put(8, name) + put(9, array.tobytes())


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Attribute) -> bytes:
    """A NodeProto of the default operator set, named after its first output."""
    out = b"".join(put(1, n) for n in inputs) + b"".join(put(2, n) for n in outputs)
    out += put(3, f"/student/{outputs[0]}") + put(4, operator)
    for name, value in attributes.items():
        if isinstance(value, int):
            body = put(3, value) + put(20, 2)
        elif isinstance(value, str):
            body = put(4, value) + put(20, 3)
        else:
            body = b"".join(put(8, int(n)) for n in value) + put(20, 7)
        out += put(5, put(1, name) + body)
    return out


def value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    """A ValueInfoProto of a tensor; a dimension that is a text is dynamic."""
    dims = b"".join(put(1, put(2, n) if isinstance(n, str) else put(1, n)) for n in shape)
    return put(1, name) + put(2, put(1, put(1, kind) + put(2, dims)))


@dataclass
class Graph:
    """A parsed model whose graph can be cut back to some of its values and grown by nodes.

    Attributes
    ----------
    nodes : list of bytes
        NodeProtos, in topological order.
    initializers : dict
        Name to TensorProto.
    inputs : dict
        Name to ValueInfoProto; the graph's own inputs.
    opset : int
        Version of the default operator set.
    """

    nodes: list[bytes]
    initializers: dict[str, bytes]
    inputs: dict[str, bytes]
    outputs: dict[str, bytes]
    opset: int
    head: bytes
    metadata: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Graph":
        """Read a model.

        Raises
        ------
        InputError
            If the bytes are no ONNX model.
        """
        try:
            return cls._parse(memoryview(data))
        except (Malformed, RecursionError) as error:
            raise InputError(f"{name} is no ONNX file, or is cut short: {error}") from None

    @classmethod
    def _parse(cls, data: memoryview) -> "Graph":
        graph = cls([], {}, {}, {}, 0, b"")
        inner = memoryview(b"")
        for number, content in fields(data):
            if number == 7 and isinstance(content, memoryview):
                inner = content
            elif number != 14:
                graph.head += put(number, content)
            if number == 8 and isinstance(content, memoryview):
                said = dict(fields(content))
                version = said.get(2, 0)
                if _text(said.get(1, b"")) in ("", "ai.onnx") and isinstance(version, int):
                    graph.opset = version
        for number, content in fields(inner):
            if not isinstance(content, memoryview):
                continue
            if number == 1:
                reads(content)  # its names can be read
                graph.nodes.append(bytes(content))
            elif number == 5:
                graph.initializers[_name(content, 8)] = bytes(content)
            elif number == 11:
                graph.inputs[_name(content, 1)] = bytes(content)
            elif number == 12:
                graph.outputs[_name(content, 1)] = bytes(content)
        return graph

    def keep_only(self, wanted: Sequence[str]) -> None:
        """Drop every node and constant that `wanted` values do not depend on."""
        needed, kept = set(wanted), []
        for block in reversed(self.nodes):
            inputs, outputs = reads(block)
            if needed & set(outputs):
                needed |= set(inputs)
                kept.append(block)
        self.nodes = kept[::-1]
        self.initializers = {n: t for n, t in self.initializers.items() if n in needed}
        self.inputs = {n: v for n, v in self.inputs.items() if n in needed}

    def add(self, name: str, array: np.ndarray) -> str:
        """Add a constant; returns its name."""
        self.initializers[name] = tensor(name, array)
        return name

    def dump(self, name: str) -> bytes:
        """The model as bytes."""
        out = b"".join(put(1, n) for n in self.nodes) + put(2, name)
        out += b"".join(put(5, t) for t in self.initializers.values())
        out += b"".join(put(11, v) for v in self.inputs.values())
        out += b"".join(put(12, v) for v in self.outputs.values())
        said = b"".join(put(14, put(1, k) + put(2, v)) for k, v in sorted(self.metadata.items()))
        return self.head + put(7, out) + said


def reads(block: bytes | memoryview) -> tuple[list[str], list[str]]:
    """Names that a node reads (those its subgraphs read included) and names it writes."""
    inputs, outputs = [], []
    for number, content in fields(memoryview(block)):
        if not isinstance(content, memoryview):
            continue
        if number == 1:
            inputs.append(_text(content))
        elif number == 2:
            outputs.append(_text(content))
        elif number == 5:
            for part, graph in fields(content):
                if part in (6, 11) and isinstance(graph, memoryview):
                    for inner, below in fields(graph):
                        if inner == 1 and isinstance(below, memoryview):
                            inputs += reads(below)[0]
                        elif inner == 12 and isinstance(below, memoryview):
                            inputs.append(_name(below, 1))
    return inputs, outputs


def _text(content: Mapping | int | bytes | memoryview) -> str:
    try:
        return bytes(content).decode() if isinstance(content, bytes | memoryview) else ""
    except UnicodeDecodeError:
        raise Malformed("a name is no UTF-8 text") from None


def _name(block: memoryview, number: int) -> str:
    for n, content in fields(block):
        if n == number:
            return _text(content)
    return ""
