"""One pass for one class whose weights are mostly zero: what a refit under a person's bounds is made of.

Two products of a matrix with a vector read every row twice. Here a block of rows is read once: few columns
give its logits, and its residuals are added to the gradient while it is still in the cache.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels._compile import jit, read_only_rows
from inficond.core.solver.kernels.losses import sigmoid_pass

BLOCK = 128  # rows, that stay in the second cache between the two uses


def _signature(f: Any) -> Any:
    vector, matrix = f[::1], f[:, ::1]
    return numba.void(
        read_only_rows(f), numba.int64, numba.int64, numba.int64[::1], vector, matrix, matrix, vector,
        vector, numba.int64[::1], numba.int64, vector, vector, numba.float64[:, ::1],
    )  # fmt: skip


@jit(_signature(numba.float32), _signature(numba.float64))
def sparse_pass(
    X: Any, low: int, high: int, used: Any, w: Any, T: Any, S: Any, offset: Any, bias: Any, cls: Any,
    every: int, gradient: Any, shift: Any, sums: Any,
) -> None:  # fmt: skip
    """Logits, loss and gradient of one class over some rows.

    Parameters
    ----------
    X : (N, K)
    low, high : the rows
    used, w : (m,) columns whose weight is not zero, and those weights
    T, S, offset, bias, cls, sums : as for `losses.sigmoid_pass`, of one class
    every : one row in so many serves `shift`
    gradient : (K,) added to: s (p - t) times the rows
    shift : (K,) added to: s p (1 - p) times a part of the rows
    """
    K = X.shape[1]
    Z = np.empty((1, BLOCK), X.dtype)
    V = np.empty((1, BLOCK), X.dtype)
    for start in range(low, high, BLOCK):
        n = min(BLOCK, high - start)
        part = -(-n // every)
        for i in range(n):
            x = X[start + i]
            z = w[0] * x[used[0]]
            for j in range(1, used.shape[0]):
                z += w[j] * x[used[j]]
            Z[0, i] = z
        sigmoid_pass(Z, n, T, start, S, offset, bias, V, part, sums, cls)
        i = 0
        while i + 4 <= n:  # four rows at a time: the gradient is loaded and stored once for them
            x0, x1, x2, x3 = X[start + i], X[start + i + 1], X[start + i + 2], X[start + i + 3]
            r0, r1, r2, r3 = Z[0, i], Z[0, i + 1], Z[0, i + 2], Z[0, i + 3]
            for k in range(K):
                gradient[k] += (r0 * x0[k] + r1 * x1[k]) + (r2 * x2[k] + r3 * x3[k])
            i += 4
        while i < n:
            x0, r0 = X[start + i], Z[0, i]
            for k in range(K):
                gradient[k] += r0 * x0[k]
            i += 1
        for i in range(part):
            x0, v0 = X[start + i], V[0, i]
            for k in range(K):
                shift[k] += v0 * x0[k]
