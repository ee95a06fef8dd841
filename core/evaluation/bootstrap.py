"""How sure a figure is: bootstrap over images, or over groups of images that share a source."""

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.evaluation import metric_kernels
from inficond.core.evaluation.metrics import HIGHER_IS_BETTER, METRICS, Ranking, bce, plain_number

LEVEL = 0.95
MIN_REPLICATES, MAX_REPLICATES = 400, 1000
_WORK = 4_000_000
"""Images × replicates that one interval may cost: a few milliseconds of one core."""
DRAWS_BYTES = 8 * 2**20
"""Draws are made once for all that resample as many groups, up to so many bytes; larger ones in parts."""


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
    here, there = (
        resampled(
            t,
            s,
            groups=groups,
            threshold=at,
            teacher_threshold=teacher_threshold,
            replicates=replicates,
            seed=seed,
        )
        for s, at in ((before, threshold), (after, after_at))
    )
    return changes_between(here, there, level)


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
    table = resampled(
        t,
        s,
        groups=groups,
        threshold=threshold,
        teacher_threshold=teacher_threshold,
        replicates=replicates,
        seed=seed,
    )
    low, high = _percentiles(table, level)
    return {
        name: Interval(float(table[0, j]), float(low[j]), float(high[j])) for j, name in enumerate(METRICS)
    }


def changes_between(
    before: NDArray[np.float64], after: NDArray[np.float64], level: float = LEVEL
) -> dict[str, Change]:
    """The changes from one student to another, from the replicates of both.

    Parameters
    ----------
    before, after : array (1 + B, 5)
        As `resampled` returns them, of the same images, replicates and seed: then the draws are the same, and
        the difference is paired.
    level : float
        Of the percentile interval.

    Returns
    -------
    dict of str to Change
        One per name in `metrics.METRICS`.
    """
    delta = after - before
    low, high = _percentiles(delta, level)
    clear = (low > 0) | (high < 0)
    return {
        name: Change(
            float(before[0, j]),
            float(after[0, j]),
            Interval(float(delta[0, j]), float(low[j]), float(high[j])),
            bool(clear[j]),
            HIGHER_IS_BETTER[name],
        )
        for j, name in enumerate(METRICS)
    }


def resampled(
    t: ArrayLike,
    s: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    teacher_threshold: float = 0.5,
    replicates: int | None = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """The metrics of one student as they are, and in bootstrap replicates.

    Parameters
    ----------
    t, s, groups, threshold, teacher_threshold, replicates, seed
        As for `bootstrap_intervals`.

    Returns
    -------
    array (1 + B, 5)
        Columns as in `metrics.METRICS`; first the images as they are, then the replicates. Draws depend on
        the seed and the number of groups alone, whoever the student is.

    Raises
    ------
    InputError
        Arrays of different lengths.
    """
    t, s = np.asarray(t), np.asarray(s)
    n = len(t) if t.ndim == 1 else 0
    if t.ndim != 1 or s.shape != (n,):
        raise InputError(f"{t.shape} target values cannot be compared with {s.shape} responses")
    B = replicates_for(n) if replicates is None else replicates
    values = np.empty((1 + B, len(METRICS)))
    if n == 0:
        values[:] = math.nan
        return values[:1]
    yes = (t >= teacher_threshold).astype(np.uint8)
    ranking = Ranking.of(s)
    loss = bce(t, s)
    if groups is None:
        G, place = n, ranking.order.astype(np.int32)
        sums = np.column_stack([np.ones(n), loss]).astype(np.float32)
    else:
        given = np.asarray(groups)
        if given.shape != (n,):
            raise InputError(f"{n} images need {n} groups, not {given.shape}")
        names, member = np.unique(given, return_inverse=True)
        G, place = len(names), member[ranking.order].astype(np.int32)
        sums = np.column_stack(
            [np.bincount(member, minlength=G), np.bincount(member, loss, minlength=G)]
        ).astype(np.float32)
    mark, said = _marks(yes, ranking), int(np.count_nonzero(s >= threshold))
    first = 0
    while first <= B:
        counts = _draws(G, first, B, seed)
        part = values[first : first + counts.shape[1]]
        metric_kernels.resample(part, counts, place, mark, said, sums)
        first += len(part)
    return values


_kept: OrderedDict[tuple[int, int, int, int], NDArray[np.uint8]] = OrderedDict()
_lock = threading.Lock()


def _draws(G: int, first: int, last: int, seed: int) -> NDArray[np.uint8]:
    """(G, b) how often each group counts in some replicates from `first` on, at most to `last`; number 0 is
    every group once.

    The latest are kept for all: a person who drags a slider asks for the same ones at every event.
    """
    b = min(last + 1 - first, max(16, DRAWS_BYTES // G))
    key = (G, first, b, seed)
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    counts = np.zeros((G, b), np.uint8)
    skip = int(first == 0)
    if skip:
        counts[:, 0] = 1
    drawn = np.zeros((G, b - skip), np.uint8)
    metric_kernels.draw(drawn, np.uint64(_seed(seed)), first + skip)
    counts[:, skip:] = drawn
    if last + 1 - first == b and first == 0 and counts.nbytes <= DRAWS_BYTES:
        with _lock:
            _kept[key] = counts
            while sum(c.nbytes for c in _kept.values()) > DRAWS_BYTES:
                _kept.popitem(last=False)
    return counts


def _marks(yes: NDArray[np.uint8], ranking: Ranking) -> NDArray[np.uint8]:
    """1 where the target says yes, plus 2 at the end of a run of equal scores that holds a yes."""
    ranked = yes[ranking.order]
    found = np.cumsum(ranked)[ranking.last != 0]
    ends = np.flatnonzero(ranking.last)
    mark = ranked.copy()
    mark[ends[np.diff(found, prepend=0) > 0]] += 2
    return mark


def _percentiles(table: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends (5,) of the percentile intervals of columns whose first row is the value itself.

    Replicates in which a metric is undefined are left out; a metric that is itself undefined has no interval.
    """
    draws = np.where(np.isfinite(table[1:]), table[1:], math.nan)
    defined = np.isfinite(table[0]) & np.isfinite(draws).any(axis=0)
    ends = np.full((2, table.shape[1]), math.nan)
    tail = (1.0 - level) / 2.0
    for j in np.flatnonzero(defined):
        column = draws[:, j]
        column = np.sort(column[~np.isnan(column)])
        for i, q in enumerate((tail, 1.0 - tail)):  # NumPy's linear rule between neighbours
            at = q * (len(column) - 1)
            k = int(at)
            ends[i, j] = column[k] + (at - k) * (column[min(k + 1, len(column) - 1)] - column[k])
    return ends[0], ends[1]


def _seed(seed: int) -> int:
    """One seed of any size as 64 bits; neighbouring seeds far apart."""
    return int(np.random.SeedSequence(seed & (2**64 - 1)).generate_state(1, np.uint64)[0])
