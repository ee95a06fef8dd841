"""Concept vectors, computed in parallel over images."""

from collections.abc import Callable
from functools import cache

import numpy as np

from inficond.core.errors import InputError


def concept_vectors(regions: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Compute ``x[n, k] = max(0, max_r regions[n, r] · words[k])``.

    Regions are rounded to float16 first, as in exported graphs, so that stored regions give bitwise identical
    results. Products are summed in float32 in the order of the axis D.

    Parameters
    ----------
    regions : (n, R, D) float16, or float32, which is rounded
        Region embeddings of unit length.
    words : (K, D) float32
        Concept embeddings of unit length.

    Returns
    -------
    (n, K) float32

    Raises
    ------
    InputError
        The embeddings have different dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.concepts import concept_vectors
    >>> regions = np.array([[[1, 0], [0.6, 0.8]]], np.float16)  # one image, two regions
    >>> words = np.array([[0, 1], [-1, 0]], np.float32)
    >>> print(concept_vectors(regions, words).round(2))
    [[0.8 0. ]]
    """
    if regions.ndim != 3 or words.ndim != 2 or regions.shape[2] != words.shape[1]:
        raise InputError(
            f"regions {regions.shape} and words {words.shape} come from different encoders: embed the words "
            "with the "
            "project's own encoder"
        )
    n, k = len(regions), len(words)
    out = np.zeros((n, k), np.float32)
    if n == 0 or k == 0:
        return out
    words = np.array(
        words, np.float32, order="C"
    )  # a copy, since the kernel does not accept read-only arrays
    kernel, step = _kernel(), 1024
    for start in range(0, n, step):  # regions are memory-mapped and may not fit into memory
        block = np.ascontiguousarray(regions[start : start + step], np.float16).astype(np.float32)
        kernel(block, words, out[start : start + step])
    return out


@cache
def _kernel() -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """Return the compiled kernel; Numba is imported at first use."""
    from inficond.core.concepts.kernels import max_over_regions

    return max_over_regions
