"""One matrix product of a ViT-B/16, in float32 and in the 8-bit forms of ONNX Runtime.

The gain of 8 bits in the product alone is an upper bound of the gain in a model, because all other
operations cost the same or more. Without VNNI, a processor needs two instructions for 32 products of 8 bits
and one for 8 products of float32, so 8 bits are at most twice as fast.
"""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inficond.export.graph import OPSET, cpu_session

ROWS, INNER, OUTER = 788, 768, 3072
"""Tokens of four pictures, width, and width of the MLP."""
BLOCK = 128  # weights that share a scale in the blockwise form
FLOAT, INTEGER = "float32", "8 bits, integers in and out"

Array = NDArray[Any]


def product_forms(rows: int = ROWS, inner: int = INNER, outer: int = OUTER) -> dict[str, tuple[Any, Array]]:
    """Return each form as a graph (input x, output y) with its input, for the same two matrices.

    Parameters
    ----------
    rows, inner, outer : the product is of (rows, inner) by (inner, outer); `inner` a multiple of `BLOCK`
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, inner)).astype(np.float32)
    w = (rng.standard_normal((inner, outer)) * inner**-0.5).astype(np.float32)
    step = np.float32((x.max() - x.min()) / 255)
    zero = np.uint8(np.rint(-x.min() / step))
    codes = np.clip(np.rint(x / step) + zero, 0, 255).astype(np.uint8)
    scale = np.abs(w).max(0) / np.float32(63)  # 7 bits: two products of 8 bits saturate 16 bits
    narrow = np.rint(w / scale).astype(np.int8)
    blocks = w.T.reshape(outer, -1, BLOCK)
    of_block = np.abs(blocks).max(2) / np.float32(127)
    bytes_ = (np.rint(blocks / of_block[..., None]) + 128).astype(np.uint8)
    node = helper.make_node
    quantised = [
        node("QuantizeLinear", ["x", "step", "zero"], ["codes"]),
        node("DequantizeLinear", ["codes", "step", "zero"], ["there"]),
        node("DequantizeLinear", ["w", "scale", "none"], ["weights"], axis=1),
        node("MatMul", ["there", "weights"], ["y"]),
    ]
    blockwise = node(
        "MatMulNBits", ["x", "w", "scale"], ["y"], domain="com.microsoft",
        K=inner, N=outer, bits=8, block_size=BLOCK, accuracy_level=4,
    )  # fmt: skip
    given = {"step": step, "zero": zero, "w": narrow, "scale": scale, "none": np.zeros(outer, np.int8)}
    return {
        FLOAT: (_graph([node("MatMul", ["x", "w"], ["y"])], {"w": w}, x, outer), x),
        "8 bits, as exported": (_graph(quantised, given, x, outer), x),
        "8 bits, weights in blocks": (
            _graph([blockwise], {"w": bytes_, "scale": of_block.ravel()}, x, outer),
            x,
        ),
        INTEGER: (
            _graph(
                [node("MatMulInteger", ["x", "w", "zero"], ["y"])],
                {"w": narrow, "zero": zero},
                codes,
                outer,
                TensorProto.INT32,
            ),
            codes,
        ),
    }


def _graph(
    nodes: list[Any], constants: dict[str, Any], x: Array, outer: int, out: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_tensor_value_info("y", out, (len(x), outer))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def measure_products(threads: int, rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Return billions of operations per second of each form: medians over alternating rounds."""
    runs = {name: (cpu_session(graph, threads), x) for name, (graph, x) in product_forms().items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, (session, x) in runs.items():
            start = clock()
            session.run(None, {"x": x})
            if turn:
                times[name].append(clock() - start)
    work = 2e-9 * ROWS * INNER * OUTER
    return {name: work / statistics.median(seconds) for name, seconds in times.items()}
