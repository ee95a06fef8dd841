"""The four groups that teacher and student divide the images into."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

SUBSETS = ("agree-pos", "agree-neg", "missed", "extra")
"""Both yes; both no; the teacher yes and the student no; the teacher no and the student yes."""


def subset_codes(
    t: ArrayLike, s: ArrayLike, *, threshold: float = 0.5, teacher_threshold: float = 0.5
) -> NDArray[np.uint8]:
    """Which subset each image is in.

    Parameters
    ----------
    t, s : array (n,)
        Probabilities of teacher and student for one class; any dtype.
    threshold, teacher_threshold : float
        At or above it means yes.

    Returns
    -------
    array (n,), uint8
        Index into `SUBSETS`.
    """
    yes = np.asarray(t) >= teacher_threshold
    said = np.asarray(s) >= threshold
    # (yes, said): (1,1) -> 0, (0,0) -> 1, (1,0) -> 2, (0,1) -> 3
    return np.where(yes == said, np.where(yes, 0, 1), np.where(yes, 2, 3)).astype(np.uint8)


def subsets(
    t: ArrayLike, s: ArrayLike, *, threshold: float = 0.5, teacher_threshold: float = 0.5
) -> dict[str, NDArray[np.intp]]:
    """The rows of each of the four subsets.

    Parameters
    ----------
    t, s, threshold, teacher_threshold
        As for `subset_codes`.

    Returns
    -------
    dict of str to array of int
        Rows in ascending order under each name of `SUBSETS`; together they are every row once.
    """
    codes = subset_codes(t, s, threshold=threshold, teacher_threshold=teacher_threshold)
    return {name: np.flatnonzero(codes == code) for code, name in enumerate(SUBSETS)}
