"""Concept vectors: how much of each word an image's best region holds; the hot loop, parallel over images."""

from collections.abc import Callable
from functools import cache

import numpy as np

from inficond.core.errors import InputError


def concept_vectors(regions: np.ndarray, words: np.ndarray) -> np.ndarray:
    """``x[n, k] = max(0, max_r regions[n, r] · words[k])``.

    Regions are rounded to float16 first, here as in every exported graph, so that stored regions give the
    same numbers again, to the bit. Products are summed in float32 in the order of the axis D.

    Parameters
    ----------
    regions : (n, R, D) float16 (or float32, rounded here)
        Unit length.
    words : (K, D) float32
        Unit length.

    Returns
    -------
    (n, K) float32

    Raises
    ------
    InputError
        The sizes do not fit: words and regions come from different encoders.
    """
    if regions.ndim != 3 or words.ndim != 2 or regions.shape[2] != words.shape[1]:
        raise InputError(
            f"regions {regions.shape} and words {words.shape} are not of one space: embed the words with the "
            "project's own encoder"
        )
    n, k = len(regions), len(words)
    out = np.zeros((n, k), np.float32)
    if n == 0 or k == 0:
        return out
    words = np.array(words, np.float32, order="C")  # a copy: the compiled loop takes no read-only array
    kernel, step = _kernel(), 1024
    for start in range(0, n, step):  # a piece at a time: regions on disk are never all in memory
        piece = np.ascontiguousarray(regions[start : start + step], np.float16).astype(np.float32)
        kernel(piece, words, out[start : start + step])
    return out


@cache
def _kernel() -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """The compiled loop; Numba is imported when it is first needed, not with the package."""
    from inficond.core.concepts.kernels import max_over_regions

    return max_over_regions
