"""Copies of rows in parts that fit into the cache of the thread that makes them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads

Array = NDArray[np.floating]
PART_BYTES = 1 << 20


def strided_rows(X: Array, step: int, workers: int) -> Array:
    """Copy every `step`-th row of X (N, K)."""
    rows = X[::step]
    out = np.empty(rows.shape, X.dtype)

    def copy(part: slice) -> None:
        out[part] = rows[part]

    threads.run(copy, _parts(out), workers)
    return out


def transposed(X: Array, dtype: Any, workers: int = 1) -> Array:
    """Copy X (N, K) to a C-contiguous array (K, N)."""
    out = np.empty(X.shape[::-1], dtype)

    def copy(part: slice) -> None:
        out[:, part] = X[part].T

    threads.run(copy, _parts(X), workers)
    return out


def _parts(X: Array) -> list[slice]:
    row = max(1, X.itemsize * X.shape[1])
    return threads.slices(len(X), max(64, PART_BYTES // row))
