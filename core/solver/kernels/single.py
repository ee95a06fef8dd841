"""One pass for one class: what a refit under a person's bounds is made of.

Two products of a matrix with a vector read every row twice, and such a pass is as fast as memory is. Here a
block of rows is read once: it gives its logits, and its residuals are added to the gradient while it is still
in the cache, and the next block on its way.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels._compile import jit, read_only_rows
from inficond.core.solver.kernels.losses import sigmoid_pass
from inficond.core.solver.kernels.prefetch import LINE, prefetch

BLOCK = 128  # rows: two blocks stay in the second cache
TOGETHER = 8  # blocks summed before they are added to the rest: sums of fewer rows keep more digits


def _signature(f: Any) -> Any:
    vector, matrix = f[::1], f[:, ::1]
    return numba.void(
        read_only_rows(f), numba.int64, numba.int64, vector, matrix, matrix, vector, vector,
        numba.int64[::1], numba.int64, vector, vector, numba.float64[:, ::1],
    )  # fmt: skip


@jit(_signature(numba.float32), _signature(numba.float64))
def single_pass(
    X: Any, low: int, high: int, w: Any, T: Any, S: Any, offset: Any, bias: Any, cls: Any,
    every: int, gradient: Any, shift: Any, sums: Any,
) -> None:  # fmt: skip
    """Logits, loss and gradient of one class over some rows.

    Parameters
    ----------
    X : (N, K)
    low, high : the rows
    w : (K,) weights of the raw columns
    T, S, offset, bias, cls, sums : as for `losses.sigmoid_pass`, of one class
    every : one row in so many serves `shift`
    gradient : (K,) added to: s (p - t) times the rows
    shift : (K,) added to: s p (1 - p) times a part of the rows
    """
    K = X.shape[1]
    zero = w[0] - w[0]
    line = LINE // X.itemsize
    Z = np.empty((1, BLOCK), X.dtype)
    V = np.empty((1, BLOCK), X.dtype)
    g = np.zeros(K, X.dtype)
    v = np.zeros(K, X.dtype)
    last = low + (high - low - 1) // BLOCK * BLOCK
    for start in range(low, high, BLOCK):
        n = min(BLOCK, high - start)
        part = -(-n // every)
        i = 0
        while i + 4 <= n:  # four rows at a time: the weights are loaded once for them
            x0, x1, x2, x3 = X[start + i], X[start + i + 1], X[start + i + 2], X[start + i + 3]
            z0 = z1 = z2 = z3 = zero
            for k in range(K):
                f = w[k]
                z0 += f * x0[k]
                z1 += f * x1[k]
                z2 += f * x2[k]
                z3 += f * x3[k]
            Z[0, i], Z[0, i + 1], Z[0, i + 2], Z[0, i + 3] = z0, z1, z2, z3
            i += 4
        while i < n:
            x0 = X[start + i]
            z0 = zero
            for k in range(K):
                z0 += w[k] * x0[k]
            Z[0, i] = z0
            i += 1
        sigmoid_pass(Z, n, T, start, S, offset, bias, V, part, sums, cls)
        i = 0
        while i + 4 <= n:  # and the gradient is loaded and stored once
            ahead = start + BLOCK + i
            for row in range(ahead, min(ahead + 4, high)):
                for k in range(0, K, line):
                    prefetch(X, row, k)
            x0, x1, x2, x3 = X[start + i], X[start + i + 1], X[start + i + 2], X[start + i + 3]
            r0, r1, r2, r3 = Z[0, i], Z[0, i + 1], Z[0, i + 2], Z[0, i + 3]
            for k in range(K):
                g[k] += (r0 * x0[k] + r1 * x1[k]) + (r2 * x2[k] + r3 * x3[k])
            i += 4
        while i < n:
            x0, r0 = X[start + i], Z[0, i]
            for k in range(K):
                g[k] += r0 * x0[k]
            i += 1
        for i in range(part):
            x0, v0 = X[start + i], V[0, i]
            for k in range(K):
                v[k] += v0 * x0[k]
        if start == last or (start - low) // BLOCK % TOGETHER == TOGETHER - 1:
            for k in range(K):
                gradient[k] += g[k]
                shift[k] += v[k]
                g[k] = v[k] = zero
