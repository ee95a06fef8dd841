"""Confusion of classes that exclude each other: the class of each image and the table of counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNKNOWN = -1
"""Class of an image without a unique class."""
SUM_TOLERANCE = 1e-3
"""Excess over 1 that rounding may cause in a sum of probabilities."""


@dataclass(frozen=True)
class Confusion:
    """A confusion table.

    Parameters
    ----------
    counts : array (C, C), int
        Images by actual class (rows) and predicted class (columns).
    """

    counts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of images with a known class."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Share of images whose predicted class is the actual one; NaN without images."""
        return float(np.trace(self.counts) / self.n) if self.n else float("nan")


def are_exclusive(probabilities: ArrayLike) -> bool:
    """Return whether the probabilities of every image sum to at most 1.

    Parameters
    ----------
    probabilities : array (n, C)
        Probabilities or 0/1 labels of C classes; NaN counts as 0.
    """
    sums = np.nansum(np.asarray(probabilities, np.float64), axis=1)
    return bool((sums <= 1 + SUM_TOLERANCE).all())


def top_class(probabilities: ArrayLike) -> NDArray[np.intp]:
    """Return the most probable class of each image.

    Parameters
    ----------
    probabilities : array (n, C)
        Without NaN.

    Returns
    -------
    array (n,), int
        The first of several equally probable classes.
    """
    return np.asarray(probabilities).argmax(axis=1)


def labelled_class(labels: ArrayLike) -> NDArray[np.intp]:
    """Return the labelled class of each image.

    Parameters
    ----------
    labels : array (n, C)
        Labels in [0, 1]; NaN is unknown. A label of at least 0.5 names the class.

    Returns
    -------
    array (n,), int
        `UNKNOWN` for an image with no class or with several.
    """
    named = np.asarray(labels) >= 0.5  # false for NaN
    return np.where(named.sum(axis=1) == 1, named.argmax(axis=1), UNKNOWN)


def confusion(actual: ArrayLike, predicted: ArrayLike, n_classes: int) -> Confusion:
    """Count images by actual and by predicted class.

    Parameters
    ----------
    actual, predicted : array (n,), int
        Classes from 0 to `n_classes` − 1, or `UNKNOWN`; images with an unknown class are not counted.
    n_classes : int
        C.

    Returns
    -------
    Confusion
    """
    a, p = np.asarray(actual, np.int64), np.asarray(predicted, np.int64)
    known = (a != UNKNOWN) & (p != UNKNOWN)
    cells = np.bincount(a[known] * n_classes + p[known], minlength=n_classes * n_classes)
    return Confusion(cells.reshape(n_classes, n_classes).astype(np.int64))
