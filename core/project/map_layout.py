"""Layout of embeddings in the plane by principal components."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.threads import single_threaded_blas

LAYOUT = "pca"
"""Name of the layout in files and links."""
_BLOCK = 4096


def principal_components(
    embeddings: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates of embeddings along their first principal components.

    The sign of each component is fixed: its entry of largest magnitude is positive. Sums are accumulated in
    blocks of fixed size by one thread, so that a second run gives the same bits.

    Parameters
    ----------
    embeddings : (N, D)
    count : int
        Number of components; those beyond D are 0.

    Returns
    -------
    points : (N, count) float64
    shares : (count,) float64
        Share of the variance along each component, descending; 0 if all embeddings are equal.
    """
    n, d = embeddings.shape
    starts = range(0, n, _BLOCK)
    with single_threaded_blas():
        mean = np.zeros(d)
        for start in starts:
            mean += embeddings[start : start + _BLOCK].sum(axis=0, dtype=np.float64)
        mean /= n
        scatter = np.zeros((d, d))
        for start in starts:
            block = embeddings[start : start + _BLOCK] - mean
            scatter += block.T @ block
        values, vectors = np.linalg.eigh(scatter)
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        kept = min(count, d)
        axes = vectors[:, :kept] * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(d)][:kept])
        points = np.zeros((n, count))
        for start in starts:
            points[start : start + _BLOCK, :kept] = (embeddings[start : start + _BLOCK] - mean) @ axes
    shares = np.zeros(count)
    total = float(values.sum())
    if total > 0:
        shares[:kept] = values[:kept] / total
    return points, shares
