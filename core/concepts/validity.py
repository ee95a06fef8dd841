"""Validity of words: whether a word names something in a set of images.

A word competes with all other words at its own evidence region. With the similarity corrected for hubness,
``s[r, k] = 2 cos(r, t_k) - h_k`` (cross-domain similarity local scaling up to a term that is constant per
region), a word is found in an image when it ranks among the first `RANK` words at the region that gives its
concept value. A word is valid when it is found in enough images. A person's own word that is found in too few
images of a class may only count against this class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RANK = 10
LEAST_IMAGES = 3
LEAST_SHARE = 0.02
CLASS_RANKS, CLASS_SHARE = 12, 0.1
"""A word is seen in a class if it is in the first twelfth of the words in a tenth of the class's images."""
LEAST_RANK = 3
CLASS_IMAGES = 5
"""Classes with fewer images are not tested, nor are at most `CLASS_RANKS` words."""
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
    rivals = len(words) if rivals is None else min(rivals, len(words))
    found = np.zeros(len(words), np.int64)
    for start in range(0, len(regions), _BLOCK):
        found += _found(regions[start : start + _BLOCK], words, hubness, rivals, rank).sum(axis=0)
    needed = max(least_images, int(np.ceil(least_share * len(regions))))
    return Validity(found, needed)


def unseen_words(
    regions: NDArray[np.floating],
    yes: NDArray[np.bool_],
    words: NDArray[np.float32],
    hubness: NDArray[np.float32],
    *,
    least_share: float = CLASS_SHARE,
) -> NDArray[np.bool_]:
    """Return the words that the images of a class do not show.

    The words compete with each other: a word is found in an image if it is in the first twelfth of them, but
    at least among the first three, at its own evidence region.

    Parameters
    ----------
    regions : (n, R, D)
        Of training images only.
    yes : (n, C) bool
        Images of each class.
    words : (K, D)
        Unit length.
    hubness : (K,)
        See `NeutralRegions.hubness`.
    least_share : float
        A word is seen in a class if it is found in this share of the images of the class.

    Returns
    -------
    (C, K) bool
        All False for at most `CLASS_RANKS` words, and for a class with fewer than `CLASS_IMAGES` images.
    """
    found = np.zeros((yes.shape[1], len(words)), np.float32)
    images = yes.sum(axis=0)
    if len(words) <= CLASS_RANKS:
        return found > 0
    rank = max(LEAST_RANK, len(words) // CLASS_RANKS)
    for start in range(0, len(regions), _BLOCK):
        block = _found(regions[start : start + _BLOCK], words, hubness, len(words), rank)
        found += yes[start : start + _BLOCK].T.astype(np.float32) @ block.astype(np.float32)
    return (found < least_share * images[:, None]) & (images[:, None] >= CLASS_IMAGES)


def _found(
    regions: NDArray[np.floating],
    words: NDArray[np.float32],
    hubness: NDArray[np.float32],
    rivals: int,
    rank: int,
) -> NDArray[np.bool_]:
    """Return whether each word is among the first `rank` of the rivals at its evidence region, (n, K)."""
    rank = min(rank, rivals)
    cosines = np.asarray(regions, np.float32) @ words.T  # (n, R, K)
    scores = 2 * cosines - hubness
    limit = np.partition(scores[:, :, :rivals], rivals - rank, axis=2)[:, :, rivals - rank]
    evidence = cosines.argmax(axis=1)  # (n, K)
    own = np.take_along_axis(scores, evidence[:, None, :], axis=1)[:, 0]
    return own >= np.take_along_axis(limit, evidence, axis=1)
