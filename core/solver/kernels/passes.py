"""Whole passes over the rows, each row read once.

Two products by a BLAS with the loss between them read every row twice, and for few classes a pass is as fast
as memory is. Here a block of rows gives its logits, and its residuals are added to the gradient while it is
still in the cache, and the next block on its way.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels._compile import inline, jit, read_only_rows
from inficond.core.solver.kernels.losses import sigmoid_block, softmax_block
from inficond.core.solver.kernels.prefetch import LINE, prefetch
from inficond.core.solver.kernels.products import STRIP, add_rows, logits

BLOCK = 128  # rows: two blocks stay in the second cache
TOGETHER = 8  # blocks summed before they are added to the rest: sums of fewer rows keep more digits


@inline
def ask(X: Any, start: int, end: int, share: int, shares: int) -> None:
    """Ask for one of `shares` shares of the block of rows that begins at `start`, none beyond `end`."""
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
def sigmoid_rows(
    X: Any, low: int, high: int, W: Any, T: Any, S: Any, offset: Any, bias: Any, classes: Any, every: int,
    flat: bool, gradient: Any, shift: Any, sums: Any,
) -> None:  # fmt: skip
    """Logits, loss and gradient of some classes over some rows.

    Parameters
    ----------
    X : (N, K)
    low, high : the rows
    W : (C, K) weights of the raw columns
    T, S, offset, bias, classes, sums : as for `losses.sigmoid_block`
    every : one row in so many serves `shift`
    flat : whether W is zero, as at a cold start
    gradient : (C, K) added to: s (p - t) times the rows
    shift : (C, K) added to: s p (1 - p) times a part of the rows
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
        part = -(-n // every)
        if flat:
            Z[:] = 0.0
        else:
            logits(X, start, n, W, Z)
        sigmoid_block(Z, n, T, start, S, offset, bias, V, part, sums, classes)
        for k in range(0, K, strip):
            ask(X, start + BLOCK, high, k // strip, strips)
            add_rows(X, start, Z, n, g, k, min(k + strip, K))
            add_rows(X, start, V, part, v, k, min(k + strip, K))
        if start == last or (start - low) // BLOCK % TOGETHER == TOGETHER - 1:
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
def softmax_rows(
    X: Any, low: int, high: int, W: Any, T: Any, S: Any, offset: Any, shift: Any, P: Any, length: Any,
    mass: Any, part: int, flat: bool, gradient: Any, residual: Any, sums: Any,
) -> None:  # fmt: skip
    """Logits, loss and gradient of a softmax over some rows.

    Parameters
    ----------
    X : (N, K)
    low, high : the rows
    W : (C, K) weights of the raw columns
    T, S, offset, residual, sums : as for `losses.softmax_block`
    shift : (C,) what must be added to products with the rows to give the part of the logits that is of the
        weights
    P, length, mass : (C, part), (C, part) and (part,) out: of the first `part` rows, probabilities, the part
        of the logits that is of the weights, and s tau
    flat : whether W is zero, as at a cold start
    gradient : (C, K) added to: s (tau p - t) times the rows
    """
    C, K = W.shape
    strip = STRIP // X.itemsize
    strips = -(-K // strip)
    Z = np.empty((C, BLOCK), X.dtype)
    for start in range(low, high, BLOCK):
        n = min(BLOCK, high - start)
        if flat:
            Z[:] = 0.0
        else:
            logits(X, start, n, W, Z)
        at = start - low
        for c in range(C):
            for i in range(min(n, part - at)):
                length[c, at + i] = Z[c, i] + shift[c]
        softmax_block(Z, n, T, start, S, offset, P, mass, at, part, residual, sums)
        for k in range(0, K, strip):
            ask(X, start + BLOCK, high, k // strip, strips)
            add_rows(X, start, Z, n, gradient, k, min(k + strip, K))
