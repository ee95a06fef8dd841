"""Column sums for standardization."""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels.compilation import jit, read_only_rows

BLOCK = 64  # rows summed in the precision of the data before they are added in float64


def _signature(f: Any) -> Any:
    return numba.void(read_only_rows(f), numba.int64, numba.int64, numba.float64[::1], numba.float64[::1])


@jit(_signature(numba.float32), _signature(numba.float64))
def add_moments(X: Any, low: int, high: int, total: Any, squares: Any) -> None:
    """Add the sum and the sum of squares of X[low:high] - X[0] to `total` and `squares`, (K,) each."""
    K = X.shape[1]
    first = X[0]
    for a in range(low, high, BLOCK):
        b = min(a + BLOCK, high)
        part = np.zeros(K, X.dtype)
        square = np.zeros(K, X.dtype)
        for i in range(a, b):
            x = X[i]
            for k in range(K):
                d = x[k] - first[k]
                part[k] += d
                square[k] += d * d
        for k in range(K):
            total[k] += part[k]
            squares[k] += square[k]
