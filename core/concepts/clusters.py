"""Spherical k-means of unit vectors."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.unit_length import unit_length

STEPS = 25
"""Most updates of the centres."""


def cluster(
    vectors: NDArray[np.float32], most: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Group unit vectors by cosine.

    Parameters
    ----------
    vectors : (M, D) float32
        Unit length.
    most : int
        Largest number of groups; there are never more than vectors, and empty groups are removed.
    seed : int
        Of the choice of the first centres.

    Returns
    -------
    centres : (G, D) float32
        Unit length; the largest group first.
    group : (M,) int
        The group of each vector.
    """
    rng = np.random.default_rng(seed)
    first = rng.choice(len(vectors), min(most, len(vectors)), replace=False)
    centres = vectors[np.sort(first)].copy()
    group = np.full(len(vectors), -1)
    for _ in range(STEPS):
        nearest = (vectors @ centres.T).argmax(axis=1)
        if (nearest == group).all():
            break
        group = nearest
        order = np.argsort(group, kind="stable")
        used, starts = np.unique(group[order], return_index=True)
        centres[used] = unit_length(np.add.reduceat(vectors[order], starts, axis=0))
    group = (vectors @ centres.T).argmax(axis=1)
    sizes = np.bincount(group, minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    place = np.empty(len(centres), np.int64)
    place[order] = np.arange(len(order))
    return centres[order], place[group]
