"""The duality gap: how far, at most, an objective can be from its optimum."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.links import Pass

Array = NDArray[np.floating]


def gap(
    found: Pass, weights: Array, lam: Array, low: Array, high: Array, entropy: Array, noise: Array, eps: float
) -> Array:
    """Upper bound on objective - optimum for each block.

    The pass gives a dual point p' that is feasible for the free intercepts. A step kappa from it towards the
    targets t makes it feasible for the penalty as well; then, term by term and without cancellation,

        objective - optimum <= sum_j [lam_j |w_j| + g'_j w_j + h*_j(-g'_j)] + KL(p' || p),

    where g' is the gradient at p' and h* the conjugate of penalty and box (derived in `docs/solver.md`).

    Parameters
    ----------
    found : of a pass at `weights`
    weights, lam, low, high : (B, n); intercepts have lam 0 and infinite bounds
    entropy : (B,) mean entropy of the targets
    noise : (B, n) how far rounding may have moved the gradient
    eps : relative rounding error of the objective

    Returns
    -------
    (B,) float64
    """
    g = found.dual
    usable = found.reach <= 0.5
    free = lam > 0  # intercepts, and every weight at lam = 0, are feasible only where their gradient is 0
    # Only where an infinite bound leaves no other way must g' stay within the penalty.
    excess = np.maximum(np.where(np.isinf(high), -g, 0.0), np.where(np.isinf(low), g, 0.0))
    excess = np.where(excess > lam - noise, excess + noise, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        keep = np.where(excess > 0, np.where(free, lam / excess, 0.0), 1.0).min(axis=1, initial=1.0)
    keep = np.where(usable, keep, 0.0)
    kappa = 1.0 - keep
    g = g * keep[:, None]
    # h*(-g) = max over the box of -g x - lam |x|, which is linear between its ends and 0.
    inside = np.clip(0.0, low, high)
    conjugate = -g * inside - lam * np.abs(inside)
    for end in (low, high):
        x = np.where(np.isinf(end), inside, end)
        conjugate = np.maximum(conjugate, noise * np.abs(x) - g * x - lam * np.abs(x))
    young = lam * np.abs(weights) + g * weights + conjugate
    linear = np.maximum(young, 0.0).sum(axis=1)
    # KL(p' || p): second order where kappa is small, else by convexity between p and t.
    reach = np.where(usable, found.reach, 0.0)
    second = np.where(usable, found.second, 0.0)
    above = np.maximum(found.loss - entropy, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        taylor = (kappa**2 * found.chi2 + second) / ((1 - kappa) * (1 - reach)) ** 2
    convex = (1 - kappa) * 0.5 * second / (1 - reach) ** 2 + kappa * above
    divergence = np.fmin(taylor, convex)
    size = np.sum(lam * np.abs(weights), axis=1)
    # p' = t is always feasible: its bound is the loss above the targets' entropy, and the penalty's slack.
    trivial = above + size - np.sum(lam * np.abs(inside), axis=1)
    return np.maximum(np.minimum(linear + divergence, trivial), 0.0) + eps * (
        np.abs(found.loss + size) + 0.02
    )
