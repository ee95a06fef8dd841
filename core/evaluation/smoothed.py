"""Smoothed paired bootstrap of two students of one class.

A resampling of images repeats the gaps between the probabilities of these images. Two students that hardly
differ then rank every resample alike, and an interval of their difference has length 0, although other images
would lie in the gaps. The smoothed bootstrap (Efron 1979, "Bootstrap methods: another look at the jackknife",
*Annals of Statistics* 7) draws from a kernel estimate of the distribution instead: each image gets a random
offset. The estimate is shrunk to the mean, so that its variance is that of the images (Silverman and Young
1987, "The bootstrap: to smooth or not to smooth?", *Biometrika* 74).
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.evaluation.bootstrap import Interval, resampled

SETS = 40
"""Sets of random offsets."""
OF_SET = 20
"""Replicates with the offsets of one set."""
_LEAST = 1e-7
"""Probabilities nearer to 0 or 1 have the logit of this distance."""


def smoothed_differences(
    t: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    thresholds: tuple[float, float],
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the differences of metrics of two students on the images and on smoothed bootstrap replicates.

    The logits of an image for both students get one random offset. Offsets of positives, and those of
    negatives, are normal with the covariance of their logits times n^(−2/3), where n is their number. The
    standard deviation thus falls like n^(−1/3), faster than in density estimation (n^(−1/5)), because the
    offsets must fill the gaps between images and not estimate a density.

    Parameters
    ----------
    t : array (n,)
        Targets; at or above 0.5 is positive.
    before, after : array (n,)
        Probabilities of both students.
    thresholds : two floats
        Of both students.
    groups : array (n,), optional
        Images of equal value are resampled together.
    seed : int
        Seed of the draws and the offsets.

    Returns
    -------
    array (1 + B, 5)
        Second student − first, columns as in `metrics.METRICS`; the first row is of the images themselves.
        All 0 for equal students.

    Raises
    ------
    InputError
        The arrays have different lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation.smoothed import smoothed_differences
    >>> t = np.linspace(0.1, 0.9, 200)
    >>> bool((smoothed_differences(t, t, t**2, (0.5, 0.25))[0, :4] == 0).all())  # both rank alike
    True
    """
    target, sides = np.asarray(t), [np.asarray(before, np.float64), np.asarray(after, np.float64)]
    first = [resampled(target, s, threshold=at, replicates=0) for s, at in zip(sides, thresholds)]
    if len(target) == 0:
        return first[1] - first[0]
    if np.array_equal(sides[0], sides[1]) and thresholds[0] == thresholds[1]:
        zeros = np.where(np.isfinite(first[0]), 0.0, math.nan)
        return np.repeat(zeros, 1 + SETS * OF_SET, axis=0)
    out, rng = [first[1] - first[0]], np.random.default_rng(seed & (2**64 - 1))
    logits = np.stack([_logit(s) for s in sides])
    for draw in range(SETS):
        moved = 1 / (1 + np.exp(-_smoothed(logits, target >= 0.5, rng)))
        one, other = (
            resampled(
                target, moved[i], groups=groups, threshold=thresholds[i], replicates=OF_SET,
                seed=seed * SETS + draw,
            )[1:]
            for i in (0, 1)
        )  # fmt: skip
        out.append(other - one)
    return np.concatenate(out)


def smoothed_interval(samples: NDArray[np.float64], level: float) -> Interval:
    """Return a difference with its interval: the normal distribution with the deviation of the replicates.

    Percentiles of the replicates would be centred at the difference in the smoothed distribution, which is
    nearer to 0 than that of the images where few images decide.

    Parameters
    ----------
    samples : array (1 + B,)
        The difference, then its replicates; NaN where undefined.
    level : float
        Confidence level.

    Returns
    -------
    Interval
        Within −1 and 1. Its ends are NaN without replicates.
    """
    value, draws = float(samples[0]), samples[1:][np.isfinite(samples[1:])]
    if not math.isfinite(value) or len(draws) < 2:
        return Interval(value, math.nan, math.nan)
    half = NormalDist().inv_cdf((1 + level) / 2) * float(draws.std(ddof=1))
    return Interval(value, max(-1.0, value - half), min(1.0, value + half))


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(p, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def _smoothed(
    logits: NDArray[np.float64], positive: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return logits (2, n) of the images with one offset each, shrunk to the mean of their side."""
    out = logits.copy()
    for side in (positive, ~positive):
        n = int(side.sum())
        if n < 2:
            continue
        mean = logits[:, side].mean(axis=1, keepdims=True)
        h = n ** (-1 / 3)
        values, vectors = np.linalg.eigh(np.cov(logits[:, side]))
        scale = vectors * np.sqrt(np.maximum(values, 0))
        offsets = h * (scale @ rng.standard_normal((2, n)))
        out[:, side] = mean + (logits[:, side] - mean + offsets) / np.sqrt(1 + h * h)
    return out
