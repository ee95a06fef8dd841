"""Features of a teacher: the input of its last linear layer, found in its graph.

Walking back from the output: quantisation, softmax and bias, then the last `Gemm` or `MatMul`. Its input are
the features of an image. If they are the mean of a feature map (convolutional networks), each cell of the map
has features of its own, because mean and linear layer commute.
"""

from dataclasses import dataclass

from inficond.core.errors import InputError
from inficond.core.models import onnx_protobuf
from inficond.core.models.protobuf import fields, integers, message
from inficond.core.models.teacher import Teacher

_PASSED = {
    "QuantizeLinear", "DequantizeLinear", "Identity", "Cast", "Softmax", "Sigmoid", "LogSoftmax", "Add",
    "Flatten", "Reshape", "Squeeze", "Dropout", "Clip",
}  # fmt: skip
"""Operators between the last linear layer and the output, or between the mean and the last linear layer."""
_LINEAR = {"Gemm", "MatMul"}
_MEANS = {"GlobalAveragePool", "ReduceMean"}
_SPATIAL = ([2, 3], [-2, -1])
"""Axes of rows and columns."""
_LONGEST = 24
"""Operators that are passed at most."""


@dataclass(frozen=True)
class Features:
    """Values of a teacher's graph that hold its features.

    Parameters
    ----------
    pooled : str
        Features of the image: (B, F), or (B, F, 1, 1).
    map : str or None
        Feature map (B, F, h, w) whose mean the features are; None if there is none.
    """

    pooled: str
    map: str | None


def find_features(teacher: Teacher) -> tuple[onnx_protobuf.Graph, Features]:
    """Return a teacher's graph and where its features are.

    Raises
    ------
    InputError
        The graph has no last linear layer, or takes its pixels in another form than exported teachers do.
    """
    image = teacher.manifest.image
    if image.input_layout != "uint8_bhwc" or "pixels" not in teacher.session.inputs:
        raise InputError(
            f"the teacher {teacher.name!r} does not take its pixels as exported teachers do, so its features "
            "cannot be used: make a model folder of it with `inficond export teacher`"
        )
    source = teacher.session.read_file()
    graph = onnx_protobuf.Graph.parse(source.checked_content(), str(source.path))
    made = {name: block for block in graph.nodes for name in onnx_protobuf.names_of(block)[1]}
    at = teacher.manifest.output or next(iter(graph.outputs))
    linear = _walk(made, at, _LINEAR)
    if linear is None:
        raise InputError(
            f"the teacher {teacher.name!r} shows no features: its graph does not end in a linear layer; use "
            "the embedded encoder, or another teacher"
        )
    pooled = onnx_protobuf.names_of(made[linear])[0][0]
    mean = _walk(made, pooled, _MEANS)
    if mean is not None and _is_spatial(made[mean], graph):
        return graph, Features(pooled, onnx_protobuf.names_of(made[mean])[0][0])
    return graph, Features(pooled, None)


def _walk(made: dict[str, bytes], at: str, wanted: set[str]) -> str | None:
    """Return the value that the nearest operator among `wanted` makes, going back from a value, or None."""
    for _ in range(_LONGEST):
        block = made.get(at)
        if block is None:
            return None
        operator = _operator(block)
        if operator in wanted:
            return at
        if operator not in _PASSED:
            return None
        inputs = [name for name in onnx_protobuf.names_of(block)[0] if name in made]
        if not inputs:
            return None
        at = inputs[0]
    return None


def _operator(block: bytes) -> str:
    return next((onnx_protobuf.text_of(c) for n, c in fields(memoryview(block)) if n == 4), "")


def _is_spatial(block: bytes, graph: onnx_protobuf.Graph) -> bool:
    """Return whether a mean is over rows and columns of (B, F, h, w)."""
    if _operator(block) == "GlobalAveragePool":
        return True
    for name in onnx_protobuf.names_of(block)[0][1:]:  # from operator set 18, axes are an input
        if name in graph.initializers:
            return sorted(onnx_protobuf.array_of(graph.initializers[name]).tolist()) in _SPATIAL
    for number, content in fields(memoryview(block)):
        if number == 5:
            attribute = list(fields(message(content)))
            name = next((onnx_protobuf.text_of(c) for n, c in attribute if n == 1), "")
            if name == "axes":
                return sorted(i for n, c in attribute if n == 8 for i in integers(c, 8)) in _SPATIAL
    return False
