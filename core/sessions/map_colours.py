"""Colours of the map of the images: a category or a value for each image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError, unknown
from inficond.core.evaluation.confusion import UNKNOWN, labelled_class
from inficond.core.sessions.session import Session

if TYPE_CHECKING:
    from inficond.core.evaluation import Slice

SOURCES = ("teacher", "student", "label")
"""What the class of an image can be taken from."""
NONE = 255
"""Code of an image without a category."""
MOST_CATEGORIES = 11
"""Categories with a colour of their own; more cannot be told apart."""
MOST_SLICES = 8
_LEVELS = 255


@dataclass(frozen=True, eq=False)
class Categories:
    """A category for each image.

    Parameters
    ----------
    codes : (N,) uint8
        Index into `names`, or `NONE`.
    names : tuple of str
    """

    codes: NDArray[np.uint8]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Values:
    """A value for each image, in 256 levels between a lowest and a highest value.

    Parameters
    ----------
    levels : (N,) uint8
    low, high : float
    """

    levels: NDArray[np.uint8]
    low: float
    high: float


def class_categories(session: Session, source: str) -> Categories:
    """Return the class of each image.

    Parameters
    ----------
    session : Session
    source : str
        One of `SOURCES`. For teacher and student, the class is the most probable one if its probability
        reaches its threshold; for labels, the only labelled one.

    Returns
    -------
    Categories
        At most `MOST_CATEGORIES` classes, those that the teacher gives most often, and ``other classes``.

    Raises
    ------
    InputError
        The source is unknown, or the project has no labels.
    """
    if source not in SOURCES:
        raise unknown("source of classes", source, SOURCES)
    project = session.project
    T = np.asarray(project.T)
    if source == "label":
        if project.labels is None:
            raise InputError("the project has no labels: colour the map by the teacher's classes")
        found = labelled_class(project.labels)
    else:
        scores = T if source == "teacher" else session.scores()
        found = scores.argmax(axis=1)
        top = scores[np.arange(len(scores)), found]
        found = np.where(top >= session.students.thresholds[found], found, UNKNOWN)
    return _most_frequent(found, T, session.classes)


def _most_frequent(found: NDArray[np.intp], T: NDArray[np.float32], classes: Sequence[str]) -> Categories:
    n = len(classes)
    kept = np.arange(n)
    if n > MOST_CATEGORIES:
        often = np.bincount(T.argmax(axis=1), minlength=n)
        kept = np.sort(np.argsort(-often, kind="stable")[:MOST_CATEGORIES])
    code_of = np.full(n + 1, len(kept) if n > len(kept) else NONE, np.uint8)
    code_of[kept] = np.arange(len(kept))
    code_of[UNKNOWN] = NONE  # the last entry
    names = tuple(classes[c] for c in kept.tolist())
    return Categories(code_of[found], (*names, "other classes") if n > len(kept) else names)


def slice_categories(session: Session, slices: "Sequence[Slice]") -> Categories:
    """Return the slice to which each image belongs, training images included.

    Parameters
    ----------
    session : Session
    slices : sequence of Slice
        The most significant first. The first `MOST_SLICES` are used; an image in several has the first.
    """
    used = list(slices)[:MOST_SLICES]
    codes = np.full(len(session.project), NONE, np.uint8)
    for i, one in reversed(list(enumerate(used))):
        codes[session.slice_images(one)] = i
    return Categories(codes, tuple(f"{one.kind}: {one.name}" for one in used))


def probability_values(session: Session, source: str, cls: str) -> Values:
    """Return the probability of a class for each image, in levels between 0 and 1.

    Raises
    ------
    InputError
        The source is not ``teacher`` or ``student``, or the class is unknown.
    """
    if source not in SOURCES[:2]:
        raise unknown("source of probabilities", source, SOURCES[:2])
    c = session.class_index(cls)
    values = session.targets(cls) if source == "teacher" else session.scores()[:, c]
    return Values(np.round(np.clip(values, 0, 1) * _LEVELS).astype(np.uint8), 0.0, 1.0)


def concept_values(session: Session, concept: str) -> Values:
    """Return the value of a concept in each image, in levels between its lowest and its highest value.

    Raises
    ------
    InputError
        The concept is unknown.
    """
    values = np.asarray(session.X[:, session.concept_index(concept)], np.float64)
    low, high = float(values.min()), float(values.max())
    levels = np.round((values - low) / ((high - low) or 1.0) * _LEVELS)
    return Values(levels.astype(np.uint8), low, high)
