"""The proximal quasi-Newton iteration (formulas: `inficond.core.solver`)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.penalties import take_blocks
from inficond.core.solver.problem import FLOOR, Problem
from inficond.core.solver.quadratic_model import QuadraticModel

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

MIN_SAMPLE_ROWS, MAX_SAMPLE_ROWS, SAMPLE_STEP = 2500, 50_000, 8
"""A cold fit starts on a copy of one row in SAMPLE_STEP, within these numbers of rows."""
MIN_STEP = 4  # below this stride the passes saved cost less than the additional inner solves
SAMPLE_TOL, SAMPLE_PASSES = 0.2, 6
SUFFICIENT_DECREASE = 1e-4  # share of the predicted decrease that a step must achieve
MAX_STALLED = 4  # steps in a row that promise less than rounding errors
MAX_REJECTIONS = 2  # steps in a row, after which the model is replaced by an upper bound of the loss


@dataclass
class Solution:
    """End of the iteration; arrays over blocks.

    Attributes
    ----------
    weights : (B, n)
    objective, gap : (B,)
    n_iter : (B,) passes over the rows
    converged : (B,) bool
    model : about the weights, to continue from
    """

    weights: Array
    objective: Array
    gap: Array
    n_iter: Indices
    converged: NDArray[np.bool_]
    model: QuadraticModel


def is_converged(objective: Array, gap: Array, tol: float) -> NDArray[np.bool_]:
    """Whether gap <= tol max(objective, FLOOR), for each block."""
    return np.isfinite(gap) & (gap <= tol * np.maximum(objective, FLOOR))


def solve(
    problem: Problem,
    model: QuadraticModel,
    tol: float,
    max_iter: int,
    workers: int,
    objective: Array | None = None,
    warm: bool = False,
) -> Solution:
    """Minimize from `model.weights`.

    Parameters
    ----------
    problem : datafit and penalty
    model : updated; at the returned weights in the end
    tol : a block stops when gap <= tol max(objective, FLOOR)
    max_iter : largest number of passes over the rows
    workers : number of threads
    objective : (B,) at the weights of the model, if its gradient is that of this problem, which saves a pass;
        infinite where those weights violate the bounds
    warm : whether the start is the optimum under other bounds, so that most of the support is known

    Returns
    -------
    Solution
    """
    penalty = problem.penalty
    B = len(model.weights)
    n_iter = np.zeros(B, np.int64)
    gap = np.full(B, np.inf)
    lower_bound = np.full(B, -np.inf)  # on the optimum: the best objective - gap so far
    if objective is None:
        model.weights[:] = penalty.project(model.weights)
        evaluation, objective, gap = problem.evaluate(np.arange(B), model.weights, tol, workers)
        model.gradient[:], model.loss[:] = evaluation.gradient, evaluation.loss
        model.curvature[:], model.subspace_hessian[:] = evaluation.curvature, evaluation.subspace_hessian
        lower_bound = objective - gap
        n_iter += 1
    subproblem = problem.datafit.subproblem(model, penalty, workers)
    damping = np.ones(B)
    stalled = np.zeros(B, np.int64)
    rejections = np.zeros(B, np.int64)
    gain = np.full(B, np.inf)
    trial = penalty.project(model.weights)
    while n_iter.max(initial=0) < max_iter:
        active = np.flatnonzero(~is_converged(objective, gap, tol) & (stalled < MAX_STALLED))
        if not len(active):
            break
        subproblem.refine_curvature(active, n_iter, gain)
        predicted = subproblem.minimize(trial, damping, active)
        if warm:
            subproblem.polish(trial, objective, tol)
        at = take_blocks(trial, active)
        evaluation, value, value_gap = problem.evaluate(active, at, tol, workers)
        n_iter[active] += 1
        subproblem.update(
            active,
            at - take_blocks(model.weights, active),
            evaluation.gradient - take_blocks(model.gradient, active),
        )
        before = objective[active]
        rounding = problem.rounding * np.abs(np.where(np.isfinite(before), before, 0.0))
        accept = value <= before - SUFFICIENT_DECREASE * np.maximum(predicted, 0.0) + rounding
        stalled[active] = np.where(predicted <= 2 * rounding, stalled[active] + 1, 0)
        lower_bound[active] = np.maximum(lower_bound[active], value - value_gap)
        accepted, rejected = active[accept], active[~accept]
        with np.errstate(invalid="ignore"):
            gain[active] = (before - value) / np.maximum(np.abs(value), FLOOR)
        model.weights[accepted] = take_blocks(trial, accepted)
        model.gradient[accepted] = take_blocks(evaluation.gradient, np.flatnonzero(accept))
        model.loss[accepted] = evaluation.loss[accept]
        model.curvature[accepted] = evaluation.curvature[accept]
        model.subspace_hessian[accepted] = evaluation.subspace_hessian[accept]
        objective[accepted] = value[accept]
        gap[accepted] = value_gap[accept]
        gap = np.minimum(gap, np.maximum(objective - lower_bound, problem.rounding * np.abs(objective)))
        rejections[accepted] = 0
        rejections[rejected] += 1
        damping[accepted] = np.maximum(damping[accepted] * 0.5, 1.0)
        damping[rejected] *= 4.0
        # With curvature >= 1/4 and no corrections the model majorizes the loss: the step must succeed.
        for b in rejected[rejections[rejected] > MAX_REJECTIONS].tolist():
            subproblem.reset(b)
            smallest = float(np.diag(model.curvature[b]).min())
            damping[b] = max(damping[b], 0.5 / max(smallest, 1e-8))
        trial[rejected] = model.weights[rejected]
    return Solution(model.weights.copy(), objective, gap, n_iter, is_converged(objective, gap, tol), model)


def refine_float64(problem: Problem, outcome: Solution, tol: float, max_iter: int, workers: int) -> Solution:
    """Continue with passes in float64 if float32 did not reach the tolerance; the model stays in float32."""
    if (
        outcome.converged.all()
        or problem.datafit.design.dtype != np.float32
        or outcome.n_iter.max() >= max_iter
    ):
        return outcome
    spent = outcome.n_iter
    refined = solve(problem.as_float64(), outcome.model, tol, max_iter - int(spent.max()), workers)
    refined.n_iter = refined.n_iter + spent
    return refined


def warm_start(problem: Problem, model: QuadraticModel, workers: int) -> None:
    """Move a cold start close to the optimum by passes over a sample of the rows, which give corrections too.

    The optimum of the sample differs from that of all rows by the sampling error, so it is found to low
    accuracy.
    """
    datafit = problem.datafit
    N = datafit.design.shape[0]
    step = N // min(max(MIN_SAMPLE_ROWS, -(-N // SAMPLE_STEP)), MAX_SAMPLE_ROWS)
    if step < MIN_STEP:
        return
    targets = datafit.targets.sample(step)
    if targets is None:
        return
    design = datafit.design.sample(step, workers)
    sample = replace(problem, datafit=replace(datafit, design=design, targets=targets))
    sampled = replace(model, design=design, targets=targets)
    outcome = solve(sample, sampled, SAMPLE_TOL, SAMPLE_PASSES, workers)
    model.weights[:] = outcome.weights
