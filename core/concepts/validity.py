"""Validity of words: whether a word names something in a set of images.

A word competes with all other words at its own evidence region. With the similarity corrected for hubness,
``s[r, k] = 2 cos(r, t_k) - h_k`` (cross-domain similarity local scaling up to a term that is constant per
region), a word is found in an image when it ranks among the first `RANK` words at the region that gives its
concept value. A word is valid when it is found in enough images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RANK = 10
LEAST_IMAGES = 3
LEAST_SHARE = 0.02
_BLOCK = 64


@dataclass(frozen=True)
class Validity:
    """In how many images each word is found.

    Parameters
    ----------
    found : (K,) int
        Number of images.
    needed : int
        Images that make a word valid.
    """

    found: NDArray[np.int64]
    needed: int

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether each word is valid, (K,) bool."""
        return self.found >= self.needed


def word_validity(
    regions: NDArray[np.floating],
    words: NDArray[np.float32],
    hubness: NDArray[np.float32],
    *,
    rivals: int | None = None,
    rank: int = RANK,
    least_images: int = LEAST_IMAGES,
    least_share: float = LEAST_SHARE,
) -> Validity:
    """Count the images in which each word is found.

    Parameters
    ----------
    regions : (N, R, D)
        Of training images only.
    words : (K, D)
        Unit length.
    hubness : (K,)
        See `NeutralRegions.hubness`.
    rivals : int, optional
        Number of words, the first ones, with which each word competes; all by default. With a large
        vocabulary, near-synonyms would push each other out of the first ranks.
    rank : int
        A word is found when at most ``rank - 1`` words are more similar to its evidence region.
    least_images, least_share : int, float
        A valid word is found in at least this number and this share of the images.

    Returns
    -------
    Validity
    """
    found = np.zeros(len(words), np.int64)
    rivals = len(words) if rivals is None else min(rivals, len(words))
    rank = min(rank, rivals)
    for start in range(0, len(regions), _BLOCK):
        block = np.asarray(regions[start : start + _BLOCK], np.float32)
        cosines = block @ words.T  # (n, R, K)
        scores = 2 * cosines - hubness
        limit = np.partition(scores[:, :, :rivals], rivals - rank, axis=2)[:, :, rivals - rank]
        evidence = cosines.argmax(axis=1)  # (n, K)
        own = np.take_along_axis(scores, evidence[:, None, :], axis=1)[:, 0]
        found += (own >= np.take_along_axis(limit, evidence, axis=1)).sum(axis=0)
    needed = max(least_images, int(np.ceil(least_share * len(regions))))
    return Validity(found, needed)
