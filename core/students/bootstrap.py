"""How sure a figure is: bootstrap over images, or over groups of images that share a source."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.students import kernels
from inficond.core.students.metrics import HIGHER_IS_BETTER, METRICS, Ranking, bce, plain_number

LEVEL = 0.95
MIN_REPLICATES, MAX_REPLICATES = 400, 1000
_WORK = 4_000_000
"""Images × replicates that one interval may cost: about 20 ms of one core."""


@dataclass(frozen=True)
class Interval:
    """A figure and its confidence interval; NaN ends where it has none."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain JSON values; None for NaN."""
        return {k: plain_number(getattr(self, k)) for k in ("value", "low", "high")}


@dataclass(frozen=True)
class Change:
    """What a change did to one metric: both values and the difference, with its interval."""

    before: float
    after: float
    delta: Interval
    clear: bool
    """The interval of the difference leaves out zero."""
    higher_is_better: bool = True

    @property
    def verdict(self) -> str:
        """``"better"``, ``"worse"`` or ``"no clear change"``."""
        if not self.clear:
            return "no clear change"
        return "better" if (self.delta.value > 0) == self.higher_is_better else "worse"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for NaN."""
        return {
            "before": plain_number(self.before),
            "after": plain_number(self.after),
            "delta": self.delta.to_dict(),
            "clear": self.clear,
            "verdict": self.verdict,
        }


def replicates_for(n: int) -> int:
    """Replicates for n images: 1,000 up to 4,000 images, fewer above, never below 400."""
    return int(min(MAX_REPLICATES, max(MIN_REPLICATES, _WORK // max(1, n))))


def paired_bootstrap(
    t: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    threshold_after: float | None = None,
    teacher_threshold: float = 0.5,
    replicates: int | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Change]:
    """What changed between two students of one class, and whether that is more than chance.

    Parameters
    ----------
    t : array (n,)
        Target probabilities: the teacher's, or ground truth as 0 and 1.
    before, after : array (n,)
        Probabilities of the two students on the same images.
    groups : array (n,), optional
        Images of equal value share a source and are resampled together; None means every image alone.
    threshold, threshold_after : float
        The students' thresholds; the second defaults to the first.
    teacher_threshold : float
        The target's.
    replicates : int, optional
        How many; `replicates_for(n)` by default.
    seed : int
        Same seed, same interval.
    level : float
        Of the percentile interval.

    Returns
    -------
    dict of str to Change
        One per name in `metrics.METRICS`.

    Raises
    ------
    InputError
        Arrays of different lengths.
    """
    after_at = threshold if threshold_after is None else threshold_after
    point, draws = _run(
        t, [before, after], [threshold, after_at], groups, teacher_threshold, replicates, seed
    )  # fmt: skip
    out = {}
    for j, name in enumerate(METRICS):
        delta = _interval(point[1, j] - point[0, j], draws[:, 1, j] - draws[:, 0, j], level)
        clear = bool(delta.low > 0 or delta.high < 0)
        out[name] = Change(float(point[0, j]), float(point[1, j]), delta, clear, HIGHER_IS_BETTER[name])
    return out


def bootstrap_intervals(
    t: ArrayLike,
    s: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    teacher_threshold: float = 0.5,
    replicates: int | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """The metrics of one student with their intervals.

    Parameters
    ----------
    t, s : array (n,)
        Target and student probabilities.
    groups, threshold, teacher_threshold, replicates, seed, level
        As for `paired_bootstrap`.

    Returns
    -------
    dict of str to Interval
        One per name in `metrics.METRICS`.

    Raises
    ------
    InputError
        Arrays of different lengths.
    """
    point, draws = _run(t, [s], [threshold], groups, teacher_threshold, replicates, seed)
    return {name: _interval(point[0, j], draws[:, 0, j], level) for j, name in enumerate(METRICS)}


def _run(
    t: ArrayLike,
    students: Sequence[ArrayLike],
    thresholds: Sequence[float],
    groups: ArrayLike | None,
    teacher_threshold: float,
    replicates: int | None,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Point values (m, 5) and replicates (B, m, 5)."""
    t = np.asarray(t)
    scores = [np.asarray(s) for s in students]
    n, m = len(t), len(scores)
    if any(s.shape != (n,) for s in scores) or t.ndim != 1:
        raise InputError(f"{n} target values cannot be compared with {[s.shape for s in scores]} responses")
    B = replicates_for(n) if replicates is None else replicates
    if n == 0:
        return np.full((m, len(METRICS)), math.nan), np.empty((0, m, len(METRICS)))
    yes = (t >= teacher_threshold).astype(np.uint8)
    columns: list[NDArray[Any]] = [np.ones(n), yes]
    rankings = [Ranking.of(s) for s in scores]
    for s, thr in zip(scores, thresholds):
        said = s >= thr
        columns += [said, said & (yes != 0), bce(t, s)]
    per_image = np.column_stack(columns).astype(np.float32)
    if groups is None:
        # Without groups, number the images along the first student's order: its pass then reads in sequence.
        member = np.empty(n, np.int32)
        member[rankings[0].order] = np.arange(n, dtype=np.int32)
        sums = per_image[rankings[0].order]
    else:
        given = np.asarray(groups)
        if given.shape != (n,):
            raise InputError(f"{n} images need {n} groups, not {given.shape}")
        names, number = np.unique(given, return_inverse=True)
        member = number.astype(np.int32)
        sums = np.zeros((len(names), per_image.shape[1]), np.float32)
        np.add.at(sums, member, per_image)
    place = np.stack([member[r.order] for r in rankings])
    mark = np.stack([_marks(yes, r) for r in rankings])
    values = np.empty((1 + B, m, len(METRICS)))
    kernels.resample(values, np.uint64(_seed(seed)), np.ascontiguousarray(sums.T), place, mark)
    return values[0], values[1:]


def _marks(yes: NDArray[np.uint8], ranking: Ranking) -> NDArray[np.uint8]:
    """1 where the target says yes, plus 2 at the end of a run of equal scores that holds a yes."""
    ranked = yes[ranking.order]
    found = np.cumsum(ranked)[ranking.last != 0]
    ends = np.flatnonzero(ranking.last)
    mark = ranked.copy()
    mark[ends[np.diff(found, prepend=0) > 0]] += 2
    return mark


def _interval(value: float, draws: NDArray[np.float64], level: float) -> Interval:
    """Percentile interval over the replicates in which the metric is defined."""
    draws = draws[np.isfinite(draws)]
    if not math.isfinite(value) or not len(draws):
        return Interval(float(value), math.nan, math.nan)
    tail = (1.0 - level) / 2.0
    # Only two order statistics are wanted: a partial sort, with NumPy's linear rule between neighbours.
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Interval(float(value), float(low), float(high))


def _seed(seed: int) -> int:
    """One seed of any size as 64 bits; neighbouring seeds far apart."""
    return int(np.random.SeedSequence(seed & (2**64 - 1)).generate_state(1, np.uint64)[0])
