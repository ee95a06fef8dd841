"""Duality gap: an upper bound on objective - optimum."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.datafits.base import MAX_DUAL_STEP, Evaluation
from inficond.core.solver.kernels.fenchel_young import fenchel_young

Array = NDArray[np.floating]
BLOCKS_PER_TASK = 100


def duality_gap(
    evaluation: Evaluation,
    objective: Array,
    weights: Array,
    lam: Array,
    lower: Array,
    upper: Array,
    entropy: Array,
    gradient_error: Array,
    rounding: float,
    workers: int,
) -> Array:
    """Return an upper bound on objective - optimum for each block.

    The evaluation gives a dual point p' that is feasible for the free intercepts. A step kappa from it
    towards the targets t makes it feasible for the penalty as well. With g' the gradient at p' and h* the
    conjugate of the penalty,

        objective - optimum <= sum_j [h_j(w_j) + g'_j w_j + h*_j(-g'_j)] + KL(p' || p).

    Every term is non-negative, so nothing cancels (derivation: `docs/solver.md`).

    Parameters
    ----------
    evaluation : at `weights`
    objective : (B,) there
    weights, lam, lower, upper : (B, n); intercepts have lam 0 and infinite bounds
    entropy : (B,) mean entropy of the targets
    gradient_error : (B, n) largest rounding error of the gradient
    rounding : relative rounding error of the objective
    workers : number of threads

    Returns
    -------
    (B,) float64
    """
    B = len(weights)
    kappa, linear, penalty_slack = np.empty(B), np.empty(B), np.empty(B)

    def add(b: slice) -> None:
        fenchel_young(
            evaluation.dual_gradient[b], evaluation.dual_step[b], weights[b], lam[b], lower[b], upper[b],
            gradient_error[b], kappa[b], linear[b], penalty_slack[b],
        )  # fmt: skip

    threads.run(add, threads.slices(B, BLOCKS_PER_TASK), workers)
    valid = evaluation.dual_step <= MAX_DUAL_STEP
    # KL(p' || p) is bounded by its second-order form, and by convexity between p and t.
    step = np.where(valid, evaluation.dual_step, 0.0)
    second = np.where(valid, evaluation.dual_divergence, 0.0)
    excess_loss = np.maximum(evaluation.loss - entropy, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        second_order = (kappa**2 * evaluation.chi2 + second) / ((1 - kappa) * (1 - step)) ** 2
    convex = (1 - kappa) * 0.5 * second / (1 - step) ** 2 + kappa * excess_loss
    divergence = np.fmin(second_order, convex)
    # p' = t is always feasible; its bound is the excess loss plus the slack of the penalty.
    bound = np.minimum(linear + divergence, excess_loss + penalty_slack)
    return np.maximum(bound, 0.0) + rounding * (np.abs(objective) + 0.02)
