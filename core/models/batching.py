"""Batches: recognizing that memory ran out, and splitting results into rows."""

from typing import Any

import numpy as np

_OUT_OF_MEMORY = (
    "out of memory",
    "failed to allocate",
    "bad_alloc",
    "bad allocation",
    "cannot allocate",
    "bfcarena",
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error or its cause means out of memory; ONNX Runtime has no exception type for it."""
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error).lower() for text in _OUT_OF_MEMORY):
            return True
        error = error.__cause__
    return False


def rows_of(result: Any, n: int) -> list[Any]:
    """Split the result of a batch into copies of its rows, one result per image.

    Parameters
    ----------
    result : array, tuple or named tuple of arrays
        Each with n rows.
    n : int
        Images in the batch.
    """
    if isinstance(result, np.ndarray):
        return [result[i].copy() for i in range(n)]
    rows = ([array[i].copy() for array in result] for i in range(n))
    if hasattr(result, "_make"):
        return [result._make(row) for row in rows]
    return [tuple(row) for row in rows]
