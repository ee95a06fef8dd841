"""Reduction of an encoder to half precision or 8-bit integers, with a check of its quality.

int8 is static and only for products with a constant matrix (linear layers): activations are unsigned 8-bit
with one scale per tensor, calibrated on real pictures; weights signed, one scale per output channel, in 7
bits so that processors without VNNI cannot saturate. Attention, norms and everything after the last block
stay float32, and so does the stem's convolution, whose integer form is slow. Before that, SmoothQuant
(Xiao et al., ICML 2023) balances the ranges of activations and weights, because a few channels after a
LayerNorm are much larger than the others.
"""

import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper

from inficond.core.errors import InputError
from inficond.export.graph import cpu_session

Precision = Literal["float32", "fp16", "int8"]

THRESHOLDS = {"fp16": {"cosine": 0.999, "retrieval": 0.98}, "int8": {"cosine": 0.95, "retrieval": 0.95}}
"""Least mean cosine to the float32 embeddings, and least share of pictures retrieved by them."""

_KEEP_FLOAT = re.compile(r"/(finder|head)(_\d+)?/")
_BATCH = 4


def reduce_precision(
    graph: onnx.ModelProto, precision: Precision, photographs: Sequence[np.ndarray]
) -> tuple[onnx.ModelProto, dict[str, float]]:
    """Return a smaller graph whose embeddings agree with the float32 ones.

    Parameters
    ----------
    graph : onnx.ModelProto
        An encoder's image graph in float32.
    precision : {"fp16", "int8"}
        Precision of the result.
    photographs : sequence of ndarray
        Preprocessed pictures, uint8 (H, W, 3). For int8, half of them calibrate and the other half test.

    Returns
    -------
    graph : onnx.ModelProto
    measured : dict
        Figures for the manifest.

    Raises
    ------
    InputError
        The reduced graph is below a threshold.
    """
    if precision == "int8":
        if len(photographs) < 8:
            raise InputError(
                f"int8 needs at least 8 pictures for calibration and test, there are {len(photographs)}: "
                "give more with --images"
            )
        calibrate, test = photographs[::2], photographs[1::2]
        reduced = to_int8(graph, calibrate)
    else:
        test = photographs
        reduced = to_fp16(graph)
    return reduced, check_quality(graph, reduced, test, precision)


def check_quality(
    graph: onnx.ModelProto, reduced: onnx.ModelProto, photographs: Sequence[np.ndarray], precision: str
) -> dict[str, float]:
    """Compare a reduced graph with the float32 one.

    Returns
    -------
    dict
        Mean and least cosine of the dense and of the image embeddings, and ``retrieval``: the share of
        pictures whose reduced image embedding is nearest to its own float32 embedding.

    Raises
    ------
    InputError
        A figure is below `THRESHOLDS`.
    """
    a, b = _embed(graph, photographs), _embed(reduced, photographs)
    measured: dict[str, float] = {}
    for name in ("dense", "image"):
        cosine = _cosine(a[name], b[name])
        measured[f"{name}_cosine"] = float(cosine.mean())
        measured[f"{name}_cosine_least"] = float(cosine.min())
    nearest = (b["image"] @ a["image"].T).argmax(1)
    own = np.take_along_axis(b["image"] @ a["image"].T, nearest[:, None], 1)[:, 0]
    # Two equal pictures have equal embeddings, so either counts as found.
    same = np.einsum("nd,nd->n", b["image"], a["image"])
    measured["retrieval"] = float((same >= own - 1e-6).mean())
    measured["pictures"] = float(len(photographs))
    limits = THRESHOLDS[precision]
    for name in ("dense_cosine", "image_cosine"):
        if not measured[name] >= limits["cosine"]:
            raise InputError(
                f"{precision} is too inaccurate for this model: its {name.replace('_', ' ')} to float32 is "
                f"{measured[name]:.3f}, below {limits['cosine']}; export float32 or fp16 instead"
            )
    if not measured["retrieval"] >= limits["retrieval"]:
        raise InputError(
            f"{precision} is too inaccurate for this model: only {measured['retrieval']:.1%} of its "
            "embeddings "
            f"are nearest to their float32 embedding, below {limits['retrieval']:.0%}; export float32 or "
            "fp16 "
            "instead"
        )
    return {key: round(value, 6) for key, value in measured.items()}


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def _embed(graph: onnx.ModelProto, photographs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    session = cpu_session(graph)
    parts = [
        session.run(["dense", "image"], {"pixels": np.stack(photographs[i : i + _BATCH])})
        for i in range(0, len(photographs), _BATCH)
    ]
    return {"dense": np.concatenate([p[0] for p in parts]), "image": np.concatenate([p[1] for p in parts])}


def to_fp16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Convert weights and products to half precision; norms, softmax, the normalisation of pixels and the
    region finder stay float32."""
    from inficond.core.models.runtime import submodule

    float16 = submodule("transformers.float16")
    keep = [n.name for n in graph.graph.node if _KEEP_FLOAT.search(n.name) or n.op_type in ("Cast",)]
    blocked = [
        *float16.DEFAULT_OP_BLOCK_LIST,
        "LayerNormalization",
        "Softmax",
        "LpNormalization",
        "ReduceL2",
        "Pow",
    ]
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    half = float16.convert_float_to_float16(
        copy, keep_io_types=True, op_block_list=blocked, node_block_list=keep, disable_shape_infer=False
    )
    # The converter casts a value once per consumer, all under one name: one cast is enough.
    written: set[str] = set()
    kept = []
    for node in half.graph.node:
        if not written.issuperset(node.output):
            kept.append(node)
        written.update(node.output)
    del half.graph.node[:]
    half.graph.node.extend(kept)
    return half


def to_int8(graph: onnx.ModelProto, photographs: Sequence[np.ndarray]) -> onnx.ModelProto:
    """Quantise linear layers to static 8 bits, calibrated on `photographs` (uint8 (H, W, 3) each)."""
    from inficond.core.models.runtime import submodule

    ort = submodule("quantization")
    reader: Any = ort.CalibrationDataReader

    class Pictures(reader):
        def __init__(self) -> None:
            starts = range(0, len(photographs), _BATCH)
            self.batches = iter({"pixels": np.stack(photographs[i : i + _BATCH])} for i in starts)

        def get_next(self) -> Any:
            return next(self.batches, None)

    smooth = smooth_ranges(graph, photographs[: 4 * _BATCH])
    constants = {t.name for t in smooth.graph.initializer}
    linear = [
        n.name
        for n in smooth.graph.node
        if n.op_type in ("MatMul", "Gemm") and n.input[1] in constants and not _KEEP_FLOAT.search(n.name)
    ]
    if not linear:
        raise InputError("int8 is not possible: the graph has no linear layer")
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save_model(smooth, before)
        with _quiet():
            ort.quantize_static(
                str(before),
                str(after),
                Pictures(),
                quant_format=ort.QuantFormat.QDQ,
                activation_type=ort.QuantType.QUInt8,
                weight_type=ort.QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                calibrate_method=ort.CalibrationMethod.MinMax,
                nodes_to_quantize=linear,
                op_types_to_quantize=["MatMul", "Gemm"],
                extra_options={
                    "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],
                    "MatMulConstBOnly": True,
                    "ForceQuantizeNoInputCheck": False,
                },
            )
        return onnx.load(str(after))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the root logger, on which ONNX Runtime's quantiser prints advice."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def smooth_ranges(
    graph: onnx.ModelProto, photographs: Sequence[np.ndarray], alpha: float = 0.5
) -> onnx.ModelProto:
    """Apply SmoothQuant to the linear layers after a LayerNorm: move channel scales into the weights.

    The function stays the same in exact arithmetic: channel j of the norm's gain and offset is divided by
    ``s_j = max|X_j|^α / max|W_j|^(1−α)``, and row j of each matrix after it is multiplied by ``s_j``.

    Parameters
    ----------
    graph : onnx.ModelProto
        Not changed.
    photographs : sequence of ndarray
        Pictures that give ``max|X_j|``.
    alpha : float
        Share of the range that moves into the weights.

    Returns
    -------
    onnx.ModelProto
        The same function with balanced ranges.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    _unshare_constants(copy)
    constants = {t.name: t for t in copy.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in copy.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    groups = []
    for node in copy.graph.node:
        if node.op_type != "LayerNormalization" or len(node.input) < 3:
            continue
        using = readers.get(node.output[0], [])
        plain = all(
            n.op_type == "MatMul" and n.input[0] == node.output[0] and n.input[1] in constants for n in using
        )
        private = all(len(readers[name]) == 1 for name in node.input[1:3])
        if using and plain and private and not any(_KEEP_FLOAT.search(n.name) for n in using):
            groups.append((node, using))
    if not groups:
        return copy
    largest = largest_per_channel(graph, [norm.output[0] for norm, _ in groups], photographs)
    for norm, using in groups:
        matrices = {n.input[1] for n in using}
        weight = np.max([np.abs(numpy_helper.to_array(constants[m])).max(1) for m in matrices], axis=0)
        activation = largest[norm.output[0]]
        scale = np.maximum(activation, 1e-5) ** alpha / np.maximum(weight, 1e-5) ** (1 - alpha)
        scale = (scale / np.exp(np.log(scale).mean())).astype(np.float32)
        for name in norm.input[1:3]:
            _replace(constants[name], numpy_helper.to_array(constants[name]) / scale)
        for name in matrices:
            _replace(constants[name], numpy_helper.to_array(constants[name]) * scale[:, None])
    return copy


def _unshare_constants(graph: onnx.ModelProto) -> None:
    """Give each node its own copy of a constant that the exporter shares through Identity nodes."""
    constants = {t.name: t for t in graph.graph.initializer}
    kept = []
    for node in graph.graph.node:
        if node.op_type == "Identity" and node.input[0] in constants:
            own = graph.graph.initializer.add()
            own.CopyFrom(constants[node.input[0]])
            own.name = node.output[0]
            constants[own.name] = own
        else:
            kept.append(node)
    del graph.graph.node[:]
    graph.graph.node.extend(kept)


def _replace(tensor: onnx.TensorProto, value: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), tensor.name))


def largest_per_channel(
    graph: onnx.ModelProto, names: Sequence[str], photographs: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the largest magnitude per channel (last axis) of inner values over the pictures."""
    probe = onnx.ModelProto()
    probe.CopyFrom(graph)
    for name in names:
        probe.graph.output.append(onnx.ValueInfoProto(name=name))
    session = cpu_session(probe)
    found: dict[str, np.ndarray] = {}
    for i in range(0, len(photographs), _BATCH):
        values = session.run(list(names), {"pixels": np.stack(photographs[i : i + _BATCH])})
        for name, value in zip(names, values):
            largest = np.abs(value).reshape(-1, value.shape[-1]).max(0)
            found[name] = np.maximum(found.get(name, 0.0), largest)
    return found
