"""8-bit forms of the embedded graphs.

Image graphs: static 8-bit convolutions (QDQ). Activations are unsigned with one scale per tensor, from
their range on real pictures; weights are signed with one scale per channel. Text graph: 8-bit weights only,
with one scale per row or column, and float32 arithmetic; words are few, so accuracy matters more than
speed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from inficond.export.embedded.rounding import round_pointwise

SMALLEST = 4096
"""Fewest elements of a weight that is quantised."""


def convolutions_to_int8(
    graph: onnx.ModelProto,
    pictures: Sequence[np.ndarray],
    keep: Sequence[str] = (),
    batch: int = 8,
    keep_outputs: bool = False,
) -> onnx.ModelProto:
    """Quantise convolutions to static 8 bits, calibrated on `pictures`, (S, S, 3) uint8 each.

    Parameters
    ----------
    graph : onnx.ModelProto
        Input `pixels`.
    pictures : sequence of ndarray
    keep : sequence of str
        Parts of the names of nodes that stay float32.
    batch : int
    keep_outputs : bool
        Round pointwise weights for the least error of the outputs (`rounding`) instead of to the nearest.
    """
    from inficond.core.models.runtime import submodule

    ort = submodule("quantization")
    reader: Any = ort.CalibrationDataReader

    class Pictures(reader):
        def __init__(self) -> None:
            starts = range(0, len(pictures), batch)
            self.batches = iter({"pixels": np.stack(pictures[i : i + batch])} for i in starts)

        def get_next(self) -> Any:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        plain, ready, small = (str(Path(folder) / f"{n}.onnx") for n in ("plain", "ready", "small"))
        onnx.save_model(graph, plain)
        ort.quant_pre_process(plain, ready, skip_symbolic_shape=True)
        if keep_outputs:
            onnx.save_model(round_pointwise(onnx.load(ready), pictures, keep), ready)
        nodes = onnx.load(ready).graph.node
        ort.quantize_static(
            ready,
            small,
            Pictures(),
            quant_format=ort.QuantFormat.QDQ,
            activation_type=ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            per_channel=True,
            calibrate_method=ort.CalibrationMethod.MinMax,
            nodes_to_quantize=[
                n.name
                for n in nodes
                if n.op_type in ("Conv", "Add", "Clip", "Gemm") and not any(k in n.name for k in keep)
            ],
            op_types_to_quantize=["Conv", "Add", "Clip", "Gemm"],
            extra_options={"TensorQuantOverrides": _weight_forms(onnx.load(ready))},
        )
        return onnx.load(small)


def _weight_forms(graph: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """Return the number of bits per weight: 7, or 8 for depthwise convolutions.

    Without VNNI, x86 adds two products of 8 bits in 16 bits, which can saturate; with weights of 7 bits it
    cannot. ONNX Runtime's depthwise kernels add in 32 bits, so these most sensitive weights keep 8 bits.
    """
    from inficond.core.models.runtime import submodule

    QuantType = submodule("quantization").QuantType
    shapes = {t.name: list(t.dims) for t in graph.graph.initializer}
    forms: dict[str, list[dict[str, Any]]] = {}
    for node in graph.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in shapes:
            depthwise = node.op_type == "Conv" and shapes[node.input[1]][1] == 1
            forms[node.input[1]] = [{"quant_type": QuantType.QInt8, "axis": 0, "reduce_range": not depthwise}]
    return forms


def weights_to_int8(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store large matrices as int8 with a DequantizeLinear before their use; arithmetic stays float32."""
    out = onnx.ModelProto()
    out.CopyFrom(graph)
    constants = {t.name: t for t in out.graph.initializer}
    axes: dict[str, int] = {}
    for node in out.graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            axes[node.input[1]] = 1
        elif node.op_type == "Gemm" and node.input[1] in constants:
            axes[node.input[1]] = 0
    tables = {n.input[0] for n in out.graph.node if n.op_type == "Gather" and n.input[0] in constants}
    added: list[onnx.NodeProto] = []
    for name, axis in axes.items():
        if int(np.prod(constants[name].dims)) < SMALLEST or len(constants[name].dims) != 2:
            continue
        codes, scale = _rounded(numpy_helper.to_array(constants[name]), axis)
        constants[name].CopyFrom(numpy_helper.from_array(codes, name + "_int8"))
        out.graph.initializer.append(numpy_helper.from_array(scale, name + "_scale"))
        added.append(
            helper.make_node("DequantizeLinear", [name + "_int8", name + "_scale"], [name], axis=axis)
        )
    for node in list(out.graph.node):
        if node.op_type == "Gather" and node.input[0] in tables:
            _table_to_int8(out, node, constants[node.input[0]])
    nodes = added + list(out.graph.node)
    del out.graph.node[:]
    out.graph.node.extend(nodes)
    return out


def _table_to_int8(model: onnx.ModelProto, gather: onnx.NodeProto, table: onnx.TensorProto) -> None:
    """Replace a table lookup by lookups of 8-bit rows and their scales, multiplied afterwards."""
    values = numpy_helper.to_array(table)
    if values.ndim != 2 or values.size < SMALLEST or values.dtype != np.float32:
        return
    codes, scale = _rounded(values, 0)
    name, found, at = table.name, gather.output[0], list(model.graph.node).index(gather)
    table.CopyFrom(numpy_helper.from_array(codes, name))
    model.graph.initializer.append(numpy_helper.from_array(scale[:, None], name + "_scale"))
    steps = [
        helper.make_node("Gather", [name, gather.input[1]], [found + "_codes"], axis=0),
        helper.make_node("Gather", [name + "_scale", gather.input[1]], [found + "_scales"], axis=0),
        helper.make_node("Cast", [found + "_codes"], [found + "_cast"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [found + "_cast", found + "_scales"], [found]),
    ]
    nodes = list(model.graph.node)
    nodes[at : at + 1] = steps
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _rounded(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    largest = np.abs(values).max(axis=1 - axis, keepdims=True)
    scale = np.maximum(largest, 1e-12).astype(np.float32) / 127
    codes = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
    return codes, scale.reshape(-1)
