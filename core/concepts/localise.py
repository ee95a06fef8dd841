"""Evidence: the regions of an image that show a concept.

Regions of an image are similar, so the region with the largest cosine is hardly better evidence than the next
ones. All regions near the largest cosine are shown. On 114 pictures of COCO with outlined labels, the
evidence of a label then covers 64 % of it instead of 31 %, with 28 % instead of 31 % of the evidence inside.
"""

from dataclasses import dataclass

import numpy as np

from inficond.core.errors import InputError

TOLERANCE = 0.25
"""Regions are shown whose cosine is at most this share of the image's range below the largest."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence of a concept in an image.

    Parameters
    ----------
    region : int
        Index of the region with the largest cosine; of several, the first.
    score : float
        The cosine; the concept vector contains ``max(0, score)``.
    mask : (h, w) bool
        Cells of the regions that show the concept, in the encoder's grid; see `TOLERANCE`.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> found = Project.open(demo_project()).session().evidence(row=2, concept="water")
    >>> found.mask.shape, bool(found.mask.any())
    ((14, 14), True)
    """

    region: int
    score: float
    mask: np.ndarray


def evidence(regions: np.ndarray, assignment: np.ndarray, word: np.ndarray) -> Evidence:
    """Find the evidence of a concept in an image.

    Parameters
    ----------
    regions : (R, D) float16
        Region embeddings of unit length; float32 is rounded as in `concept_vectors`.
    assignment : (h, w) uint8
        The region of each cell.
    word : (D,) float32
        Concept embedding of unit length.

    Returns
    -------
    Evidence

    Raises
    ------
    InputError
        The embeddings have different dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.concepts import evidence
    >>> regions = np.array([[1, 0], [0, 1]], np.float16)
    >>> assignment = np.array([[0, 1], [1, 1]], np.uint8)  # a grid of 2 x 2 cells
    >>> found = evidence(regions, assignment, np.array([0, 1], np.float32))
    >>> found.region, found.score, found.mask.tolist()
    (1, 1.0, [[False, True], [True, True]])
    """
    if regions.ndim != 2 or word.shape != (regions.shape[1],):
        raise InputError(f"regions {regions.shape} and concept {word.shape} come from different encoders")
    scores = np.asarray(regions, np.float16).astype(np.float32) @ np.asarray(word, np.float32)
    region = int(np.argmax(scores))
    least = scores[region] - TOLERANCE * (scores[region] - scores.min())
    return Evidence(region, float(scores[region]), (scores >= least)[assignment])
