"""Clearness: how well the lit cells of a picture show what a word names.

The value of a word comes from regions that are too alike, so the images with the largest values need not show
the thing. The cells of a picture (`inficond.core.concepts.cells`) tell more. The clearness of a word in a
picture estimates the probability that a reader accepts the evidence: that the lit part shows what the word
names. It is a logistic function of three quantities:

- the margin: cosine of the word with the mean lit cell, minus that of the best word of the built-in corpus
  with another meaning (cosine of text vectors below `SAME_MEANING`),
- the agreement: the position of the region's cosine at the strongest cell in the range of the regions,
- the size of the lit part.

The coefficients were fitted to the judgements of three readers on 708 crops (`cells-reader-1.csv` to
`cells-reader-3.csv` in `docs/words`), which count the accepted crops of each word. Left-out sets of images
were predicted with a log loss of 0.612 per crop, against 0.693 for the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.cells import Cells
from inficond.core.concepts.colours import COLOURS, FULL_SHARE, colour_of
from inficond.core.concepts.localise import lit_cells

SAME_MEANING = 0.7
MARGIN, AGREEMENT, SIZE, CONSTANT = 7.8, 2.0, 2.6, -2.06
CLEAR = 0.2
"""In an opened image, evidence of at least this clearness is shown; below, most readers would refuse it."""
CLEAR_EXAMPLE = 0.8
"""Evidence of at least this clearness is shown as an example of a word."""
NOT_SEEN = "seen in no single place"
"""Remark in place of evidence that is not clear."""


@dataclass(frozen=True, eq=False)
class ClearnessOfWords:
    """Clearness of some words in pictures.

    Parameters
    ----------
    words : (K, D) float32
        Concept vectors, which are compared with regions.
    texts : (K, D) float32
        Text vectors, which are compared with cells.
    rivals : (V, D) float32
        Text vectors of other words.
    names : sequence of K str, optional
        The words. The clearness of a word that names a colour is reduced where the lit part lacks it.
    """

    words: NDArray[np.float32]
    texts: NDArray[np.float32]
    rivals: NDArray[np.float32]
    names: Sequence[str] = ()
    _same: NDArray[np.float32] = field(init=False, repr=False)
    _coloured: list[int] = field(init=False, repr=False)
    _colours: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        same = self.texts @ self.rivals.T >= SAME_MEANING
        object.__setattr__(self, "_same", np.where(same, np.float32(-4), np.float32(0)))
        colours = {k: colour for k, name in enumerate(self.names) if (colour := colour_of(name))}
        object.__setattr__(self, "_coloured", list(colours))
        object.__setattr__(self, "_colours", [COLOURS.index(colour) for colour in colours.values()])

    def of(
        self, cells: Sequence[Cells], regions: NDArray[np.floating], assignment: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Return the clearness of each word in each of n pictures, (n, K) in [0, 1].

        Parameters
        ----------
        cells : sequence of n Cells
        regions : (n, R, D) float16
        assignment : (n, h, w) uint8
            The region of each cell.
        """
        n, dim = len(cells), self.texts.shape[1]
        at = np.asarray(assignment).reshape(n, 1, -1)
        by_region = self.words @ np.asarray(regions, np.float32).swapaxes(1, 2)  # (n, K, R)
        of_region = np.take_along_axis(by_region, at.astype(np.intp), axis=2)  # (n, K, h·w)
        vectors = np.stack([picture.vectors.reshape(-1, dim) for picture in cells]).astype(np.float32)
        own = self.texts @ vectors.swapaxes(1, 2)
        lit = lit_cells(of_region, own)
        count = lit.sum(axis=2)
        mean = (lit.astype(np.float32) @ vectors) / count[..., None]
        margin = np.einsum("nkd,kd->nk", mean, self.texts) - self._best_rival(mean)
        low, high = of_region.min(axis=2), of_region.max(axis=2)
        there = np.take_along_axis(of_region, own.argmax(axis=2)[..., None], axis=2)[..., 0]
        agreement = 1 - (high - there) / np.maximum(high - low, 1e-6)
        logit = MARGIN * margin + AGREEMENT * agreement + SIZE * count / lit.shape[2] + CONSTANT
        found = (1 / (1 + np.exp(-logit))).astype(np.float32)
        for i, picture in enumerate(cells):
            if picture.colours is not None and len(self._coloured):
                shares = picture.colours.reshape(lit.shape[2], -1).astype(np.float32)[:, self._colours]
                of_lit = np.einsum("kp,pk->k", lit[i, self._coloured], shares) / count[i, self._coloured]
                found[i, self._coloured] *= np.minimum(1.0, of_lit / FULL_SHARE)
        return found

    def _best_rival(self, mean: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the largest cosine of mean lit cells (n, K, D) with words of another meaning, (n, K)."""
        others = mean.reshape(-1, mean.shape[2]) @ self.rivals.T
        others = others.reshape(*mean.shape[:2], len(self.rivals))
        others += self._same  # cosines of words with the same meaning fall below all others
        return np.asarray(others.max(axis=2, initial=-1.0))
