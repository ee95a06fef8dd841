"""Measures for classes that exclude each other: top-1 agreement, accuracy, confusion."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation.confusion import UNKNOWN, confusion, labelled_class, top_class


@dataclass(frozen=True)
class ExclusiveMetrics:
    """Measures over images with one class each.

    Parameters
    ----------
    agreement : float
        Share of images whose most probable class is the same for student and teacher.
    no_yes : float
        Share of images for which no class reaches its threshold.
    accuracy, teacher_accuracy : float or None
        Share of labelled images whose most probable class is the label; None without labels.
    confusion : tuple of C tuples of C int
        Images by most probable class of the teacher (row) and of the student (column).
    """

    agreement: float
    no_yes: float
    accuracy: float | None
    teacher_accuracy: float | None
    confusion: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def exclusive_metrics(
    T: NDArray[np.floating],
    S: NDArray[np.floating],
    thresholds: NDArray[np.floating],
    labels: NDArray[np.floating] | None = None,
) -> ExclusiveMetrics:
    """Measure students of exclusive classes.

    Parameters
    ----------
    T, S : (N, C)
        Probabilities of teacher and student.
    thresholds : (C,)
        Of the student.
    labels : (N, C), optional
        1, 0 or NaN; images with exactly one 1 are counted, see `labelled_class`.

    Returns
    -------
    ExclusiveMetrics
    """
    teacher, student = top_class(T), top_class(S)
    table = confusion(teacher, student, T.shape[1])
    accuracy = teacher_accuracy = None
    if labels is not None:
        truth = labelled_class(labels)
        known = truth != UNKNOWN
        if known.any():
            accuracy = float((student[known] == truth[known]).mean())
            teacher_accuracy = float((teacher[known] == truth[known]).mean())
    return ExclusiveMetrics(
        agreement=table.accuracy,
        no_yes=float((thresholds > S).all(axis=1).mean()),
        accuracy=accuracy,
        teacher_accuracy=teacher_accuracy,
        confusion=tuple(tuple(map(int, row)) for row in table.counts),
    )
