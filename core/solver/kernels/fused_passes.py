"""Fused passes: logits, loss and gradient with each row read once.

With few classes a pass is limited by memory bandwidth, and two BLAS products with the loss between them read
every row twice. Here the residuals of a block of rows are added to the gradient while the block is in the
cache, and the next block is prefetched.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels.compilation import inline, jit, read_only_rows
from inficond.core.solver.kernels.losses import sigmoid_loss_block, softmax_loss_block
from inficond.core.solver.kernels.prefetch import LINE, prefetch
from inficond.core.solver.kernels.products import STRIP, add_product, logits

BLOCK = 128  # rows; two blocks fit into the L2 cache
BLOCKS_PER_SUM = 8  # blocks summed before they are added to the total, to limit rounding errors


@inline
def prefetch_rows(X: Any, start: int, end: int, share: int, shares: int) -> None:
    """Prefetch part `share` of `shares` of the block of rows that begins at `start`, up to row `end`."""
    rows = -(-BLOCK // shares)
    first = start + share * rows
    line = LINE // X.itemsize
    for row in range(first, min(first + rows, start + BLOCK, end)):
        for k in range(0, X.shape[1], line):
            prefetch(X, row, k)


def _sigmoid_signature(f: Any) -> Any:
    vector, matrix = f[::1], f[:, ::1]
    return numba.void(
        read_only_rows(f), numba.int64, numba.int64, matrix, matrix, matrix, vector, vector,
        numba.int64[::1], numba.int64, numba.boolean, matrix, matrix, numba.float64[:, ::1],
    )  # fmt: skip


@jit(_sigmoid_signature(numba.float32), _sigmoid_signature(numba.float64))
def sigmoid_pass(
    X: Any, low: int, high: int, W: Any, T: Any, S: Any, offset: Any, bias: Any, class_rows: Any, stride: int,
    zero_weights: bool, gradient: Any, shift: Any, sums: Any,
) -> None:  # fmt: skip
    """Add loss and gradient of some classes over the rows low to high.

    Parameters
    ----------
    X : (N, K)
    low, high : range of rows
    W : (C, K) weights of the raw columns
    T, S, offset, bias, class_rows, sums : as for `losses.sigmoid_loss_block`
    stride : one row in `stride` contributes to `shift`
    zero_weights : whether W is zero
    gradient : (C, K) added to: s (p - t) times the rows
    shift : (C, K) added to: s p (1 - p) times every `stride`-th row
    """
    C, K = W.shape
    strip = STRIP // X.itemsize
    strips = -(-K // strip)
    Z = np.empty((C, BLOCK), X.dtype)
    V = np.empty((C, BLOCK), X.dtype)
    g = np.zeros((C, K), X.dtype)
    v = np.zeros((C, K), X.dtype)
    last = low + (high - low - 1) // BLOCK * BLOCK
    for start in range(low, high, BLOCK):
        n = min(BLOCK, high - start)
        part = -(-n // stride)
        if zero_weights:
            Z[:] = 0.0
        else:
            logits(X, start, n, W, Z)
        sigmoid_loss_block(Z, n, T, start, S, offset, bias, V, part, sums, class_rows)
        for k in range(0, K, strip):
            prefetch_rows(X, start + BLOCK, high, k // strip, strips)
            add_product(X, start, Z, n, g, k, min(k + strip, K))
            add_product(X, start, V, part, v, k, min(k + strip, K))
        if start == last or (start - low) // BLOCK % BLOCKS_PER_SUM == BLOCKS_PER_SUM - 1:
            for c in range(C):
                for k in range(K):
                    gradient[c, k] += g[c, k]
                    shift[c, k] += v[c, k]
            g[:] = 0.0
            v[:] = 0.0


def _softmax_signature(f: Any) -> Any:
    vector, matrix = f[::1], f[:, ::1]
    return numba.void(
        read_only_rows(f), numba.int64, numba.int64, matrix, matrix, matrix, vector, vector, matrix, matrix,
        vector, numba.int64, numba.boolean, matrix, numba.float64[::1], numba.float64[::1],
    )  # fmt: skip


@jit(_softmax_signature(numba.float32), _softmax_signature(numba.float64))
def softmax_pass(
    X: Any, low: int, high: int, W: Any, T: Any, S: Any, offset: Any, shift: Any, P: Any, slope: Any,
    row_weight: Any, part: int, zero_weights: bool, gradient: Any, residual: Any, sums: Any,
) -> None:  # fmt: skip
    """Add loss and gradient of a softmax over the rows low to high.

    Parameters
    ----------
    X : (N, K)
    low, high : range of rows
    W : (C, K) weights of the raw columns
    T, S, offset, residual, sums : as for `losses.softmax_loss_block`
    shift : (C,) offset without the intercept
    P, slope, row_weight : (C, part), (C, part) and (part,) written for the first `part` rows: probabilities,
        logits without intercepts, and s tau
    part : number of rows of the range in P, slope and row_weight
    zero_weights : whether W is zero
    gradient : (C, K) added to: s (tau p - t) times the rows
    """
    C, K = W.shape
    strip = STRIP // X.itemsize
    strips = -(-K // strip)
    Z = np.empty((C, BLOCK), X.dtype)
    for start in range(low, high, BLOCK):
        n = min(BLOCK, high - start)
        if zero_weights:
            Z[:] = 0.0
        else:
            logits(X, start, n, W, Z)
        at = start - low
        for c in range(C):
            for i in range(min(n, part - at)):
                slope[c, at + i] = Z[c, i] + shift[c]
        softmax_loss_block(Z, n, T, start, S, offset, P, row_weight, at, part, residual, sums)
        for k in range(0, K, strip):
            prefetch_rows(X, start + BLOCK, high, k // strip, strips)
            add_product(X, start, Z, n, gradient, k, min(k + strip, K))
