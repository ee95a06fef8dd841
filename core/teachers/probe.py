"""A logistic probe on image features as teacher, cross-fitted.

Each labelled image is answered by models that were fitted without it and without the images of its group, so
that students imitate a classifier's responses to unseen images. A final model, fitted on all labels, answers
images without label and new images.

The response to an image of a small data set is the mean over several divisions into folds (repeated
cross-fitting: Chernozhukov et al. 2018, *The Econometrics Journal* 21, section 3.4). Models of different
folds differ by chance; no student can imitate this difference, and the mean has less of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.teachers.ridge import LinearClassifier, fit_ridge

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
"""L2 penalties that are compared, on standardised features, from the simplest model."""
FOLDS = 5
DIVISIONS = 4
"""Divisions into folds whose responses are averaged, where at most `COMPARED_ROWS` images have a label."""
COMPARED_ROWS = 5000
"""Most labelled images on which penalties are compared."""


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Parameters
    ----------
    responses : (N, C) float32
        Probabilities; cross-fitted where an image has a label.
    classifier : LinearClassifier
        Fitted on all labels.
    l2 : float
        Largest penalty whose cross-validated error is within one standard error of the lowest. A simple
        classifier is also easier to imitate.
    accuracy : float
        Cross-fitted: share of labelled images whose most probable class is the label (softmax), or of known
        labels on the right side of 0.5 (sigmoid).
    chance : float
        Accuracy of always answering with the most frequent value.
    """

    responses: NDArray[np.float32]
    classifier: LinearClassifier
    l2: float
    accuracy: float
    chance: float


def fit_probe(
    features: NDArray[np.floating],
    labels: NDArray[np.floating],
    link: str,
    *,
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
) -> Probe:
    """Fit a probe and predict each image with a model that was fitted without its label.

    Parameters
    ----------
    features : (N, D)
        Of each image.
    labels : (N, C)
        1, 0, or NaN where unknown. With ``softmax`` a row has exactly one 1, or is unknown.
    link : {"sigmoid", "softmax"}
    groups : sequence of N str or None, optional
        Images of one group stay in one fold.
    seed : int
        Of the folds.

    Returns
    -------
    Probe

    Raises
    ------
    InputError
        A class has fewer than two labelled images.
    """
    known = np.isfinite(labels).any(axis=1)
    rows = np.flatnonzero(known)
    positives = np.nansum(labels[rows], axis=0)
    if len(rows) < 4 or (positives < 2).any():
        few = int(np.argmin(positives))
        raise InputError(
            f"--teacher probe: class number {few + 1} has {int(positives[few])} labelled images; give each "
            "class at least two, or use --teacher labels"
        )
    F, Y = np.asarray(features, np.float64)[rows], labels[rows]
    rng = np.random.default_rng(seed)
    names = [None if groups is None else groups[i] for i in rows.tolist()]
    divisions = [_folds(Y, names, rng) for _ in range(DIVISIONS if len(F) <= COMPARED_ROWS else 1)]
    best = _best_penalty(F, Y, divisions[0], link, seed)
    responses = np.zeros((len(features), labels.shape[1]))
    for fold in divisions:
        for k in range(fold.max() + 1):
            left = fold == k
            model = fit_ridge(F[~left], Y[~left], best, link, tol=1e-3)
            responses[rows[left]] += model.predict(F[left]) / len(divisions)
    classifier = fit_ridge(F, Y, best, link, tol=1e-3)
    if not known.all():
        responses[~known] = classifier.predict(np.asarray(features, np.float64)[~known])
    accuracy, chance = _accuracy(responses[rows], Y, link)
    clipped = responses.astype(np.float32)
    if link == "softmax":
        clipped /= clipped.sum(axis=1, keepdims=True)
    return Probe(clipped, classifier, best, accuracy, chance)


def _folds(
    labels: NDArray[np.floating], groups: Sequence[str | None], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Assign each labelled image to a fold: classes are spread evenly, a group stays in one fold."""
    names = [f"\0{i}" if g is None else g for i, g in enumerate(groups)]
    members: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        members.setdefault(name, []).append(i)
    units = list(members.values())
    order = rng.permutation(len(units))
    main = np.nan_to_num(labels).argmax(axis=1)
    counts = np.zeros((FOLDS, labels.shape[1]), np.int64)
    sizes = np.zeros(FOLDS, np.int64)
    fold = np.empty(len(labels), np.int64)
    # Stable sort: units of equal size stay in random order.
    for u in sorted(order.tolist(), key=lambda u: -len(units[u])):
        cls = np.bincount(main[units[u]], minlength=labels.shape[1])
        k = int(np.lexsort((sizes, counts @ cls))[0])
        fold[units[u]] = k
        counts[k] += cls
        sizes[k] += len(units[u])
    return np.unique(fold, return_inverse=True)[1]


def _best_penalty(
    F: NDArray[np.float64], Y: NDArray[np.floating], fold: NDArray[np.int64], link: str, seed: int
) -> float:
    """Return the largest penalty whose error is within one (paired) standard error of the lowest."""
    if len(F) > COMPARED_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(F), COMPARED_ROWS, replace=False))
        F, Y, fold = F[chosen], Y[chosen], fold[chosen]
    errors = np.zeros((len(PENALTIES), len(F)))
    for k in np.unique(fold):
        left, fitted = fold == k, None
        for i, l2 in enumerate(PENALTIES):
            fitted = fit_ridge(F[~left], Y[~left], l2, link, init=fitted, tol=3e-3)
            errors[i, left] = _errors(fitted.predict(F[left]), Y[left], link)
    difference = errors - errors[errors.mean(axis=1).argmin()]
    limit = difference.std(axis=1) / np.sqrt(len(F))
    return PENALTIES[int(np.flatnonzero(difference.mean(axis=1) <= limit)[0])]


def _errors(P: NDArray[np.float64], Y: NDArray[np.floating], link: str) -> NDArray[np.float64]:
    """Return the share of wrong predictions for each image, (N,)."""
    if link == "softmax":
        return (P.argmax(axis=1) != Y.argmax(axis=1)).astype(np.float64)
    wrong = np.where(np.isfinite(Y), (P >= 0.5) != (Y >= 0.5), np.nan)
    return np.nanmean(wrong, axis=1)


def _accuracy(P: NDArray[np.float64], Y: NDArray[np.floating], link: str) -> tuple[float, float]:
    """Return the accuracy, and that of the most frequent answer."""
    accuracy = 1.0 - float(_errors(P, Y, link).mean())
    rate = np.nanmean(Y, axis=0)
    chance = rate.max() if link == "softmax" else np.maximum(rate, 1 - rate).mean()
    return accuracy, float(chance)
