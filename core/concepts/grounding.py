"""Half-grounded word vectors: words moved half-way towards the regions that they name.

Each training region is assigned to the word with the largest hubness-corrected similarity. With ``c_k`` the
unit mean of the regions of word k, ``m0`` the mean neutral region and ``t̄`` the mean word,

``v_k = unit(unit(c_k - m0) + unit(t_k - t̄))``.

Moving the whole way raises fidelity further, but the vector then drifts away from the meaning of the word.
"""

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.unit_length import unit_length

LEAST_REGIONS = 5
"""A word with fewer regions keeps its text vector."""
_BLOCK = 256


def ground_words(
    regions: NDArray[np.floating],
    words: NDArray[np.float32],
    hubness: NDArray[np.float32],
    neutral_mean: NDArray[np.float32],
    word_mean: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return half-grounded word vectors.

    Parameters
    ----------
    regions : (N, R, D)
        Of training images only, unit length.
    words : (K, D)
        Text vectors of the words of a project, unit length.
    hubness : (K,)
        See `NeutralRegions.hubness`.
    neutral_mean : (D,)
        Mean neutral region.
    word_mean : (D,)
        Mean text vector of the vocabulary.

    Returns
    -------
    vectors : (K, D) float32
        Unit length. Words with fewer than `LEAST_REGIONS` regions keep their text vector.
    counts : (K,) int
        Regions assigned to each word.
    """
    sums = np.zeros(words.shape, np.float64)
    counts = np.zeros(len(words), np.int64)
    for start in range(0, len(regions), _BLOCK):
        flat = np.asarray(regions[start : start + _BLOCK], np.float32).reshape(-1, words.shape[1])
        nearest = (2 * (flat @ words.T) - hubness).argmax(axis=1)
        order = np.argsort(nearest, kind="stable")
        named, first = np.unique(nearest[order], return_index=True)
        sums[named] += np.add.reduceat(flat[order].astype(np.float64), first, axis=0)
        counts += np.bincount(nearest, minlength=len(words))
    grounded = counts >= LEAST_REGIONS
    vectors = words.astype(np.float32)
    vectors[grounded] = half_grounded(sums[grounded], words[grounded], neutral_mean, word_mean)
    return vectors, counts


def half_grounded(
    sums: NDArray[np.float64],
    words: NDArray[np.float32],
    neutral_mean: NDArray[np.float32],
    word_mean: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the vectors (K, D) half-way between the summed regions (K, D) and the text vectors (K, D)."""
    centre = unit_length(unit_length(sums) - neutral_mean)
    return unit_length(centre + unit_length(words.astype(np.float64) - word_mean)).astype(np.float32)
