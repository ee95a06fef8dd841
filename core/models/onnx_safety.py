"""Static safety check of ONNX files, made on their bytes before a runtime loads them.

Refused are files of another format, data outside the file (a location such as ``../../etc/passwd``), custom
operators, tensors whose shape contradicts their data, NaN weights, nesting and functions without bound, and
constants that the runtime would expand to gigabytes while it loads the graph. What depends on the input of a
graph cannot be decided here: `graph_process` limits the memory and time of graphs from elsewhere.

Field numbers are those of `onnx.proto` (IR version 3 to 13).
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inficond.core.errors import InputError
from inficond.core.file_access import LFS_POINTER
from inficond.core.models.foreign_files import library_of
from inficond.core.models.protobuf import Malformed, count_integers, fields, integers, message, signed, text

DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc"}
)
"""Operator sets that are built into ONNX Runtime."""

MAX_NODES = 200_000
MAX_INLINED = 20_000
"""Nodes of a graph with functions after these are inlined, which takes quadratic time."""
MAX_NESTING = 16
"""Levels of subgraphs and of functions."""
MAX_RANK = 64
MAX_CONSTANT = 1 << 31
"""Bytes of one constant after constant folding (2 GiB, also the size limit of a protocol buffer)."""
_MAX_SHAPE = 64
"""Elements of a constant that may serve as a shape."""

# TensorProto.DataType -> bytes per element; 4-bit types count half a byte
_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2,
          17: 1, 18: 1, 19: 1, 20: 1, 21: 0.5, 22: 0.5, 23: 0.5, 24: 1}  # fmt: skip
_STRING = 8
_INT64 = 7
_BFLOAT16 = 16
_FLOATS: dict[int, np.dtype] = {1: np.dtype("<f4"), 10: np.dtype("<f2"), 11: np.dtype("<f8")}
_MAX_PRODUCT = 1 << 64
_SAME_SIZE = frozenset({
    "Identity", "Cast", "Neg", "Abs", "Sqrt", "Exp", "Relu", "Reshape", "Transpose", "Flatten", "Squeeze",
    "Unsqueeze", "Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh",
})  # fmt: skip


@dataclass
class Facts:
    """Properties of a checked graph.

    Attributes
    ----------
    opsets : dict
        Operator set to version.
    operators : dict
        ``domain::operator`` (without prefix in the default domain) to the number of nodes.
    weights : int
        Bytes of the constants.
    metadata : dict
        Key-value pairs of the file.
    inputs : dict
        Name to shape, with 0 for a dynamic dimension. Inputs that are constants are left out.
    """

    opsets: dict[str, int] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    weights: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)


def check_graph(data: bytes | memoryview, name: str = "the graph") -> Facts:
    """Check that an ONNX file is safe and sound to load.

    Parameters
    ----------
    data : bytes or memoryview
        The content of the file.
    name : str
        Name of the file in messages.

    Returns
    -------
    Facts
        Properties found on the way.

    Raises
    ------
    InputError
        The file is refused; the message names the file and the reason.
    """
    view = memoryview(data)
    _refuse_other_formats(view, name)
    try:
        return _Checker(name).model(view)
    except Malformed as error:
        library = library_of(Path(name))
        if library is not None:
            raise InputError(
                f"{name} is a model of {library}, not of ONNX: export the model to ONNX"
            ) from None
        raise InputError(
            f"{name} is not an ONNX file, or is truncated ({error}): copy it again, or give another file"
        ) from None


def _refuse_other_formats(data: memoryview, name: str) -> None:
    head = bytes(data[:8])
    if not head:
        raise InputError(f"{name} is empty: copy or download it again")
    if bytes(data[: len(LFS_POINTER)]) == LFS_POINTER:
        raise InputError(f"{name} is a Git LFS pointer, not the model: run `git lfs pull` in its folder")
    if bytes(data[:64]).lstrip()[:1] == b"<":
        raise InputError(
            f"{name} is an HTML or XML document, not an ONNX file: it may be the error or login page of a "
            "site; download the model again"
        )
    if head[:2] == b"PK":
        raise InputError(
            f"{name} is a zip archive, as PyTorch and Keras write, not an ONNX file: export the model to ONNX"
        )
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        raise InputError(
            f"{name} is a pickle, which could run any program and is never loaded: export the model to ONNX"
        )
    if head[:2] == b"\x1f\x8b":
        raise InputError(f"{name} is compressed: unpack it first")


@dataclass
class _Tensor:
    """A TensorProto: its declared shape and type, and the data it contains."""

    name: str = ""
    kind: int = 0
    dims: list[int] = field(default_factory=list)
    raw: memoryview | None = None
    floats: list[memoryview] = field(default_factory=list)
    integers: list[int] = field(default_factory=list)
    listed: int = 0
    location: str | None = None

    @property
    def elements(self) -> int:
        return _product(self.dims)

    @property
    def bytes(self) -> float:
        return self.elements * _BYTES.get(self.kind, 1)

    def shape(self) -> list[int] | None:
        """Return the values of a small int64 tensor, which may serve as a shape; None for others."""
        if self.kind != _INT64 or self.elements > _MAX_SHAPE:
            return None
        return np.frombuffer(self.raw, "<i8").tolist() if self.raw is not None else self.integers


_SHAPE_INPUT = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
"""Operator to the position of the input that decides the shape of its result."""


class _Constants:
    """Sizes of the constants of a graph, and the values of those that may serve as shapes."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[int] | None] = {}
        self.sizes: dict[str, float] = {}

    def add(self, name: str, tensor: _Tensor) -> None:
        self.shapes[name], self.sizes[name] = tensor.shape(), tensor.bytes

    def folded(
        self, operator: str, inputs: list[str], tensor: _Tensor | None, listed: list[int]
    ) -> float | None:
        """Return the bytes of a node's result where the runtime computes it while loading, else None."""
        position = _SHAPE_INPUT.get(operator, len(inputs))
        shape = self.shapes.get(inputs[position]) if position < len(inputs) else None
        if operator == "Constant" and tensor is not None:
            return tensor.bytes
        if operator == "ConstantOfShape" and shape is not None:
            return _product(shape) * (_BYTES.get(tensor.kind, 4) if tensor else 4)
        if operator in ("RandomNormal", "RandomUniform") and listed:
            return _product(listed) * 4
        if operator == "Expand" and shape is not None:
            return _product(shape) * 4
        if operator == "Tile" and shape is not None and inputs[0] in self.sizes:
            return self.sizes[inputs[0]] * _product(shape)
        if operator == "Concat" and inputs and all(i in self.sizes for i in inputs):
            return sum(self.sizes[i] for i in inputs)
        if operator in _SAME_SIZE and any(i in self.sizes for i in inputs):
            return max(self.sizes[i] for i in inputs if i in self.sizes)
        return None


class _Checker:
    """One pass over a model; raises at the first violation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts = Facts()
        self.domains = set(DOMAINS)
        self.operators: Counter[str] = Counter()
        """Of the graph or function that is being read."""

    def model(self, data: memoryview) -> Facts:
        graphs, functions = [], []
        version = 0
        for number, value in fields(data):
            if number == 1 and isinstance(value, int):
                version = value
            elif number == 7:
                graphs.append(message(value))
            elif number == 8:
                self.opset(message(value))
            elif number == 14:
                pair = {n: text(v) for n, v in fields(message(value))}
                self.facts.metadata[pair.get(1, "")] = pair.get(2, "")
            elif number == 25:
                functions.append(message(value))
        if len(graphs) != 1 or not version:
            raise Malformed("it contains no graph")
        # A file may define functions in a domain of its own; their nodes are checked instead.
        for block in functions:
            self.domains |= {text(v) for n, v in fields(block) if n == 10}
        bodies = dict(self.function(block) for block in functions)
        self.operators = Counter()
        self.graph(graphs[0], 0)
        self.facts.operators = dict(self.operators)
        for body in bodies.values():
            for operator, count in body.items():
                self.facts.operators[operator] = self.facts.operators.get(operator, 0) + count
        self.inlined(bodies)
        return self.facts

    def function(self, data: memoryview) -> tuple[str, Counter[str]]:
        """Return the label of a function and the operators of its nodes."""
        name, domain = "", ""
        self.operators = Counter()
        for number, value in fields(data):
            if number == 1:
                name = text(value)
            elif number == 10:
                domain = text(value)
            elif number == 7:
                self.node(message(value), _Constants(), 1)
        return _label(domain, name), self.operators

    def inlined(self, bodies: dict[str, Counter[str]]) -> None:
        """Check the number of nodes after inlining: functions that call functions multiply."""
        sizes: dict[str, int] = {}

        def size(operators: Counter[str], depth: int) -> int:
            if depth > MAX_NESTING:
                raise InputError(f"{self.name} nests functions more than {MAX_NESTING} levels deep")
            total = 0
            for operator, count in operators.items():
                if operator in bodies and operator not in sizes:
                    sizes[operator] = size(bodies[operator], depth + 1)
                total += count * max(1, sizes.get(operator, 1))
                if total > MAX_INLINED:
                    raise InputError(
                        f"{self.name} has more than {MAX_INLINED:,} nodes once its functions are inlined"
                    )
            return total

        if bodies:
            size(self.operators, 0)

    def opset(self, data: memoryview) -> None:
        domain, version = "", 0
        for number, value in fields(data):
            if number == 1:
                domain = text(value)
            elif number == 2 and isinstance(value, int):
                version = value
        self.facts.opsets[domain or "ai.onnx"] = version

    def graph(self, data: memoryview, depth: int) -> None:
        if depth > MAX_NESTING:
            raise InputError(f"{self.name} nests graphs more than {MAX_NESTING} levels deep")
        constants = _Constants()
        nodes = []
        inputs = {}
        for number, value in fields(data):
            if number == 11 and depth == 0:
                name, dims = _declared(message(value))
                inputs[name] = dims
            elif number == 5:
                tensor = self.tensor(message(value))
                constants.add(tensor.name, tensor)
            elif number == 15:
                self.sparse_tensor(message(value))
            elif number == 1:
                nodes.append(message(value))
        if depth == 0:
            self.facts.inputs = {name: dims for name, dims in inputs.items() if name not in constants.sizes}
        for block in nodes:
            self.node(block, constants, depth)

    def node(self, data: memoryview, constants: _Constants, depth: int) -> None:
        inputs, outputs, operator, domain = [], [], "", ""
        tensor: _Tensor | None = None
        listed: list[int] = []
        for number, value in fields(data):
            if number == 1:
                inputs.append(text(value))
            elif number == 2:
                outputs.append(text(value))
            elif number == 4:
                operator = text(value)
            elif number == 7:
                domain = text(value)
            elif number == 5:
                found, numbers = self.attribute(message(value), depth)
                tensor, listed = found or tensor, numbers or listed
        if domain not in self.domains:
            raise InputError(
                f"{self.name} needs the custom operator {domain}::{operator}; custom operators are never "
                "loaded: export the model with standard ones"
            )
        self.operators[_label(domain, operator)] += 1
        if self.operators.total() > MAX_NODES:
            raise InputError(f"{self.name} has more than {MAX_NODES:,} nodes")
        size = constants.folded(operator, inputs, tensor, listed)
        if size is None:
            return
        if size > MAX_CONSTANT:
            raise InputError(
                f"{self.name} would expand to {size / 2**30:,.0f} GiB in its node {operator}; it is refused"
            )
        for name in outputs:
            constants.sizes[name] = size
        if operator == "Constant" and tensor is not None and outputs:
            constants.shapes[outputs[0]] = tensor.shape()

    def attribute(self, data: memoryview, depth: int) -> tuple[_Tensor | None, list[int]]:
        tensor: _Tensor | None = None
        listed: list[int] = []
        for number, value in fields(data):
            if number in (5, 10):
                tensor = self.tensor(message(value))
            elif number in (6, 11):
                self.graph(message(value), depth + 1)
            elif number in (22, 23):
                self.sparse_tensor(message(value))
            elif number == 8 and len(listed) <= _MAX_SHAPE:
                listed += integers(value, _MAX_SHAPE)
        return tensor, listed

    def sparse_tensor(self, data: memoryview) -> None:
        for number, value in fields(data):
            if number in (1, 2):
                self.tensor(message(value))

    def tensor(self, data: memoryview) -> _Tensor:
        tensor = _Tensor()
        for number, value in fields(data):
            if number == 1:
                tensor.dims += integers(value, MAX_RANK + 1)
                if len(tensor.dims) > MAX_RANK:
                    raise InputError(
                        f"{self.name} is damaged: a constant has more than {MAX_RANK} dimensions"
                    )
            elif number == 2 and isinstance(value, int):
                tensor.kind = value
            elif number == 8:
                tensor.name = text(value)
            elif number == 9:
                tensor.raw = message(value)
            elif number in (4, 10) and isinstance(value, memoryview):
                tensor.floats.append(value)
                tensor.listed += len(value) // (4 if number == 4 else 8)
            elif number in (5, 7, 11):
                tensor.listed += count_integers(value)
                if len(tensor.integers) <= _MAX_SHAPE:
                    tensor.integers += integers(value, _MAX_SHAPE + 1)
            elif number == 6:
                tensor.listed += 1
            elif number == 13:
                pair = {n: text(v) for n, v in fields(message(value))}
                if pair.get(1) == "location":
                    tensor.location = pair.get(2, "")
            elif number == 14 and value == 1:
                tensor.location = tensor.location or ""
        self.sound(tensor)
        self.facts.weights += int(tensor.bytes)
        return tensor

    def sound(self, tensor: _Tensor) -> None:
        """Check that a tensor contains what its shape and type declare."""
        label = tensor.name or "a constant"
        if tensor.location is not None:
            where = tensor.location or "another file"
            raise InputError(
                f"{self.name} keeps {label} outside the file, in {where!r}, which is never loaded: save the "
                "model as one file"
            )
        if any(n < 0 for n in tensor.dims):
            raise InputError(f"{self.name} is damaged: {label} has the shape {tensor.dims}")
        if tensor.kind not in _BYTES and tensor.kind != _STRING:
            raise InputError(f"{self.name} is damaged: {label} has an unknown type ({tensor.kind})")
        if tensor.kind == _STRING:
            return
        if tensor.raw is not None:
            fits = len(tensor.raw) == math.ceil(tensor.bytes)
        else:
            # Complex numbers are stored as two numbers; 4-bit integers may be packed in pairs.
            fits = tensor.listed in (tensor.elements, 2 * tensor.elements, (tensor.elements + 1) // 2)
        if not fits:
            raise InputError(
                f"{self.name} is damaged: {label} declares {tensor.elements:,} elements and contains another "
                "number"
            )
        if _has_nan(tensor):
            raise InputError(
                f"{self.name} has NaN among its weights ({label}): export or train the model again"
            )


def _label(domain: str, operator: str) -> str:
    return f"{domain}::{operator}" if domain else operator


def _product(numbers: list[int]) -> int:
    """Return the number of elements of a shape; above `_MAX_PRODUCT` the exact value does not matter."""
    if 0 in numbers:
        return 0
    total = 1
    for n in numbers:
        total *= abs(n)
        if total > _MAX_PRODUCT:
            break
    return total


def _declared(data: memoryview) -> tuple[str, tuple[int, ...]]:
    """Return name and shape of a ValueInfoProto, with 0 for a dynamic dimension."""
    name, dims = "", []
    for number, value in fields(data):
        if number == 1:
            name = text(value)
        elif number == 2:
            kind = [message(v) for n, v in fields(message(value)) if n == 1]
            shape = [message(v) for block in kind for n, v in fields(block) if n == 2]
            for dim in (message(v) for block in shape for n, v in fields(block) if n == 1):
                sizes = [v for n, v in fields(dim) if n == 1 and isinstance(v, int)]
                dims.append(max(0, signed(sizes[0])) if sizes else 0)
    return name, tuple(dims)


def _has_nan(tensor: _Tensor) -> bool:
    dtype = _FLOATS.get(tensor.kind)
    if tensor.raw is not None and dtype is not None:
        return _any_nan(np.frombuffer(tensor.raw, dtype))
    if tensor.raw is not None and tensor.kind == _BFLOAT16:
        bits = np.frombuffer(tensor.raw, "<u2")
        return bool(((bits & 0x7FFF) > 0x7F80).any())
    if dtype is not None:
        stored: np.dtype = np.dtype("<f8") if tensor.kind == 11 else np.dtype("<f4")
        return any(
            _any_nan(np.frombuffer(block, stored))
            for block in tensor.floats
            if len(block) % stored.itemsize == 0
        )
    return False


def _any_nan(values: np.ndarray) -> bool:
    """Whether any value is NaN; a sum decides most cases without a temporary array of that size."""
    with np.errstate(all="ignore"):
        total = values.sum(dtype=np.float64) if len(values) else 0.0
    return bool(np.isnan(total)) and bool(np.isnan(values).any())
