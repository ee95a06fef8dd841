"""Evidence: the regions of an image that show a concept.

Regions of an image are similar, so the region with the largest cosine is hardly better evidence than the
next ones. All cells near the largest cosine are shown. Where the cells of the picture are encoded too
(`inficond.core.concepts.cells`), their own cosines are added to those of the regions.
`inficond bench encoder` measures both.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.concepts.cells import Cells

TOLERANCE = 0.25
"""Regions are shown whose cosine is at most this share of the image's range below the largest."""
CELL_TOLERANCE = 0.2
"""The same for cells whose own cosine is added to that of their region."""


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


def evidence(
    regions: np.ndarray,
    assignment: np.ndarray,
    word: np.ndarray,
    cells: "Cells | None" = None,
    text: np.ndarray | None = None,
) -> Evidence:
    """Find the evidence of a concept in an image.

    Parameters
    ----------
    regions : (R, D) float16
        Region embeddings of unit length; float32 is rounded as in `concept_vectors`.
    assignment : (h, w) uint8
        The region of each cell.
    word : (D,) float32
        Concept embedding of unit length.
    cells : Cells, optional
        Encodings of the cells of the picture. They decide what is shown, not region and score.
    text : (D,) float32, optional
        Text vector of the concept, which is compared with `cells`. A grounded vector contains surroundings
        of what the word names. `word` by default.

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
    if cells is None:
        mask = _near_largest(scores, TOLERANCE)[assignment]
    else:
        own = cells.scores(word if text is None else text)
        mask = lit_cells(scores[assignment].ravel()[None], own.ravel()[None]).reshape(own.shape)
    return Evidence(region, float(scores[region]), mask)


def lit_cells(of_region: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the cells that show each of K words, (K, h·w) bool; see `CELL_TOLERANCE`.

    Parameters
    ----------
    of_region : (K, h·w)
        Cosine of each word with the region of each cell.
    own : (K, h·w)
        Cosine of each word with each cell.
    """
    return _near_largest(of_region + own, CELL_TOLERANCE)


def _near_largest(scores: np.ndarray, tolerance: float) -> np.ndarray:
    largest = scores.max(axis=-1, keepdims=True)
    return scores >= largest - tolerance * (largest - scores.min(axis=-1, keepdims=True))
