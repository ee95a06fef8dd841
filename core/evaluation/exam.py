"""Figures of an exam: two students on images that no choice was made on, with intervals.

Every exam of a project is one more look at the same images, so each uses a part of the error probability of
5 %: the k-th exam has intervals of level 1 − 0.05 · 6 / (π² k²). Since the sum of 1/k² is π²/6, the intervals
of one figure in all exams, however many follow, hold together with probability 95 % (Bonferroni's inequality
with error spending; Foster and Stine 2008, "α-investing: a procedure for sequential control of expected false
discoveries", *JRSS B* 70). The bound is for students that were chosen without the results of earlier exams. A
person who corrects a student by the results of an exam fits it to these images, which no level repairs.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.evaluation.bootstrap import LEVEL, Interval, mean_table, resampled
from inficond.core.evaluation.metrics import METRICS
from inficond.core.evaluation.smoothed import smoothed_differences, smoothed_interval

SHOWN = ("ap", "f1", "balanced_agreement", "agreement")
"""Metrics of an exam, all higher for a better student."""
REPLICATES = 2000
FEWEST_REPLICATES = 400
_WORK = 8_000_000
"""Images × replicates of one table, at most."""
LEAST_TAIL = 10
"""Replicates beyond an end of a percentile interval; with fewer, a normal distribution gives the ends."""
FEW_POSITIVES = 10
"""Positives below which a figure is called imprecise."""


def exam_level(number: int, level: float = LEVEL) -> float:
    """Return the confidence level of the intervals of an exam.

    Parameters
    ----------
    number : int
        1 for the first exam of a project.
    level : float
        Joint level of all exams.

    Returns
    -------
    float
        0.970 for the first, 0.992 for the second exam.
    """
    if number < 1:
        raise ValueError(f"exams are counted from 1, not {number}")
    return 1 - (1 - level) * 6 / (math.pi * number) ** 2


def exam_replicates(n: int) -> int:
    """Return the number of bootstrap replicates for n images."""
    return int(np.clip(_WORK // max(1, n), FEWEST_REPLICATES, REPLICATES))


def sampled_interval(samples: NDArray[np.float64], level: float) -> Interval:
    """Return a value with its bootstrap interval.

    Parameters
    ----------
    samples : array (1 + B,)
        The value, then its replicates; NaN where undefined.
    level : float
        Confidence level: percentiles, or the normal distribution with the standard deviation of the
        replicates where fewer than `LEAST_TAIL` of them lie beyond a percentile.

    Returns
    -------
    Interval
        Its ends are NaN without replicates that differ.
    """
    value, draws = float(samples[0]), samples[1:][np.isfinite(samples[1:])]
    if not math.isfinite(value) or len(draws) < 2:
        return Interval(value, math.nan, math.nan)
    tail = (1 - level) / 2
    if tail * len(draws) >= LEAST_TAIL:
        low, high = np.quantile(draws, (tail, 1 - tail))
        return Interval(value, float(low), float(high))
    half = NormalDist().inv_cdf(1 - tail) * float(draws.std(ddof=1))
    return Interval(value, value - half, value + half)


class Comparison:
    """Two students on one part of the images, class by class.

    Parameters
    ----------
    groups : array (n,), optional
        Images of equal value are resampled together.
    level : float
        Confidence level of the intervals.
    seed : int
        Seed of the bootstrap.
    """

    def __init__(self, groups: NDArray[Any] | None, level: float, seed: int = 0) -> None:
        self._groups, self._level, self._seed = groups, level, seed
        self._tables: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = []

    def add(
        self, target: ArrayLike, fitted: ArrayLike, now: ArrayLike, thresholds: tuple[float, float]
    ) -> dict[str, dict[str, Any]]:
        """Measure a class.

        Parameters
        ----------
        target : array (n,)
            Responses of the teacher, or ground truth with NaN where unknown.
        fitted, now : array (n,)
            Probabilities of both students.
        thresholds : tuple of float
            Of both students.

        Returns
        -------
        dict of metric to {"fitted", "now", "gain"}
            Each with value, low and high; None where undefined.
        """
        t = np.asarray(target, np.float64)
        known = np.flatnonzero(np.isfinite(t))
        groups = None if self._groups is None else self._groups[known]
        replicates = exam_replicates(len(known))
        first, second = (
            resampled(
                t[known], np.asarray(s)[known], groups=groups, threshold=at, replicates=replicates,
                seed=self._seed,
            )
            for s, at in zip((fitted, now), thresholds)
        )  # fmt: skip
        gains = smoothed_differences(
            t[known], np.asarray(fitted)[known], np.asarray(now)[known], thresholds, groups=groups,
            seed=self._seed,
        )  # fmt: skip
        self._tables.append((first, second, gains))
        return self._described(first, second, gains)

    def mean(self) -> dict[str, dict[str, Any]]:
        """Return the figures of the mean over the classes that were added."""
        if min((len(tables[0]) for tables in self._tables), default=0) == 0:
            return {}
        first, second, gains = (mean_table([tables[i] for tables in self._tables]) for i in range(3))
        return self._described(first, second, gains)

    def _described(
        self, before: NDArray[np.float64], after: NDArray[np.float64], gains: NDArray[np.float64]
    ) -> dict[str, dict[str, Any]]:
        out = {}
        one_source = self._groups is not None and len(np.unique(self._groups)) < 2
        for name in SHOWN:
            j = METRICS.index(name)
            sides = [x[:1, j] if one_source else x[:, j] for x in (before, after, gains)]
            out[name] = {
                "fitted": sampled_interval(sides[0], self._level).to_dict(),
                "now": sampled_interval(sides[1], self._level).to_dict(),
                "gain": smoothed_interval(sides[2], self._level).to_dict(),
            }
        return out


def beside_promise(
    exam: Mapping[str, Mapping[str, Any]], tune: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the figures of an exam, with the gain that the tune part promised and its optimism.

    Parameters
    ----------
    exam, tune : mapping from metric to {"fitted", "now", "gain"}
        From `Comparison`.

    Returns
    -------
    dict from metric to dict
        Keys ``fitted``, ``now``, ``gain``, ``promised`` and ``optimism`` (promised gain − gain; None where
        one of them is undefined).
    """
    out = {}
    for name, found in exam.items():
        promised = tune[name]["gain"] if name in tune else {"value": None, "low": None, "high": None}
        values = (promised["value"], found["gain"]["value"])
        optimism = None if None in values else values[0] - values[1]
        out[name] = {**found, "promised": promised, "optimism": optimism}
    return out


def left_out_reason(target: ArrayLike) -> str | None:
    """Return why a class has no figures on some images; None if it has.

    Parameters
    ----------
    target : array (n,)
        Responses of the teacher.
    """
    t = np.asarray(target)
    positives = int((t >= 0.5).sum())
    if positives == 0:
        return "no exam image shows it"
    if positives == len(t):
        return "every exam image shows it"
    return None


def group_numbers(groups: Sequence[str | None]) -> NDArray[np.int64] | None:
    """Return the source of each image as a number, (n,); None if no two images share one."""
    seen: dict[Any, int] = {}
    member = np.array(
        [seen.setdefault((i,) if g is None else g, len(seen)) for i, g in enumerate(groups)], np.int64
    )
    return member if len(seen) < len(member) else None
