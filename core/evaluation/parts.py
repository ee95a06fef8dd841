"""Division of the images of a project into the parts fit, tune and exam.

Students are fitted on the fit part (training images). Every figure, preview, suggestion, slice and threshold
that a person sees while correcting a student comes from the tune part (validation images). The exam part is
locked: only an exam reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.evaluation.split import sources_of, stratified_split

EXAM_SHARE = 0.2
"""Share of the images in the exam part."""
TUNE_SHARE = 0.2
"""Share of the images in the tune part where there is an exam part."""
MIN_IMAGES = 150
"""Images below which no exam part is set aside: its 30 images would decide nothing."""
MIN_EXAM = 20
"""Images that an exam part must have."""
EXCLUSIVE = 1e-3
"""Largest difference from 1 of the sum of an image's responses to classes that exclude each other."""
MIN_SOURCES = 5
"""Sources of positives below which a class has no images in the exam part."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The part of each image, and the reason.

    Parameters
    ----------
    is_tune, is_exam : (N,) bool
        Images in neither are in the fit part.
    reason : str
        One line for the person who builds the project.
    absent : tuple of int
        Classes without a positive in the exam part; empty without an exam part.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation import divide
    >>> parts = divide(np.eye(2)[np.arange(40) % 2])
    >>> int(parts.is_tune.sum()), int(parts.is_exam.sum())
    (12, 0)
    >>> parts.reason
    '28 images to fit, 12 to tune; no exam part, because 40 images are fewer than 150'
    """

    is_tune: NDArray[np.bool_]
    is_exam: NDArray[np.bool_]
    reason: str
    absent: tuple[int, ...] = ()


def divide(
    T: ArrayLike,
    *,
    groups: Sequence[str | None] | None = None,
    given: Sequence[str | None] | None = None,
    seed: int = 0,
    exam: bool = True,
    teacher_threshold: float = 0.5,
) -> Parts:
    """Divide images into fit, tune and exam: 60, 20 and 20 %, by class and with whole groups.

    Parameters
    ----------
    T : array (N, C)
        Responses of the teacher, or labels as 0 and 1, NaN where unknown. Where the classes exclude each
        other (rows sum to 1), an image without a positive counts for the class of its largest response.
    groups : sequence of str or None, optional
        Images of one group share a source and stay in one part.
    given : sequence of {"train", "val", "test", None}, optional
        Parts that the source of the images gives. Test images are the exam part. If there are validation
        images and no test images, half of the validation images become the exam part. If there are training
        and test images only, a share of the training images becomes the tune part.
    seed : int
        Seed of the random order.
    exam : bool
        Whether an exam part is wanted.
    teacher_threshold : float
        Responses at or above it are positive.

    Returns
    -------
    Parts
        Two parts (70 and 30 %) for fewer than `MIN_IMAGES` images, or where the exam part would have fewer
        than `MIN_EXAM`; test images of the source then are in the tune part.

    Raises
    ------
    InputError
        As for `stratified_split`.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation import divide
    >>> T = np.eye(2)[np.arange(400) % 2]  # 200 images of each of two classes
    >>> parts = divide(T)
    >>> T[parts.is_exam].sum(axis=0).tolist(), T[parts.is_tune].sum(axis=0).tolist()
    ([40.0, 40.0], [40.0, 40.0])
    """
    T = np.asarray(T)
    N = len(T)
    words = None if given is None else _kept(list(given), np.arange(N))
    is_exam, reason = np.zeros(N, bool), ""
    if exam and N < MIN_IMAGES:
        reason = f"{N:,} images are fewer than {MIN_IMAGES}"
    elif not exam:
        reason = "no exam was asked for"
    else:
        is_exam = _exam_part(_positives(T, teacher_threshold), groups, words, seed)
        if is_exam.sum() < MIN_EXAM:
            reason = (
                f"the exam part would have {int(is_exam.sum())} images, and it needs {MIN_EXAM}"
                if is_exam.any()
                else "the images come from too few sources"
            )
            is_exam = np.zeros(N, bool)
    if reason:
        plain = None if words is None else ["val" if word == "test" else word for word in words]
        tune = stratified_split(T, groups=groups, given=plain, seed=seed, teacher_threshold=teacher_threshold)
        return Parts(tune, is_exam, _counts(tune, is_exam) + f"; no exam part, because {reason}")
    rest = np.flatnonzero(~is_exam)
    positive = _positives(T, teacher_threshold)
    tune = np.zeros(N, bool)
    tune[rest] = stratified_split(
        positive[rest],
        groups=None if groups is None else [groups[i] for i in rest.tolist()],
        given=_kept(words, rest),
        fraction=TUNE_SHARE / (1 - EXAM_SHARE),
        seed=seed,
    )
    absent = tuple(int(c) for c in np.flatnonzero(~positive[is_exam].any(axis=0)))
    return Parts(tune, is_exam, _counts(tune, is_exam), absent)


def _exam_part(
    positive: NDArray[np.bool_],
    groups: Sequence[str | None] | None,
    given: list[str | None] | None,
    seed: int,
) -> NDArray[np.bool_]:
    """Return the images of the exam part, (N,) bool; all False where there are too few sources."""
    N = len(positive)
    source = sources_of(groups, N)
    words = given or [None] * N
    if "test" in words:
        # A group with test images and others is refused by `stratified_split`.
        named: list[str | None] = ["val" if word == "test" else "train" for word in words]
        if len(set(named)) == 1:
            return np.zeros(N, bool)
        return stratified_split(positive, groups=groups, given=named)
    eligible = np.array([word == "val" for word in words]) if "val" in words else np.ones(N, bool)
    eligible &= np.array([word != "train" for word in words])
    for c in range(positive.shape[1]):
        if len(np.unique(source[positive[:, c]])) < MIN_SOURCES:
            eligible &= ~np.isin(source, source[positive[:, c]])
    rows = np.flatnonzero(eligible)
    if len(np.unique(source[rows])) < 2:
        return np.zeros(N, bool)
    out = np.zeros(N, bool)
    out[rows] = stratified_split(
        positive[rows],
        groups=None if groups is None else [groups[i] for i in rows.tolist()],
        fraction=0.5 if "val" in words else EXAM_SHARE,
        seed=seed + 1,  # another order than that of the tune part
    )
    return out


def _positives(T: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Return the classes that each image counts for, (N, C) bool."""
    positive = threshold <= T
    if T.shape[1] > 1 and bool((np.abs(T.sum(axis=1) - 1) <= EXCLUSIVE).all()):
        positive[np.arange(len(T)), T.argmax(axis=1)] = True
    return positive


def _kept(given: list[str | None] | None, rows: NDArray[np.intp]) -> list[str | None] | None:
    """Return the given parts of the images outside the exam part; None if they do not divide these images.

    A source with training and test images names no image to tune on: the tune part is then a share of its
    training images.
    """
    kept = None if given is None else [given[i] for i in rows.tolist()]
    return kept if kept and set(kept) - {"train"} and any(kept) else None


def _counts(is_tune: NDArray[np.bool_], is_exam: NDArray[np.bool_]) -> str:
    tune, exam = int(is_tune.sum()), int(is_exam.sum())
    out = f"{len(is_tune) - tune - exam:,} images to fit, {tune:,} to tune"
    return out + (f", {exam:,} for the exam" if exam else "")
