"""Independent sigmoids: one pass over the rows for all classes, and the certificate that it yields."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.design import Design
from inficond.core.solver.kernels.losses import (
    CHI2,
    CURVATURE,
    CURVATURE_PART,
    LOSS,
    RESIDUAL,
    sigmoid_pass,
)
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]
Indices = NDArray[np.int64]
PART = 8  # one row in PART serves the correction of the dual point for the intercept


@dataclass
class Pass:
    """What one pass over the rows found at given weights, for each of its classes.

    Attributes
    ----------
    loss : (C,) mean loss, without the penalty
    gradient : (C, K+1) of the loss, the intercept's last
    curvature : (C,) mean p (1 - p)
    shift : (C, K+1) how the gradient changes along the correction of the dual point for the intercept
    chi2 : (C,) mean (t - p)^2 / (p (1 - p))
    """

    loss: Array
    gradient: Array
    curvature: Array
    shift: Array
    chi2: Array


def evaluate(design: Design, targets: Targets, classes: Indices, weights: Array, workers: int) -> Pass:
    """Loss and gradient of the sigmoid link at `weights` (C, K+1), in one pass over the rows.

    Parameters
    ----------
    design, targets : the problem
    classes : (C,) rows of the targets
    weights : (C, K+1) in solver's units, the intercept last
    workers : threads

    Returns
    -------
    Pass
    """
    C, K = len(weights), design.shape[1]
    dtype = design.X.dtype
    raw, offset = design.encode(weights[:, :K])
    raw = raw.astype(dtype)
    offset = (offset + weights[:, K]).astype(dtype)
    count = len(design.groups)
    gradients = np.zeros((count, C, K), dtype)
    shifts = np.zeros((count, C, K), dtype)
    sums = np.zeros((count, C, 5))

    def work(group: int) -> None:
        Z = np.empty((C, design.chunk), dtype)
        V = np.empty((C, design.chunk // PART + 1), dtype)
        product = np.empty((C, K), dtype)
        scratch: list[Array] = []
        for low, high in design.groups[group]:
            rows = design.rows(low, high, scratch)
            n = high - low
            part = -(-n // PART)
            z = Z if n == Z.shape[1] else np.empty((C, n), dtype)
            v = V if part == V.shape[1] else np.empty((C, part), dtype)
            np.matmul(raw, rows.T, out=z)
            sigmoid_pass(z, n, targets.T, low, targets.S, offset, v, part, sums[group], classes)
            np.matmul(z, rows, out=product)
            gradients[group] += product
            np.matmul(v, rows[:part], out=product)
            shifts[group] += product

    design.each_group(work, workers)
    total = targets.total[classes]
    add = sums.sum(0) / total[:, None]
    G = gradients.sum(0, dtype=np.float64) / total[:, None]
    H = shifts.sum(0, dtype=np.float64) / total[:, None]
    gradient = np.empty((C, K + 1))
    gradient[:, :K] = design.decode(G, add[:, RESIDUAL])
    gradient[:, K] = add[:, RESIDUAL]
    shift = np.empty((C, K + 1))
    shift[:, :K] = design.decode(H, add[:, CURVATURE_PART])
    shift[:, K] = add[:, CURVATURE_PART]
    return Pass(add[:, LOSS], gradient, add[:, CURVATURE], shift, add[:, CHI2])


def gap(
    found: Pass, weights: Array, lam: Array, low: Array, high: Array, entropy: Array, noise: Array, eps: float
) -> Array:
    """Upper bound on objective - optimum for each class, from a dual feasible point.

    With p the student's probabilities, the dual point is p' = p - delta v + kappa (t - p + delta v): the term
    in v = p (1 - p) (on a part of the rows) makes it feasible for the free intercept, the step kappa towards
    the targets t makes it feasible for the penalty. Then, term by term and without cancellation,

        objective - optimum <= sum_j [lam_j |w_j| + g'_j w_j + h*_j(-g'_j)] + KL(p' || p),

    where g' is the gradient at p' and h* the conjugate of penalty and box (`docs/solver.md`).

    Parameters
    ----------
    found : of a pass at `weights`
    weights, lam, low, high : (C, K+1), the intercept last
    entropy : (C,) mean entropy of the targets
    noise : (C, K+1) how far rounding may have moved the gradient
    eps : relative rounding error of the objective

    Returns
    -------
    (C,) float64
    """
    g = found.gradient
    trivial = found.loss - entropy  # p' = t: then g' = 0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        delta = np.where(
            found.shift[:, -1] > 0, g[:, -1] / found.shift[:, -1], np.where(g[:, -1] == 0, 0, 1.0)
        )
        usable = np.abs(delta) <= 0.5
        delta = np.where(usable, delta, 0.0)
        g = g - delta[:, None] * found.shift
        g[:, -1] = 0.0
        # Only where an infinite bound leaves no other way must |g'_j| be at most lam_j.
        excess = np.where(np.isinf(high), -g, -np.inf)
        excess = np.maximum(excess, np.where(np.isinf(low), g, -np.inf))
        excess = np.where(excess > lam - noise, excess + noise, 0.0)[:, :-1]
        keep = np.min(
            np.where(excess > 0, lam[:, :-1] / np.maximum(excess, 1e-300), 1.0), axis=1, initial=1.0
        )
        keep = np.where(usable, np.minimum(keep, 1.0), 0.0)
        kappa = 1.0 - keep
        g = g * keep[:, None]
        conjugate = np.zeros_like(g)
        for x in (low, high):
            x = np.where(np.isinf(x), 0.0, x)
            conjugate = np.maximum(conjugate, np.abs(x) * noise - g * x - lam * np.abs(x))
        # Where 0 lies outside the box, both ends may be negative.
        outside = (low > 0) | (high < 0)
        near = np.where(low > 0, low, high)
        far = np.where(low > 0, high, low)
        value = -g * np.where(outside, near, 0.0) - lam * np.abs(np.where(outside, near, 0.0))
        far = np.where(outside & np.isfinite(far), far, np.where(outside, near, 0.0))
        value = np.maximum(value, -g * far - lam * np.abs(far))
        conjugate = np.where(outside, value, conjugate)
        young = lam * np.abs(weights) + g * weights + conjugate
        linear = np.sum(np.maximum(young, 0.0), axis=1)
        # KL(p' || p): second order where kappa is small, else by convexity between p and t.
        stay = ((1 - kappa) * (1 - np.abs(delta))) ** 2
        second = found.shift[:, -1] * delta**2
        taylor = np.where(stay > 0, (kappa**2 * found.chi2 + second) / stay, np.inf)
        convex = (1 - kappa) * 0.5 * second / (1 - np.abs(delta)) ** 2 + kappa * np.maximum(trivial, 0.0)
        divergence = np.fmin(np.where(np.isfinite(taylor), taylor, np.inf), convex)
    objective = found.loss + np.sum(lam * np.abs(weights), axis=1)
    bound = linear + divergence
    # p' = t is always feasible: its gradient is 0, its gap the loss above the targets' entropy + penalty.
    least = lam * np.abs(np.clip(0.0, low, high))
    bound = np.minimum(bound, objective - entropy - least.sum(1))
    return np.maximum(bound, 0.0) + eps * np.abs(objective)


__all__ = ["Pass", "evaluate", "gap"]
