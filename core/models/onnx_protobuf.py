"""ONNX models written and edited as protocol buffers, without torch and the onnx package.

Field numbers are those of `onnx.proto`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.protobuf import Malformed, field, fields, integers, message

TYPES: dict[np.dtype, int] = {np.dtype("<f4"): 1, np.dtype("u1"): 2, np.dtype("<i8"): 7, np.dtype("<f2"): 10}
FLOAT, UINT8, FLOAT16 = 1, 2, 10
METADATA = 14
"""Field number of `metadata_props` in a ModelProto."""
Attribute = int | str | Sequence[int]


def tensor(name: str, array: np.ndarray) -> bytes:
    """Encode an array as a TensorProto."""
    array = np.ascontiguousarray(array)
    dims = b"".join(field(1, int(n)) for n in array.shape)
    return dims + field(2, TYPES[array.dtype.newbyteorder("<")]) + field(8, name) + field(9, array.tobytes())


def array_of(block: bytes) -> np.ndarray:
    """Decode a TensorProto written by `tensor`.

    Raises
    ------
    Malformed
        The tensor is of another type, or stores its values in another form.
    """
    shape: list[int] = []
    kind, raw = 0, memoryview(b"")
    for number, content in fields(memoryview(block)):
        if number == 1:
            shape += integers(content, 8)
        elif number == 2 and isinstance(content, int):
            kind = content
        elif number == 9:
            raw = message(content)
    dtype = next((dtype for dtype, code in TYPES.items() if code == kind), None)
    if dtype is None or len(raw) != dtype.itemsize * math.prod(shape):
        raise Malformed("a constant has another form than expected")
    return np.frombuffer(raw, dtype).reshape(shape)


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Attribute) -> bytes:
    """Encode a NodeProto of the default operator set, named after its first output."""
    out = b"".join(field(1, n) for n in inputs) + b"".join(field(2, n) for n in outputs)
    out += field(3, f"/student/{outputs[0]}") + field(4, operator)
    for name, value in attributes.items():
        if isinstance(value, int):
            body = field(3, value) + field(20, 2)
        elif isinstance(value, str):
            body = field(4, value) + field(20, 3)
        else:
            body = b"".join(field(8, int(n)) for n in value) + field(20, 7)
        out += field(5, field(1, name) + body)
    return out


def metadata_entry(key: str, text: str) -> bytes:
    """Encode a StringStringEntryProto."""
    return field(1, key) + field(2, text)


def value(name: str, kind: int, shape: Sequence[int | str] | None) -> bytes:
    """Encode the ValueInfoProto of a tensor; a text as dimension is dynamic, None is an unknown shape."""
    if shape is None:
        return field(1, name) + field(2, field(1, field(1, kind)))
    dims = b"".join(field(1, field(2, n) if isinstance(n, str) else field(1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


@dataclass
class Graph:
    """A parsed model; its graph can be reduced to some of its values and extended by nodes.

    Attributes
    ----------
    nodes : list of bytes
        NodeProtos, in topological order.
    initializers : dict
        Name to TensorProto.
    inputs : dict
        Name to ValueInfoProto.
    outputs : dict
        Name to ValueInfoProto.
    opset : int
        Version of the default operator set.
    head : bytes
        Fields of the model other than graph and metadata.
    metadata : dict
        Key-value pairs of the model.
    """

    nodes: list[bytes]
    initializers: dict[str, bytes]
    inputs: dict[str, bytes]
    outputs: dict[str, bytes]
    opset: int
    head: bytes
    metadata: dict[str, str] = dataclass_field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Graph":
        """Parse a model.

        Raises
        ------
        InputError
            The bytes are not an ONNX model.
        """
        try:
            return cls._parse(memoryview(data))
        except (Malformed, RecursionError) as error:
            raise InputError(f"{name} is not an ONNX file, or is truncated: {error}") from None

    @classmethod
    def _parse(cls, data: memoryview) -> "Graph":
        graph = cls([], {}, {}, {}, 0, b"")
        inner = memoryview(b"")
        head = []
        for number, content in fields(data):
            if number == 7 and isinstance(content, memoryview):
                inner = content
            elif number != METADATA:
                head.append(field(number, content))
            if number == 8 and isinstance(content, memoryview):
                opset = dict(fields(content))
                version = opset.get(2, 0)
                if text_of(opset.get(1, b"")) in ("", "ai.onnx") and isinstance(version, int):
                    graph.opset = version
        graph.head = b"".join(head)
        for number, content in fields(inner):
            if not isinstance(content, memoryview):
                continue
            if number == 1:
                names_of(content)  # raises if a name is not UTF-8
                graph.nodes.append(bytes(content))
            elif number == 5:
                graph.initializers[_name(content, 8)] = bytes(content)
            elif number == 11:
                graph.inputs[_name(content, 1)] = bytes(content)
            elif number == 12:
                graph.outputs[_name(content, 1)] = bytes(content)
        return graph

    def keep_only(self, wanted: Sequence[str]) -> None:
        """Remove every node, constant and input that the values `wanted` do not depend on."""
        needed, kept = set(wanted), []
        for block in reversed(self.nodes):
            inputs, outputs = names_of(block)
            if needed & set(outputs):
                needed |= set(inputs)
                kept.append(block)
        self.nodes = kept[::-1]
        self.initializers = {n: t for n, t in self.initializers.items() if n in needed}
        self.inputs = {n: v for n, v in self.inputs.items() if n in needed}

    def add(self, name: str, array: np.ndarray) -> str:
        """Add a constant and return its name."""
        self.initializers[name] = tensor(name, array)
        return name

    def dump(self, name: str) -> bytes:
        """Encode the model, with `name` as the name of its graph."""
        out = b"".join(field(1, n) for n in self.nodes) + field(2, name)
        out += b"".join(field(5, t) for t in self.initializers.values())
        out += b"".join(field(11, v) for v in self.inputs.values())
        out += b"".join(field(12, v) for v in self.outputs.values())
        metadata = b"".join(field(METADATA, metadata_entry(k, v)) for k, v in sorted(self.metadata.items()))
        return self.head + field(7, out) + metadata


def names_of(block: bytes | memoryview) -> tuple[list[str], list[str]]:
    """Return the names that a node and its subgraphs read, and the names that it writes."""
    inputs, outputs = [], []
    for number, content in fields(memoryview(block)):
        if not isinstance(content, memoryview):
            continue
        if number == 1:
            inputs.append(text_of(content))
        elif number == 2:
            outputs.append(text_of(content))
        elif number == 5:
            for part, graph in fields(content):
                if part in (6, 11) and isinstance(graph, memoryview):
                    for inner, below in fields(graph):
                        if inner == 1 and isinstance(below, memoryview):
                            inputs += names_of(below)[0]
                        elif inner == 12 and isinstance(below, memoryview):
                            inputs.append(_name(below, 1))
    return inputs, outputs


def text_of(content: Mapping | int | bytes | memoryview) -> str:
    """Return a text field; empty for a field of another kind.

    Raises
    ------
    Malformed
        The text is not UTF-8.

    >>> text_of(b"input")
    'input'
    """
    try:
        return bytes(content).decode() if isinstance(content, bytes | memoryview) else ""
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8") from None


def _name(block: memoryview, number: int) -> str:
    for n, content in fields(block):
        if n == number:
            return text_of(content)
    return ""
