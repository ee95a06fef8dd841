"""Evidence: the region of an image in which a concept was seen."""

from dataclasses import dataclass

import numpy as np

from inficond.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Evidence:
    """Where a concept is seen in an image, and how much.

    Parameters
    ----------
    region : int
        The region that gives the maximum; the first one where several do.
    score : float
        Its cosine with the word; the concept vector holds ``max(0, score)``.
    mask : (h, w) bool
        The region's cells in the encoder's grid.
    """

    region: int
    score: float
    mask: np.ndarray


def evidence(regions: np.ndarray, assignment: np.ndarray, word: np.ndarray) -> Evidence:
    """The evidence of one concept in one image.

    Parameters
    ----------
    regions : (R, D) float16
        Unit length; float32 is rounded as in `concept_vectors`.
    assignment : (h, w) uint8
        The region of each cell.
    word : (D,) float32
        Unit length.

    Returns
    -------
    Evidence

    Raises
    ------
    InputError
        The sizes do not fit.
    """
    if regions.ndim != 2 or word.shape != (regions.shape[1],):
        raise InputError(f"regions {regions.shape} and word {word.shape} are not of one space")
    scores = np.asarray(regions, np.float16).astype(np.float32) @ np.asarray(word, np.float32)
    region = int(np.argmax(scores))
    return Evidence(region, float(scores[region]), assignment == region)
