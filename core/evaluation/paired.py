"""Two answers to the same questions: differences of metrics with paired bootstrap intervals.

Both sides are measured on the same bootstrap replicates of the images, so that what is common to both cancels
(paired bootstrap, Efron and Tibshirani 1993, ch. 8). The ends of each interval are moved outwards by the
change of the metric if one image changes sides. Without this continuity correction four images that change in
the same direction, and no other, would count as a clear difference; the exact test of McNemar (1947) needs
six.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.evaluation.bootstrap import (
    LEVEL,
    Change,
    Interval,
    changes_between,
    mean_table,
    replicates_for,
    resampled,
)
from inficond.core.evaluation.exam import SHOWN

_SHARE = "agreement"
"""The metric that is a share of images."""


def smallest_changes(t: ArrayLike) -> dict[str, float]:
    """Return by how much a metric changes, about, if one image changes sides, by name.

    A resampling of images on which two students hardly differ finds no difference at all, and an interval of
    length 0 would claim that there is none anywhere.

    Parameters
    ----------
    t : array (n,)
        Targets; at or above 0.5 is positive.

    Returns
    -------
    dict of str to float
        One per name in `SHOWN`.
    """
    t = np.asarray(t)
    n, positives = max(1, len(t)), max(1, int((t >= 0.5).sum()))
    negatives = max(1, n - positives)
    return {
        "ap": 0.5 / positives,
        "f1": 0.5 / positives,
        "balanced_agreement": 0.5 / min(positives, negatives),
        "agreement": 1 / n,
    }


class PairedBootstrap:
    """Differences between two sides on the same n images, class by class.

    Parameters
    ----------
    groups : array (n,), optional
        Images of equal value share a source and are resampled together.
    level : float
        Confidence level of the intervals.
    replicates : int, optional
        Number of replicates; by default that of `replicates_for`.
    seed : int
        Seed of the replicates.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation.paired import PairedBootstrap
    >>> t = np.linspace(0, 1, 200)
    >>> worse, better = 1 - t, t
    >>> paired = PairedBootstrap()
    >>> change = paired.add((t, t), (worse, better), (0.5, 0.5))["agreement"]
    >>> change.before, change.after, change.verdict
    (0.0, 1.0, 'better')
    """

    def __init__(
        self,
        groups: ArrayLike | None = None,
        *,
        level: float = LEVEL,
        replicates: int | None = None,
        seed: int = 0,
    ) -> None:
        self._groups = None if groups is None else np.asarray(groups)
        self._level, self._replicates, self._seed = level, replicates, seed
        self._tables: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        self._steps: list[Mapping[str, float] | None] = []

    def add(
        self,
        targets: tuple[ArrayLike, ArrayLike],
        scores: tuple[ArrayLike, ArrayLike],
        thresholds: tuple[float, float],
    ) -> dict[str, Change]:
        """Measure a class.

        Parameters
        ----------
        targets : two arrays (n,)
            What each side is compared with: the responses of its teacher, or the same labels for both.
            Images with NaN in one of them are left out.
        scores : two arrays (n,)
            Probabilities of both sides.
        thresholds : two floats
            Of both sides; targets have the threshold 0.5.

        Returns
        -------
        dict of metric to Change
            Average precision, F1, balanced agreement and agreement; from the first side to the second.

        Raises
        ------
        InputError
            The arrays have different lengths.
        """
        t, s = [np.asarray(one, np.float64) for one in targets], [np.asarray(one) for one in scores]
        if len({one.shape for one in (*t, *s)}) != 1 or t[0].ndim != 1:
            raise InputError(
                "both sides need a target and a probability for each image: the arrays have the shapes "
                + ", ".join(str(one.shape) for one in (*t, *s))
            )
        known = np.isfinite(t[0]) & np.isfinite(t[1])
        pair = tuple(self._table(t[i][known], s[i][known], thresholds[i], known) for i in (0, 1))
        same = all(np.array_equal(x[0][known], x[1][known]) for x in (t, s)) and (
            thresholds[0] == thresholds[1]
        )
        steps = None if same else smallest_changes(np.minimum(t[0], t[1])[known])
        if known.any():
            self._tables.append((pair[0], pair[1]))
            self._steps.append(steps)
        return self._changes(pair[0], pair[1], steps)

    def mean(self) -> dict[str, Change]:
        """Return the changes of the mean over the classes that were added; empty without a class."""
        if not self._tables:
            return {}
        first, second = (mean_table([pair[side] for pair in self._tables]) for side in (0, 1))
        shown = [one for one in self._steps if one is not None]
        steps = None
        if shown:
            # Classes change independently, so the step of their mean shrinks with the root of their number.
            steps = {name: sum(one[name] for one in shown) / len(self._steps) ** 1.5 for name in SHOWN}
        return self._changes(first, second, steps)

    def share(self, first: ArrayLike, second: ArrayLike) -> Change:
        """Return the change of a share of images.

        Parameters
        ----------
        first, second : array (n,), bool
            Whether each image counts for the first and for the second side.

        Examples
        --------
        >>> right = np.arange(100) < 50
        >>> change = PairedBootstrap().share(right, ~right)
        >>> change.before, change.after, change.clear
        (0.5, 0.5, False)
        """
        a, b = np.asarray(first, bool), np.asarray(second, bool)
        everywhere = np.ones(len(a), bool)
        pair = [self._table(np.ones(len(x)), x.astype(np.float64), 0.5, everywhere) for x in (a, b)]
        steps = None if np.array_equal(a, b) else smallest_changes(np.ones(len(a)))
        return self._changes(pair[0], pair[1], steps)[_SHARE]

    def proportion(self, flags: ArrayLike) -> Interval:
        """Return a share of images with its interval.

        Parameters
        ----------
        flags : array (n,), bool
            Whether each image counts.

        Examples
        --------
        >>> interval = PairedBootstrap().proportion(np.arange(100) < 50)
        >>> interval.low < interval.value < interval.high
        True
        """
        return self.share(np.zeros(len(np.asarray(flags)), bool), flags).delta

    def _table(
        self, t: NDArray[Any], s: NDArray[Any], threshold: float, known: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        n = len(known)  # the same number of replicates for all classes, so that their mean can be taken
        replicates = replicates_for(n) if self._replicates is None else self._replicates
        groups = None if self._groups is None else self._groups[known]
        return resampled(t, s, groups=groups, threshold=threshold, replicates=replicates, seed=self._seed)

    def _changes(
        self, first: NDArray[np.float64], second: NDArray[np.float64], steps: Mapping[str, float] | None
    ) -> dict[str, Change]:
        found = changes_between(first, second, self._level)
        return {name: _extended(found[name], 0.0 if steps is None else steps[name]) for name in SHOWN}


def _extended(change: Change, step: float) -> Change:
    """Return a change whose interval reaches one step further, within the possible differences."""
    d = change.delta
    if not math.isfinite(d.low):
        return change
    low, high = max(-1.0, d.low - step), min(1.0, d.high + step)
    return replace(change, delta=Interval(d.value, low, high), clear=low > 0 or high < 0)
