"""Weights of pointwise convolutions rounded so that their outputs, not the weights, stay what they were.

Seven bits for a weight lose much when each is rounded to its nearest.  GPTQ (Frantar et al., 2023; after
Hassibi and Stork's optimal brain surgeon, 1993) rounds one input channel after the other and lets the
channels not yet rounded make up for the error, as far as the inputs' second moments H = E[x xᵀ] on real
pictures allow.  What is left of the mean goes into the bias (Nagel et al., 2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from inficond.export.graph import cpu_session

TOP = 64
"""Codes run from −64 to 64, what ONNX Runtime calls a reduced range."""
SPOTS = 64
"""Places of each picture that H is taken from."""


def round_pointwise(
    graph: onnx.ModelProto, pictures: Sequence[np.ndarray], keep: Sequence[str] = ()
) -> onnx.ModelProto:
    """The graph with every pointwise convolution's weights on the grid that quantisation will use.

    Parameters
    ----------
    graph : onnx.ModelProto
        Input `pixels`, float32 weights.
    pictures : sequence of ndarray
        (S, S, 3) uint8.
    keep : sequence of str
        Parts of names of nodes to leave alone.
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
    """Rows of `weight` (out, in) on their grids s·{−64 … 64}, s = max |w| / 64, made to keep weight · x.

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
        # The largest weight keeps its code: the scale is read off it again when the graph is quantised.
        own = largest == j
        codes[own] = np.sign(weight[own, j]) * TOP
        out[:, j] = codes * scale
        error = (w[:, j] - out[:, j]) / upper[j, j]
        w[:, j + 1 :] -= np.outer(error, upper[j, j + 1 :])
    return out.astype(np.float32)


def _inputs(
    graph: onnx.ModelProto, names: Sequence[str], pictures: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Values (n, channels) of maps of the graph at seeded places of each picture."""
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
