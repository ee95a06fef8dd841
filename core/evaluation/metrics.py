"""Fidelity of a student to its teacher, and accuracy of both against ground truth, per class."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.evaluation import metric_kernels
from inficond.core.evaluation.subsets import SUBSETS, subset_codes

METRICS = ("agreement", "balanced_agreement", "ap", "f1", "bce")
"""Metrics of `class_metrics` and `paired_bootstrap`."""
HIGHER_IS_BETTER: Mapping[str, bool] = {name: name != "bce" for name in METRICS}
_CLIP = 1e-7


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of teacher or student against ground truth; NaN where undefined.

    Examples
    --------
    >>> from inficond.core.evaluation import class_metrics
    >>> metrics = class_metrics(t=[0.9, 0.8, 0.2, 0.1], s=[0.7, 0.3, 0.4, 0.2], labels=[1, 0, 0, 0])
    >>> metrics.teacher_accuracy.f1 < metrics.student_accuracy.f1
    True
    >>> metrics.student_accuracy.n, metrics.student_accuracy.positives
    (4, 1)
    """

    ap: float
    """Average precision of the probabilities for the true positives."""
    f1: float
    """F1 at the threshold."""
    balanced_accuracy: float
    """Mean of the recalls of positives and negatives, at the threshold."""
    n: int
    """Images with a known label."""
    positives: int
    """Positives among them."""


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one student on one set of images; NaN where a metric is undefined.

    Fidelity is relative to the teacher, accuracy to ground truth.

    Examples
    --------
    >>> from inficond.core.evaluation import class_metrics
    >>> metrics = class_metrics(t=[0.9, 0.8, 0.2, 0.1], s=[0.7, 0.3, 0.4, 0.2])
    >>> metrics.counts
    {'agree-pos': 1, 'agree-neg': 2, 'missed': 1, 'extra': 0}
    >>> metrics.to_dict()["agreement"]
    0.75
    >>> metrics.notes
    ('the teacher says yes to only 2 of these images: all figures are imprecise',)
    """

    n: int
    """Images."""
    positives: int
    """Positives of the teacher."""
    said: int
    """Positives of the student."""
    agreement: float
    """Share of images with the same decision; misleadingly high for a student without positives."""
    balanced_agreement: float
    """Mean of the agreement on positives and on negatives of the teacher."""
    ap: float
    """Average precision of the student's probabilities for the teacher's positives."""
    f1: float
    """F1 of the student's positives against the teacher's."""
    bce: float
    """Mean binary cross-entropy in nats, with the teacher's probabilities as targets."""
    threshold: float = 0.5
    """Of the student; probabilities at or above it are positive."""
    teacher_threshold: float = 0.5
    """Of the teacher."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Images in each of the four subsets."""
    teacher_accuracy: Accuracy | None = None
    """Of the teacher, if there is ground truth."""
    student_accuracy: Accuracy | None = None
    """Of the student, if there is ground truth."""
    nec: int | None = None
    """Number of effective concepts."""
    anec5: float | None = None
    """Average precision with the five largest concepts, refitted (see `distil.keep_largest`)."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about undefined or unreliable metrics, with the reasons."""
        out = []
        if self.n == 0:
            return ("there are no images",)
        if self.positives == 0:
            out.append(
                "the teacher never says yes on these images: average precision, balanced agreement "
                "and F1 are not defined"
            )
        elif self.positives == self.n:
            out.append("the teacher says yes to every image: ranking metrics are not informative")
        elif self.positives < 10:
            out.append(
                f"the teacher says yes to only {self.positives} of these images: all figures are imprecise"
            )
        if self.positives > 0 and self.said == 0:
            out.append("the student never says yes at its threshold")
        if self.nec == 0:
            out.append("the student uses no concept: all images get the same probability")
        return tuple(out)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, with None where a metric is undefined."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Accuracy):
                value = {a.name: plain_number(getattr(value, a.name)) for a in fields(value)}
            elif isinstance(value, Mapping):
                value = dict(value)
            else:
                value = plain_number(value)
            out[f.name] = value
        out["notes"] = list(self.notes)
        return out


def plain_number(value: Any) -> Any:
    """Convert to a JSON value, with None for NaN and infinities."""
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Ranking:
    """Images in descending order of score, sorted once for all metrics and replicates."""

    order: NDArray[np.intp]
    """(n,) rows, highest score first."""
    last: NDArray[np.uint8]
    """(n,) 1 at the last image of every run of equal scores."""

    @classmethod
    def of(cls, scores: NDArray[Any]) -> "Ranking":
        """Sort scores (n,)."""
        order = np.argsort(scores)[::-1]  # the order of ties has no effect
        ranked = scores[order]
        last = np.ones(len(order), np.uint8)
        if len(order) > 1:
            last[:-1] = ranked[:-1] != ranked[1:]
        return cls(order, last)


def average_precision(yes: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision, with ties as one step (as `average_precision_score` of scikit-learn).

    Parameters
    ----------
    yes : array (n,), bool
        Positives.
    scores : array (n,)
        Scores that rank the images.

    Returns
    -------
    float
        In (0, 1]; NaN without positives.

    Examples
    --------
    >>> from inficond.core.evaluation import average_precision
    >>> round(average_precision([True, False, True, False], [0.9, 0.8, 0.7, 0.1]), 3)
    0.833
    """
    yes, scores = _column("yes", yes), _column("scores", scores)
    _same_length(yes, scores)
    ranking = Ranking.of(scores)
    return float(
        metric_kernels.sorted_average_precision((yes[ranking.order] != 0).astype(np.uint8), ranking.last)
    )


def bce(t: ArrayLike, s: ArrayLike) -> NDArray[np.float64]:
    """Return the binary cross-entropy of each image in nats, for soft targets.

    Parameters
    ----------
    t, s : array (...)
        Target and predicted probabilities; predictions are clipped to [1e-7, 1 - 1e-7].

    Returns
    -------
    array (...), float64
        Non-negative.
    """
    t, s = np.asarray(t, np.float64), np.asarray(s, np.float64)
    p = np.clip(s, _CLIP, 1 - _CLIP)
    return -(t * np.log(p) + (1 - t) * np.log1p(-p))


def class_metrics(
    t: ArrayLike,
    s: ArrayLike,
    *,
    threshold: float = 0.5,
    teacher_threshold: float = 0.5,
    labels: ArrayLike | None = None,
    nec: int | None = None,
    anec5: float | None = None,
) -> ClassMetrics:
    """Compute the metrics of one student on one set of images.

    Parameters
    ----------
    t, s : array (n,)
        Probabilities of the class by teacher and student.
    threshold, teacher_threshold : float
        Probabilities at or above it are positive.
    labels : array (n,), optional
        Ground truth: 1, 0, or NaN where unknown.
    nec : int, optional
        Number of effective concepts, copied to the result.
    anec5 : float, optional
        ANEC-5, copied to the result.

    Returns
    -------
    ClassMetrics
        With NaN for metrics that a constant teacher or a class without positives leaves undefined.

    Raises
    ------
    InputError
        The arrays have different lengths.

    Examples
    --------
    >>> from inficond.core.evaluation import class_metrics
    >>> metrics = class_metrics(t=[0.9, 0.8, 0.2, 0.1], s=[0.7, 0.3, 0.4, 0.2], labels=[1, 1, 0, 0])
    >>> metrics.agreement, round(metrics.ap, 3), metrics.student_accuracy.balanced_accuracy
    (0.75, 0.833, 0.75)
    """
    t, s = _column("teacher's responses", t), _column("student's responses", s)
    _same_length(t, s)
    yes, said = t >= teacher_threshold, s >= threshold
    n, positives, n_said = len(t), int(yes.sum()), int(said.sum())
    hits = int((yes & said).sum())
    counts = np.bincount(
        subset_codes(t, s, threshold=threshold, teacher_threshold=teacher_threshold), minlength=len(SUBSETS)
    )
    negatives, rejected = n - positives, int(counts[1])
    teacher_accuracy = student_accuracy = None
    if labels is not None:
        truth = _column("labels", labels)
        _same_length(t, truth)
        teacher_accuracy = accuracy(truth, t, teacher_threshold)
        student_accuracy = accuracy(truth, s, threshold)
    return ClassMetrics(
        n=n,
        positives=positives,
        said=n_said,
        agreement=_ratio(hits + rejected, n),
        balanced_agreement=0.5 * (_ratio(hits, positives) + _ratio(rejected, negatives)),
        ap=average_precision(yes, s),
        f1=_ratio(2 * hits, positives + n_said),
        bce=float(bce(t, s).mean()) if n else math.nan,
        threshold=float(threshold),
        teacher_threshold=float(teacher_threshold),
        counts={name: int(k) for name, k in zip(SUBSETS, counts)},
        teacher_accuracy=teacher_accuracy,
        student_accuracy=student_accuracy,
        nec=nec,
        anec5=anec5,
    )


def accuracy(labels: ArrayLike, s: ArrayLike, threshold: float = 0.5) -> Accuracy:
    """Compute the accuracy of probabilities against ground truth.

    Parameters
    ----------
    labels : array (n,)
        1, 0, or NaN where unknown (ignored).
    s : array (n,)
        Probabilities.
    threshold : float
        Probabilities at or above it are positive.

    Returns
    -------
    Accuracy
        NaN where undefined.
    """
    truth, scores = _column("labels", labels), _column("responses", s)
    _same_length(truth, scores)
    known = ~np.isnan(truth) if truth.dtype.kind == "f" else np.ones(len(truth), bool)
    yes, scores = truth[known] >= 0.5, scores[known]
    said = scores >= threshold
    n, positives, hits = len(yes), int(yes.sum()), int((yes & said).sum())
    rejected = int((~yes & ~said).sum())
    return Accuracy(
        ap=average_precision(yes, scores),
        f1=_ratio(2 * hits, positives + int(said.sum())),
        balanced_accuracy=0.5 * (_ratio(hits, positives) + _ratio(rejected, n - positives)),
        n=n,
        positives=positives,
    )


def matched_threshold(t: ArrayLike, s: ArrayLike, teacher_threshold: float = 0.5) -> float:
    """Return the threshold at which the student has as many positives as the teacher.

    Parameters
    ----------
    t, s : array (n,)
        Probabilities for training images.
    teacher_threshold : float
        Threshold of the teacher.

    Returns
    -------
    float
        Midpoint between the lowest positive score and the next lower one, a float32 value, so that files
        store it exactly. 0.5 if the teacher has no positives or no negatives.

    Examples
    --------
    >>> from inficond.core.evaluation import matched_threshold
    >>> matched_threshold(t=[0.9, 0.8, 0.2, 0.1], s=[0.5, 0.375, 0.125, 0.1])
    0.25
    """
    t, s = _column("teacher's responses", t), _column("student's responses", s)
    _same_length(t, s)
    k = int((t >= teacher_threshold).sum())
    if k == 0 or k == len(t):
        return 0.5
    ranked = np.sort(s.astype(np.float32))[::-1]
    upper, lower = ranked[k - 1], ranked[k]
    # With a tie at the boundary there is no exact threshold; the tied scores become positive.
    middle = np.float32(0.5) * (upper + lower)
    return float(middle if middle > lower else upper)


def mean_kl(T: ArrayLike, S: ArrayLike) -> float:
    """Return the mean Kullback–Leibler divergence of single-label responses, in nats.

    Parameters
    ----------
    T, S : array (n, C)
        Rows that sum to at most 1; the remainder counts as one more class, "none of these".

    Returns
    -------
    float
        Mean over images of Σ T log(T/S); NaN without images.
    """
    T, S = np.asarray(T, np.float64), np.asarray(S, np.float64)
    if not len(T):
        return math.nan
    T, S = (np.column_stack([P, np.maximum(0.0, 1.0 - P.sum(axis=1))]) for P in (T, S))
    ratio = np.log(np.maximum(T, 1e-12)) - np.log(np.clip(S, _CLIP, 1.0))
    return float(np.maximum((T * ratio).sum(axis=1), 0.0).mean())


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan


def _column(name: str, value: ArrayLike) -> NDArray[Any]:
    array = np.asarray(value)
    if array.ndim != 1:
        raise InputError(f"the {name} must have one number per image: the shape is {array.shape}")
    return array


def _same_length(a: NDArray[Any], b: NDArray[Any]) -> None:
    if len(a) != len(b):
        raise InputError(f"arrays must have one entry per image: their lengths are {len(a)} and {len(b)}")
