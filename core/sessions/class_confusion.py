"""Actual and predicted classes of a session's images, where classes exclude each other."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError, unknown
from inficond.core.evaluation.confusion import (
    Confusion,
    are_exclusive,
    confusion,
    labelled_class,
    top_class,
)
from inficond.core.sessions.session import Session

REFERENCES = ("label", "teacher")
"""What the actual class of an image can be taken from."""


def references(session: Session) -> tuple[str, ...]:
    """Return the sources of the actual classes, preferred first.

    Returns
    -------
    tuple of str
        A subset of `REFERENCES`; empty if the classes do not exclude each other.
    """
    project = session.project
    if not are_exclusive(project.T):
        return ()
    if project.labels is None or not np.isfinite(project.labels).any():
        return ("teacher",)
    return ("label", "teacher") if are_exclusive(project.labels) else ()


def actual_classes(session: Session, reference: str) -> NDArray[np.intp]:
    """Return the labelled class, or the most probable class of the teacher, of each image.

    Parameters
    ----------
    session : Session
    reference : str
        One of `REFERENCES`.

    Returns
    -------
    array (N,), int
        Column of a class, or `confusion.UNKNOWN`.

    Raises
    ------
    InputError
        The reference is unknown, or the project has no labels.
    """
    if reference not in REFERENCES:
        raise unknown("reference", reference, REFERENCES)
    if reference == "teacher":
        return top_class(session.project.T)
    if session.project.labels is None:
        raise InputError("the project has no labels: create it with --labels, or use the teacher's classes")
    return labelled_class(session.project.labels)


def predicted_classes(session: Session) -> NDArray[np.intp]:
    """Return the student's most probable class of each image, (N,)."""
    return top_class(session.scores())


def confusion_table(session: Session, reference: str) -> Confusion:
    """Return the confusion table of the held-out images.

    Parameters
    ----------
    session : Session
    reference : str
        Source of the actual classes, one of `REFERENCES`.

    Raises
    ------
    InputError
        The reference is unknown, or the project has no labels.
    """
    rows = session.project.validation_rows
    actual, predicted = actual_classes(session, reference)[rows], predicted_classes(session)[rows]
    return confusion(actual, predicted, len(session.project.classes))


def share_without_class(session: Session) -> float:
    """Return the share of held-out images for which no student reaches its threshold."""
    scores = session.scores()[session.project.validation_rows]
    return float((scores < session.students.thresholds).all(axis=1).mean())
