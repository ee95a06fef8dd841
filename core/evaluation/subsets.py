"""The four subsets of images by the decisions of teacher and student."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

SUBSETS = ("agree-pos", "agree-neg", "missed", "extra")
"""Both positive; both negative; only the teacher positive; only the student positive."""


def subset_codes(
    t: ArrayLike, s: ArrayLike, *, threshold: float = 0.5, teacher_threshold: float = 0.5
) -> NDArray[np.uint8]:
    """Return the subset of each image.

    Parameters
    ----------
    t, s : array (n,)
        Probabilities of teacher and student for one class, of any dtype.
    threshold, teacher_threshold : float
        Probabilities at or above it are positive.

    Returns
    -------
    array (n,), uint8
        Index into `SUBSETS`.

    Examples
    --------
    >>> from inficond.core.evaluation import SUBSETS, subset_codes
    >>> codes = subset_codes(t=[0.9, 0.8, 0.2, 0.1], s=[0.7, 0.3, 0.6, 0.2])
    >>> [SUBSETS[code] for code in codes]
    ['agree-pos', 'missed', 'extra', 'agree-neg']
    """
    teacher = np.asarray(t) >= teacher_threshold
    student = np.asarray(s) >= threshold
    # (teacher, student): (1,1) -> 0, (0,0) -> 1, (1,0) -> 2, (0,1) -> 3
    return np.where(teacher == student, np.where(teacher, 0, 1), np.where(teacher, 2, 3)).astype(np.uint8)


def subsets(
    t: ArrayLike, s: ArrayLike, *, threshold: float = 0.5, teacher_threshold: float = 0.5
) -> dict[str, NDArray[np.intp]]:
    """Return the rows of each of the four subsets.

    Parameters
    ----------
    t, s, threshold, teacher_threshold
        As for `subset_codes`.

    Returns
    -------
    dict of str to array of int
        Ascending rows of each name in `SUBSETS`; every row is in one subset.

    Examples
    --------
    >>> from inficond.core.evaluation import subsets
    >>> rows = subsets(t=[0.9, 0.8, 0.2, 0.1], s=[0.7, 0.3, 0.6, 0.2])
    >>> rows["missed"].tolist(), rows["extra"].tolist()
    ([1], [2])
    """
    codes = subset_codes(t, s, threshold=threshold, teacher_threshold=teacher_threshold)
    return {name: np.flatnonzero(codes == code) for code, name in enumerate(SUBSETS)}
