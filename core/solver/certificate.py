"""The duality gap: how far, at most, an objective can be from its optimum."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.kernels.gap import young
from inficond.core.solver.links import Pass

Array = NDArray[np.floating]
BLOCKS = 100  # of whose sums one thread adds up


def gap(
    found: Pass,
    objective: Array,
    weights: Array,
    lam: Array,
    low: Array,
    high: Array,
    entropy: Array,
    noise: Array,
    eps: float,
    workers: int,
) -> Array:
    """Upper bound on objective - optimum for each block.

    The pass gives a dual point p' that is feasible for the free intercepts. A step kappa from it towards the
    targets t makes it feasible for the penalty as well; then, term by term and without cancellation,

        objective - optimum <= sum_j [lam_j |w_j| + g'_j w_j + h*_j(-g'_j)] + KL(p' || p),

    where g' is the gradient at p' and h* the conjugate of penalty and box (derived in `docs/solver.md`).

    Parameters
    ----------
    found : of a pass at `weights`
    objective : (B,) there
    weights, lam, low, high : (B, n); intercepts have lam 0 and infinite bounds
    entropy : (B,) mean entropy of the targets
    noise : (B, n) how far rounding may have moved the gradient
    eps : relative rounding error of the objective
    workers : threads

    Returns
    -------
    (B,) float64
    """
    B = len(weights)
    kappa, linear, slack = np.empty(B), np.empty(B), np.empty(B)

    def add_up(b: slice) -> None:
        young(
            found.dual[b], found.reach[b], weights[b], lam[b], low[b], high[b], noise[b], kappa[b], linear[b],
            slack[b],
        )  # fmt: skip

    threads.run(add_up, threads.slices(B, BLOCKS), workers)
    usable = found.reach <= 0.5
    # KL(p' || p): second order where kappa is small, else by convexity between p and t.
    reach = np.where(usable, found.reach, 0.0)
    second = np.where(usable, found.second, 0.0)
    above = np.maximum(found.loss - entropy, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        taylor = (kappa**2 * found.chi2 + second) / ((1 - kappa) * (1 - reach)) ** 2
    convex = (1 - kappa) * 0.5 * second / (1 - reach) ** 2 + kappa * above
    divergence = np.fmin(taylor, convex)
    # p' = t is always feasible: its bound is the loss above the targets' entropy, and the penalty's slack.
    bound = np.minimum(linear + divergence, above + slack)
    return np.maximum(bound, 0.0) + eps * (np.abs(objective) + 0.02)
