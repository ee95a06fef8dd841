"""What an ONNX file may not hold, found by walking its bytes before any runtime sees them.

A model file comes from anywhere. Refused are: files that are no ONNX, data outside the file (a location
such as ``../../etc/passwd`` would be read into the graph), operators that no plain ONNX Runtime has,
tensors that claim more elements than they hold, constants that would unfold to gigabytes, and NaN among
the weights. The wire format of protocol buffers and the field numbers are those of `onnx.proto` (IR
version 3 to 13); the onnx package is not needed.
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inficond.core.errors import InputError

DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc"}
)
"""Operator sets that every ONNX Runtime has built in."""

MAX_NODES = 200_000
MAX_DEPTH = 16
MAX_UNFOLDED = 1 << 31
"""Bytes that one constant may unfold to when the runtime folds it (2 GiB, a protobuf's own limit)."""

# TensorProto.DataType -> bytes per element; 4-bit types count half a byte
_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2,
          17: 1, 18: 1, 19: 1, 20: 1, 21: 0.5, 22: 0.5, 23: 0.5, 24: 1}  # fmt: skip
_STRING = 8
_ENDLESS = 1 << 64
_FLOATS: dict[int, np.dtype] = {1: np.dtype("<f4"), 10: np.dtype("<f2"), 11: np.dtype("<f8")}
_BFLOAT16 = 16
_SAME_SIZE = frozenset({
    "Identity", "Cast", "Neg", "Abs", "Sqrt", "Exp", "Relu", "Reshape", "Transpose", "Flatten", "Squeeze",
    "Unsqueeze", "Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh",
})  # fmt: skip


class Malformed(ValueError):
    """The bytes are no protocol buffer."""


@dataclass
class Facts:
    """What the walk found.

    Attributes
    ----------
    opsets : dict
        Operator set to version.
    operators : dict
        ``domain::operator`` (no prefix in the default domain) to how many nodes.
    weights : int
        Bytes of constants.
    metadata : dict
        The file's key–value pairs.
    inputs : dict
        Name to shape; 0 where a dimension is dynamic. Constants that are listed as inputs are left out.
    """

    opsets: dict[str, int] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    weights: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)


def check_graph(source: Path | bytes | memoryview, name: str | None = None) -> Facts:
    """Refuse an ONNX file that is unsafe or unsound to load.

    Parameters
    ----------
    source : Path, bytes or memoryview
        The file, or its content.
    name : str, optional
        How messages call it; the path where that is None.

    Returns
    -------
    Facts
        Operator sets, operators, bytes of weights, metadata.

    Raises
    ------
    InputError
        Naming the file and what is wrong with it.
    """
    if isinstance(source, Path):
        name = name or str(source)
        try:
            data = _mapped(source)
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror}") from None
    else:
        data = memoryview(source)
    name = name or "the graph"
    _refuse_other_formats(data, name)
    try:
        return _Walk(name).model(data)
    except Malformed as error:
        raise InputError(f"{name} is no ONNX file, or is cut short: {error}") from None


def _mapped(path: Path) -> memoryview:
    """A file's bytes without reading them; an empty file cannot be mapped."""
    if not path.stat().st_size:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _refuse_other_formats(data: memoryview, name: str) -> None:
    head = bytes(data[:8])
    if head[:2] == b"PK":
        raise InputError(
            f"{name} is a zip archive, no ONNX file; PyTorch and Keras files are not loaded, export to ONNX"
        )
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        raise InputError(
            f"{name} is a pickle, which is never loaded: it could run any program; export to ONNX"
        )
    if head[:2] == b"\x1f\x8b":
        raise InputError(f"{name} is compressed; unpack it first")
    if not len(data):
        raise InputError(f"{name} is empty")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("a number runs past its end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers with a number (varint, fixed) or the bytes of a nested message or string."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Malformed("a field has number 0")
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise Malformed(f"wire type {wire}")
        if length > len(data) - at:
            raise Malformed("a field is longer than the file")
        yield number, data[at : at + length]
        at += length


def _text(value: int | memoryview) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, memoryview) else str(value)


def _block(value: int | memoryview) -> memoryview:
    if not isinstance(value, memoryview):
        raise Malformed("a number stands where a message belongs")
    return value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _numbers(value: int | memoryview) -> list[int]:
    """A repeated integer field, packed or not."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def _product(numbers: list[int]) -> int:
    """How many elements a shape has; past any size that could be held it is not worked out further."""
    if 0 in numbers:
        return 0
    total = 1
    for n in numbers:
        total *= abs(n)
        if total > _ENDLESS:
            break
    return total


def _declared(data: memoryview) -> tuple[str, tuple[int, ...]]:
    """Name and shape of a ValueInfoProto; 0 for a dynamic dimension."""
    name, dims = "", []
    for number, value in fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            kind = [_block(v) for n, v in fields(_block(value)) if n == 1]
            shape = [_block(v) for block in kind for n, v in fields(block) if n == 2]
            for dim in (_block(v) for block in shape for n, v in fields(block) if n == 1):
                sizes = [v for n, v in fields(dim) if n == 1 and isinstance(v, int)]
                dims.append(max(0, _signed(sizes[0])) if sizes else 0)
    return name, tuple(dims)


@dataclass
class _Tensor:
    """A TensorProto: what it claims, and what it holds."""

    name: str = ""
    kind: int = 0
    dims: list[int] = field(default_factory=list)
    raw: memoryview | None = None
    floats: list[memoryview] = field(default_factory=list)
    integers: list[int] = field(default_factory=list)
    held: int = 0
    outside: str | None = None

    @property
    def elements(self) -> int:
        return _product(self.dims)

    @property
    def bytes(self) -> float:
        return self.elements * _BYTES.get(self.kind, 1)

    def values(self) -> list[int] | None:
        """The integers of a small int64 tensor, such as a shape; None for another."""
        if self.kind != 7 or self.elements > 64:
            return None
        if self.raw is not None:
            return np.frombuffer(self.raw, "<i8").tolist()
        return self.integers


class _Walk:
    """One pass over a model; complains at the first thing that may not be."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts = Facts()
        self.nodes = 0
        self.known = set(DOMAINS)

    def model(self, data: memoryview) -> Facts:
        graphs, functions = [], []
        version = 0
        for number, value in fields(data):
            if number == 1 and isinstance(value, int):
                version = value
            elif number == 7:
                graphs.append(_block(value))
            elif number == 8:
                self.opset(_block(value))
            elif number == 14:
                pair = {n: _text(v) for n, v in fields(_block(value))}
                self.facts.metadata[pair.get(1, "")] = pair.get(2, "")
            elif number == 25:
                functions.append(_block(value))
        if len(graphs) != 1 or not version:
            raise Malformed("it holds no graph")
        # A file may define functions of its own in a domain of its own; what they are made of is checked
        # instead.
        for block in functions:
            self.known |= {_text(v) for n, v in fields(block) if n == 10}
        for block in functions:
            for number, value in fields(block):
                if number == 7:
                    self.node(_block(value), {}, {}, 1)
        self.graph(graphs[0], 0)
        return self.facts

    def opset(self, data: memoryview) -> None:
        domain, version = "", 0
        for number, value in fields(data):
            if number == 1:
                domain = _text(value)
            elif number == 2 and isinstance(value, int):
                version = value
        self.facts.opsets[domain or "ai.onnx"] = version

    def graph(self, data: memoryview, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise InputError(f"{self.name} nests graphs more than {MAX_DEPTH} deep")
        shapes: dict[str, list[int] | None] = {}
        sizes: dict[str, float] = {}
        nodes = []
        inputs = {}
        for number, value in fields(data):
            if number == 11 and depth == 0:
                name, dims = _declared(_block(value))
                inputs[name] = dims
            elif number == 5:
                tensor = self.tensor(_block(value))
                shapes[tensor.name], sizes[tensor.name] = tensor.values(), tensor.bytes
            elif number == 15:
                for part, inner in fields(_block(value)):
                    if part in (1, 2):
                        self.tensor(_block(inner))
            elif number == 1:
                nodes.append(_block(value))
        if depth == 0:
            self.facts.inputs = {name: dims for name, dims in inputs.items() if name not in sizes}
        for block in nodes:
            self.node(block, shapes, sizes, depth)

    def node(
        self, data: memoryview, shapes: dict[str, list[int] | None], sizes: dict[str, float], depth: int
    ) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise InputError(f"{self.name} has more than {MAX_NODES:,} nodes")
        inputs, outputs, operator, domain = [], [], "", ""
        own: _Tensor | None = None
        listed: list[int] = []
        for number, value in fields(data):
            if number == 1:
                inputs.append(_text(value))
            elif number == 2:
                outputs.append(_text(value))
            elif number == 4:
                operator = _text(value)
            elif number == 7:
                domain = _text(value)
            elif number == 5:
                tensor, integers = self.attribute(_block(value), depth)
                own = tensor or own
                listed = integers or listed
        if domain not in self.known:
            raise InputError(
                f"{self.name} needs the custom operator {domain}::{operator}, which is never "
                "loaded; export with standard ones"
            )
        label = f"{domain}::{operator}" if domain else operator
        self.facts.operators[label] = self.facts.operators.get(label, 0) + 1
        self.unfold(operator, inputs, outputs, own, listed, shapes, sizes)

    def unfold(
        self,
        operator: str,
        inputs: list[str],
        outputs: list[str],
        own: _Tensor | None,
        listed: list[int],
        shapes: dict[str, list[int] | None],
        sizes: dict[str, float],
    ) -> None:
        """Follow how large constants grow, since the runtime computes them while loading."""
        size: float | None = None
        if operator == "Constant" and own is not None:
            size, shapes[outputs[0] if outputs else ""] = own.bytes, own.values()
        elif operator == "ConstantOfShape":
            shape = shapes.get(inputs[0]) if inputs else None
            size = None if shape is None else _product(shape) * (_BYTES.get(own.kind, 4) if own else 4)
        elif operator in ("RandomNormal", "RandomUniform"):
            size = _product(listed) * 4 if listed else None
        elif operator == "Expand" and len(inputs) > 1:
            shape = shapes.get(inputs[1])
            size = None if shape is None else _product(shape) * 4
        elif operator == "Tile" and len(inputs) > 1 and inputs[0] in sizes:
            repeats = shapes.get(inputs[1])
            size = None if repeats is None else sizes[inputs[0]] * _product(repeats)
        elif operator == "Concat" and inputs and all(i in sizes for i in inputs):
            size = sum(sizes[i] for i in inputs)
        elif operator in _SAME_SIZE and any(i in sizes for i in inputs):
            size = max(sizes[i] for i in inputs if i in sizes)
        if size is None:
            return
        if size > MAX_UNFOLDED:
            raise InputError(
                f"{self.name} would unfold to {size / 2**30:,.0f} GiB in its node {operator}: refused"
            )
        for name in outputs:
            sizes[name] = size

    def attribute(self, data: memoryview, depth: int) -> tuple[_Tensor | None, list[int]]:
        tensor, integers = None, []
        for number, value in fields(data):
            if number in (5, 10):
                tensor = self.tensor(_block(value))
            elif number in (6, 11):
                self.graph(_block(value), depth + 1)
            elif number in (22, 23):
                for part, inner in fields(_block(value)):
                    if part in (1, 2):
                        self.tensor(_block(inner))
            elif number == 8:
                integers += _numbers(value)
        return tensor, integers

    def tensor(self, data: memoryview) -> _Tensor:
        tensor = _Tensor()
        for number, value in fields(data):
            if number == 1:
                tensor.dims += _numbers(value)
            elif number == 2 and isinstance(value, int):
                tensor.kind = value
            elif number == 8:
                tensor.name = _text(value)
            elif number == 9:
                tensor.raw = _block(value)
            elif number in (4, 10) and isinstance(value, memoryview):
                tensor.floats.append(value)
                tensor.held += len(value) // (4 if number == 4 else 8)
            elif number in (5, 7, 11):
                found = _numbers(value)
                tensor.held += len(found)
                if len(tensor.integers) <= 64:
                    tensor.integers += found[:65]
            elif number == 6:
                tensor.held += 1
            elif number == 13:
                pair = {n: _text(v) for n, v in fields(_block(value))}
                if pair.get(1) == "location":
                    tensor.outside = pair.get(2, "")
            elif number == 14 and value == 1:
                tensor.outside = tensor.outside or ""
        self.sound(tensor)
        self.facts.weights += int(tensor.bytes)
        return tensor

    def sound(self, tensor: _Tensor) -> None:
        label = tensor.name or "a constant"
        if tensor.outside is not None:
            where = tensor.outside or "another file"
            raise InputError(
                f"{self.name} keeps {label} outside itself, in {where!r}: refused; save it as one file"
            )
        if any(n < 0 for n in tensor.dims):
            raise InputError(f"{self.name} is damaged: {label} has the shape {tensor.dims}")
        if tensor.kind not in _BYTES and tensor.kind != _STRING:
            raise InputError(f"{self.name} is damaged: {label} is of an unknown type ({tensor.kind})")
        if tensor.kind == _STRING:
            return
        if tensor.raw is not None:
            fits = len(tensor.raw) == math.ceil(tensor.bytes)
        else:
            # Complex numbers are held as two, and 4-bit integers may be packed in pairs.
            fits = tensor.held in (tensor.elements, 2 * tensor.elements, (tensor.elements + 1) // 2)
        if not fits:
            raise InputError(
                f"{self.name} is damaged: {label} claims {tensor.elements:,} elements and holds "
                "another number"
            )
        if _has_nan(tensor):
            raise InputError(
                f"{self.name} has NaN among its weights ({label}): export or train the model again"
            )


def _has_nan(tensor: _Tensor) -> bool:
    dtype = _FLOATS.get(tensor.kind)
    if tensor.raw is not None and dtype is not None:
        return _any_nan(np.frombuffer(tensor.raw, dtype))
    if tensor.raw is not None and tensor.kind == _BFLOAT16:
        bits = np.frombuffer(tensor.raw, "<u2")
        return bool(((bits & 0x7FFF) > 0x7F80).any())
    if dtype is not None:
        inner: np.dtype = np.dtype("<f8") if tensor.kind == 11 else np.dtype("<f4")
        return any(
            _any_nan(np.frombuffer(block, inner))
            for block in tensor.floats
            if len(block) % inner.itemsize == 0
        )
    return False


def _any_nan(values: np.ndarray) -> bool:
    """NaN anywhere; the sum finds it in one pass without a temporary as large as the weights."""
    with np.errstate(all="ignore"):
        total = values.sum(dtype=np.float64) if len(values) else 0.0
    return bool(np.isnan(total)) and bool(np.isnan(values).any())
