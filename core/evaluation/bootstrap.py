"""Bootstrap confidence intervals over images, or over groups of images that share a source."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.cache import Cache
from inficond.core.errors import InputError
from inficond.core.evaluation import metric_kernels
from inficond.core.evaluation.metrics import HIGHER_IS_BETTER, METRICS, Ranking, bce, plain_number

LEVEL = 0.95
MIN_REPLICATES, MAX_REPLICATES = 400, 1000
_WORK = 4_000_000
"""Images × replicates of one interval, which take a few milliseconds on one core."""
DRAWS_BYTES = 64 * 2**20
"""Size of the cache of draws; larger draws are computed in parts."""


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval, whose ends are NaN if it is undefined.

    Examples
    --------
    >>> from inficond.core.evaluation import bootstrap_intervals
    >>> interval = bootstrap_intervals([0.9, 0.8, 0.2, 0.1], [0.7, 0.3, 0.4, 0.2])["agreement"]
    >>> interval.low <= interval.value <= interval.high
    True
    >>> sorted(interval.to_dict())
    ['high', 'low', 'value']
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Return JSON values, with None for NaN."""
        return {k: plain_number(getattr(self, k)) for k in ("value", "low", "high")}


@dataclass(frozen=True)
class Change:
    """Change of one metric: both values, and the difference with its interval.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation import paired_bootstrap
    >>> t = np.linspace(0, 1, 200)
    >>> change = paired_bootstrap(t, before=1 - t, after=t)["agreement"]
    >>> change.before, change.after, change.clear, change.verdict
    (0.0, 1.0, True, 'better')
    """

    before: float
    after: float
    delta: Interval
    clear: bool
    """Whether the interval of the difference excludes zero."""
    higher_is_better: bool = True

    @property
    def verdict(self) -> str:
        """``"better"``, ``"worse"`` or ``"no clear change"``."""
        if not self.clear:
            return "no clear change"
        return "better" if (self.delta.value > 0) == self.higher_is_better else "worse"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, with None for NaN."""
        return {
            "before": plain_number(self.before),
            "after": plain_number(self.after),
            "delta": self.delta.to_dict(),
            "clear": self.clear,
            "verdict": self.verdict,
        }


def replicates_for(n: int) -> int:
    """Return the number of replicates: 1,000 for up to 4,000 images, then fewer, but at least 400."""
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
    """Return the changes of the metrics between two students of one class, with paired intervals.

    Parameters
    ----------
    t : array (n,)
        Target probabilities: responses of the teacher, or ground truth as 0 and 1.
    before, after : array (n,)
        Probabilities of the two students for the same images.
    groups : array (n,), optional
        Images of equal value share a source and are resampled together; None resamples single images.
    threshold, threshold_after : float
        Thresholds of the students; the second defaults to the first.
    teacher_threshold : float
        Threshold of the target.
    replicates : int, optional
        Number of replicates; `replicates_for(n)` by default.
    seed : int
        Seed of the draws.
    level : float
        Confidence level of the percentile interval.

    Returns
    -------
    dict of str to Change
        One per name in `metrics.METRICS`.

    Raises
    ------
    InputError
        The arrays have different lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation import paired_bootstrap
    >>> t = np.linspace(0, 1, 200)
    >>> changes = paired_bootstrap(t, before=np.clip(t + 0.3, 0, 1), after=np.clip(t + 0.1, 0, 1))
    >>> changes["agreement"].verdict, round(changes["agreement"].delta.value, 3)
    ('better', 0.2)
    """
    after_threshold = threshold if threshold_after is None else threshold_after
    before_table, after_table = (
        resampled(
            t,
            s,
            groups=groups,
            threshold=student_threshold,
            teacher_threshold=teacher_threshold,
            replicates=replicates,
            seed=seed,
        )
        for s, student_threshold in ((before, threshold), (after, after_threshold))
    )
    return changes_between(before_table, after_table, level)


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
    """Return the metrics of one student with their intervals.

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
        The arrays have different lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation import bootstrap_intervals
    >>> t = np.linspace(0, 1, 200)
    >>> intervals = bootstrap_intervals(t, np.clip(t + 0.1, 0, 1))
    >>> list(intervals)
    ['agreement', 'balanced_agreement', 'ap', 'f1', 'bce']
    >>> intervals["agreement"].value
    0.9
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
    """Return the changes from one student to another, given the replicates of both.

    Parameters
    ----------
    before, after : array (1 + B, 5)
        From `resampled` with the same images, replicates and seed, so that the differences are paired.
    level : float
        Confidence level of the percentile interval.

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


def mean_table(tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of metrics over classes, replicate by replicate; undefined metrics are left out.

    Parameters
    ----------
    tables : sequence of arrays (1 + B, 5)
        From `resampled`, one per class; further replicates of longer ones are ignored.
    """
    fewest = min(len(table) for table in tables)
    stacked = np.stack([table[:fewest] for table in tables])
    defined = np.isfinite(stacked)
    count = defined.sum(axis=0)
    total = np.where(defined, stacked, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


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
    """Return the metrics of one student on the images and on bootstrap replicates.

    Parameters
    ----------
    t, s, groups, threshold, teacher_threshold, replicates, seed
        As for `bootstrap_intervals`.

    Returns
    -------
    array (1 + B, 5)
        Columns as in `metrics.METRICS`; the first row is of the images themselves. Draws depend on the seed
        and the number of groups only.

    Raises
    ------
    InputError
        The arrays have different lengths.
    """
    t, s = np.asarray(t), np.asarray(s)
    n = len(t) if t.ndim == 1 else 0
    if t.ndim != 1 or s.shape != (n,):
        raise InputError(
            f"targets and responses must have the same length: their shapes are {t.shape} and {s.shape}"
        )
    B = replicates_for(n) if replicates is None else replicates
    values = np.empty((1 + B, len(METRICS)))
    if n == 0:
        values[:] = math.nan
        return values[:1]
    positive = (t >= teacher_threshold).astype(np.uint8)
    ranking = Ranking.of(s)
    loss = bce(t, s)
    if groups is None:
        G, group_of = n, ranking.order.astype(np.int32)
        sums = np.column_stack([np.ones(n), loss]).astype(np.float32)
    else:
        labels = np.asarray(groups)
        if labels.shape != (n,):
            raise InputError(
                f"groups must have one entry for each of {n} images: their shape is {labels.shape}"
            )
        names, member = np.unique(labels, return_inverse=True)
        G, group_of = len(names), member[ranking.order].astype(np.int32)
        sums = np.column_stack(
            [np.bincount(member, minlength=G), np.bincount(member, loss, minlength=G)]
        ).astype(np.float32)
    flags, predicted = _flags(positive, ranking), int(np.count_nonzero(s >= threshold))
    first = 0
    while first <= B:
        counts = _draws(G, first, B, seed)
        part = values[first : first + counts.shape[1]]
        metric_kernels.resample(part, counts, group_of, flags, predicted, sums)
        first += len(part)
    return values


draw_cache = Cache(DRAWS_BYTES, "bootstrap draws")
"""Draws of the most recent sizes: previews of one class use the same."""


def _draws(G: int, first: int, last: int, seed: int) -> NDArray[np.uint8]:
    """Return how often each group counts in replicates from `first` up to at most `last`, (G, b).

    Replicate 0 has every group once.
    """
    b = min(last + 1 - first, max(16, DRAWS_BYTES // G))

    def make() -> NDArray[np.uint8]:
        counts = np.zeros((G, b), np.uint8)
        skip = int(first == 0)
        if skip:
            counts[:, 0] = 1
        drawn = np.zeros((G, b - skip), np.uint8)
        metric_kernels.draw(drawn, np.uint64(_seed(seed)), first + skip)
        counts[:, skip:] = drawn
        return counts

    if first == 0 and b == last + 1 and G * b <= DRAWS_BYTES:
        counts: NDArray[np.uint8] = draw_cache.get((G, b, seed), make, lambda counts: counts.nbytes)
        return counts
    return make()


def _flags(positive: NDArray[np.uint8], ranking: Ranking) -> NDArray[np.uint8]:
    """Return 1 for positives, plus 2 at the end of a run of equal scores with a positive."""
    ranked = positive[ranking.order]
    found = np.cumsum(ranked)[ranking.last != 0]
    ends = np.flatnonzero(ranking.last)
    flags = ranked.copy()
    flags[ends[np.diff(found, prepend=0) > 0]] += 2
    return flags


def _percentiles(table: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends (5,) of the percentile intervals of the columns, whose first row is the value.

    Replicates with an undefined metric are ignored; an undefined value has no interval.
    """
    draws = np.where(np.isfinite(table[1:]), table[1:], math.nan)
    defined = np.isfinite(table[0]) & np.isfinite(draws).any(axis=0)
    ends = np.full((2, table.shape[1]), math.nan)
    tail = (1.0 - level) / 2.0
    for j in np.flatnonzero(defined):
        column = draws[:, j]
        column = np.sort(column[~np.isnan(column)])
        for i, q in enumerate((tail, 1.0 - tail)):  # linear interpolation, as in NumPy
            at = q * (len(column) - 1)
            k = int(at)
            ends[i, j] = column[k] + (at - k) * (column[min(k + 1, len(column) - 1)] - column[k])
    return ends[0], ends[1]


def _seed(seed: int) -> int:
    """Hash a seed of any size to 64 bits."""
    return int(np.random.SeedSequence(seed & (2**64 - 1)).generate_state(1, np.uint64)[0])
