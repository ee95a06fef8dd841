"""Rounding of pointwise convolutions' weights for the least error of their outputs.

Seven bits are too few when each weight is rounded to the nearest. GPTQ (Frantar et al., 2023; after the
optimal brain surgeon of Hassibi and Stork, 1993) rounds the input channels one after the other, and the
channels not yet rounded compensate the error, as far as the inputs' second moments H = E[x xᵀ] on real
pictures allow. The bias compensates the error of the mean (Nagel et al., 2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from inficond.export.graph import cpu_session

TOP = 64
"""Largest code: ONNX Runtime's reduced range, −64 to 64."""
SPOTS = 64
"""Positions of each picture from which H is estimated."""


def round_pointwise(
    graph: onnx.ModelProto, pictures: Sequence[np.ndarray], keep: Sequence[str] = ()
) -> onnx.ModelProto:
    """Round the weights of pointwise convolutions to the grid of the later quantisation.

    Parameters
    ----------
    graph : onnx.ModelProto
        Input `pixels`, float32 weights.
    pictures : sequence of ndarray
        (S, S, 3) uint8.
    keep : sequence of str
        Parts of the names of nodes that stay unchanged.
    """
    out = onnx.ModelProto()
    out.CopyFrom(graph)
    constants = {t.name: t for t in out.graph.initializer}
    nodes = [
        n
        for n in out.graph.node
        if n.op_type == "Conv"
        and len(n.input) == 3
        and n.input[1] in constants
        and list(constants[n.input[1]].dims)[2:] == [1, 1]
        and not any(k in n.name for k in keep)
    ]
    inputs = _inputs(graph, sorted({n.input[0] for n in nodes}), pictures)
    for node in nodes:
        x = inputs[node.input[0]]
        weight = numpy_helper.to_array(constants[node.input[1]])
        bias = numpy_helper.to_array(constants[node.input[2]])
        rounded = round_matrix(weight[:, :, 0, 0], x.T @ x / len(x))
        shift = (weight[:, :, 0, 0] - rounded) @ x.mean(axis=0)
        for name, value in (
            (node.input[1], rounded[:, :, None, None]),
            (node.input[2], bias + shift),
        ):
            constants[name].CopyFrom(numpy_helper.from_array(np.asarray(value, np.float32), name))
    return out


def round_matrix(weight: np.ndarray, moments: np.ndarray, damping: float = 0.01) -> np.ndarray:
    """Round rows of `weight` (out, in) to grids s·{−64 … 64}, s = max |w| / 64, keeping weight · x.

    Parameters
    ----------
    weight : ndarray (out, in)
    moments : ndarray (in, in)
        E[x xᵀ].
    damping : float
        Added to the diagonal, as a share of its mean.
    """
    w = weight.astype(np.float64)
    largest = np.abs(w).argmax(axis=1)
    scale = np.maximum(np.abs(w).max(axis=1), 1e-12) / TOP
    n = len(moments)
    h = moments.astype(np.float64) + np.eye(n) * (damping * np.trace(moments) / n + 1e-9)
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    out = np.empty_like(w)
    for j in range(n):
        codes = np.clip(np.rint(w[:, j] / scale), -TOP, TOP)
        # The largest weight keeps its code, because quantisation derives the scale from it.
        own = largest == j
        codes[own] = np.sign(weight[own, j]) * TOP
        out[:, j] = codes * scale
        error = (w[:, j] - out[:, j]) / upper[j, j]
        w[:, j + 1 :] -= np.outer(error, upper[j, j + 1 :])
    return out.astype(np.float32)


def _inputs(
    graph: onnx.ModelProto, names: Sequence[str], pictures: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return values (n, channels) of inner maps at seeded positions of each picture."""
    probe = onnx.ModelProto()
    probe.CopyFrom(graph)
    del probe.graph.output[:]
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    session = cpu_session(probe, threads=1)
    rng = np.random.default_rng(0)
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for picture in pictures:
        for name, value in zip(names, session.run(list(names), {"pixels": picture[None]})):
            cells = value[0].reshape(value.shape[1], -1).T
            found[name].append(cells[rng.permutation(len(cells))[:SPOTS]])
    return {name: np.concatenate(parts) for name, parts in found.items()}
