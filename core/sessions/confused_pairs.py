"""Pairs of classes that the students confuse, with the concepts that they share and the one they lack."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation.confusion import confusion
from inficond.core.sessions.class_confusion import actual_classes, predicted_classes, references
from inficond.core.sessions.session import Session

MOST_PAIRS = 40
LARGE_EFFECT = 0.8
"""Difference of means, in standard deviations, from which a concept tells two classes apart (Cohen 1988)."""
LEAST_IMAGES = 5
"""Training images of each class that a comparison needs."""
MOST_IMAGES = 2000
"""Training images of each class that are compared, evenly spaced."""
LEVEL = 0.05


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes of which the students take one for the other.

    Parameters
    ----------
    actual, predicted : str
        Class of the images, and the class that the student gives them.
    images : int
        Number of held-out images.
    share : float
        Their share of the held-out images of the actual class.
    shared : tuple of str
        Concepts with weights of the same sign in both classes, those with the largest weights first.
    separating : tuple of str
        Concepts that only one class uses, or that both use with opposite signs.
    kind : str
        ``unused``: the concept that tells the classes apart best has a weight in neither; ``alike``: in both,
        with the same sign; ``used``: its weights differ in sign. ``missing``: no concept of the project tells
        them apart. ``few``: too few training images to compare.
    concept : str or None
        The concept that tells the training images of the two classes apart best.
    effect : float
        Its difference of means in standard deviations; 0 without a concept.
    """

    actual: str
    predicted: str
    images: int
    share: float
    shared: tuple[str, ...]
    separating: tuple[str, ...]
    kind: str
    concept: str | None
    effect: float


def confused_pairs(session: Session, reference: str | None = None) -> list[ConfusedPair]:
    """Return the pairs of classes that the students confuse most often on held-out images.

    Classes that exclude each other are confused as in the confusion table. Of others, an image counts for a
    pair if the student misses the one class, by its teacher and its threshold, and adds the other.

    Parameters
    ----------
    session : Session
    reference : str, optional
        What the actual classes are taken from, one of `class_confusion.REFERENCES`.

    Returns
    -------
    list of ConfusedPair
        The most images first, at most `MOST_PAIRS`.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.sessions.confused_pairs import confused_pairs
    >>> pairs = confused_pairs(Project.open(demo_project()).session())
    >>> pairs[0].images >= pairs[1].images
    True
    """
    counts, totals, members = _confusions(session, reference)
    np.fill_diagonal(counts, 0)
    largest = np.argsort(-counts, axis=None, kind="stable")[:MOST_PAIRS]
    W = session.state.weights()
    found = []
    for a, p in (divmod(int(i), len(counts)) for i in largest):
        n = int(counts[a, p])
        if n == 0:
            break
        shared, separating = _common(W[a], W[p])
        kind, concept, effect = _separation(session, members, W, a, p)
        names = session.concepts
        found.append(
            ConfusedPair(
                session.classes[a],
                session.classes[p],
                n,
                n / max(int(totals[a]), 1),
                tuple(names[k] for k in shared),
                tuple(names[k] for k in separating),
                kind,
                None if concept is None else names[concept],
                effect,
            )
        )
    return found


def _confusions(
    session: Session, reference: str | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return counts (C, C), totals (C,) on held-out images, and the classes (N, C) of all images."""
    project = session.project
    held_out, C = project.validation_rows, len(session.classes)
    known = references(session)
    if known:
        chosen = reference if reference in known else known[0]
        actual = actual_classes(session, chosen)
        members = actual[:, None] == np.arange(C)
        table = confusion(actual[held_out], predicted_classes(session)[held_out], C).counts.copy()
        return table, members[held_out].sum(axis=0), members
    thresholds = session.students.thresholds
    T = np.stack([session.targets(cls) for cls in session.classes], axis=1)
    teacher, student = thresholds <= T, session.scores() >= thresholds
    missed = (teacher & ~student)[held_out].astype(np.float32)
    extra = (student & ~teacher)[held_out].astype(np.float32)
    counts = np.rint(missed.T @ extra).astype(np.int64)
    return counts, teacher[held_out].sum(axis=0), teacher


def _common(a: NDArray[np.floating], p: NDArray[np.floating]) -> tuple[list[int], list[int]]:
    """Return the concepts that two classes share and those that separate them, largest weights first."""
    size = np.abs(a) + np.abs(p)
    order = np.argsort(-size, kind="stable")
    order = order[size[order] > 0]
    same = np.sign(a) == np.sign(p)
    return order[same[order]].tolist(), order[~same[order]].tolist()


def _separation(
    session: Session, members: NDArray[np.bool_], W: NDArray[np.floating], a: int, p: int
) -> tuple[str, int | None, float]:
    """Return whether a concept tells two classes apart, which one, and by how many standard deviations.

    The difference must be large and significant after correction for the number of concepts (Bonferroni).
    """
    training = session.project.training_rows
    mine = training[(members[:, a] & ~members[:, p])[training]]
    other = training[(members[:, p] & ~members[:, a])[training]]
    if min(len(mine), len(other)) < LEAST_IMAGES:
        return "few", None, 0.0
    one, two = (np.asarray(session.X[_some(rows)], np.float64) for rows in (mine, other))
    error = one.var(axis=0, ddof=1) / len(one) + two.var(axis=0, ddof=1) / len(two)
    spread = np.sqrt((one.var(axis=0, ddof=1) + two.var(axis=0, ddof=1)) / 2)
    difference = np.abs(one.mean(axis=0) - two.mean(axis=0))
    effects = difference / np.maximum(spread, 1e-9)
    scores = difference / np.sqrt(np.maximum(error, 1e-18))
    limit = NormalDist().inv_cdf(1 - LEVEL / (2 * len(effects)))
    clear = (effects >= LARGE_EFFECT) & (scores >= limit)
    clear &= ~np.isin(np.array(session.concepts), list(session.dropped))
    if not clear.any():
        return "missing", None, 0.0
    best = int(np.argmax(np.where(clear, effects, -1.0)))
    signs = np.sign(W[a, best]), np.sign(W[p, best])
    kind = "used" if signs[0] != signs[1] else "alike" if signs[0] else "unused"
    return kind, best, float(effects[best])


def _some(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    if len(rows) <= MOST_IMAGES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_IMAGES).round().astype(int)]
