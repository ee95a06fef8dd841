"""The outer loop for independent sigmoids: model, coordinate descent, one pass, certificate, again."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import sigmoid, threads
from inficond.core.solver.design import Design
from inficond.core.solver.kernels.descent import step_classes
from inficond.core.solver.result import Model
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

MEMORY = 16  # quasi-Newton pairs kept per class
SWEEPS = 100  # of coordinate descent, at most
STOP = 0.02  # coordinate descent ends when it has reduced the violation this far
FLOOR = 1e-3  # objectives below this count as this in the stopping rule


@dataclass
class Problem:
    """One penalised, bounded problem in solver's units.

    Attributes
    ----------
    design, targets : the rows
    lam, low, high : (C, K+1); the intercept's lam is 0 and its bounds are infinite
    """

    design: Design
    targets: Targets
    lam: Array
    low: Array
    high: Array
    entropy: Array = field(init=False)

    def __post_init__(self) -> None:
        self.entropy = self.targets.entropy()

    def noise(self, classes: Indices) -> Array:
        """(C, K+1) how far rounding may move a gradient."""
        eps = float(np.finfo(self.design.X.dtype).eps) / 2
        size = 1.0 if self.design.explicit else 1.0 + np.abs(self.design.centre) * self.design.multiplier
        noise = np.zeros((len(classes), self.design.shape[1] + 1))
        noise[:, :-1] = eps * 2 * self.targets.mean[classes, None] * size
        return noise


@dataclass
class Outcome:
    """Where the outer loop ended; arrays over classes."""

    weights: Array
    objective: Array
    gap: Array
    n_iter: Indices
    converged: NDArray[np.bool_]
    model: Model


def fresh_model(problem: Problem, weights: Array) -> Model:
    """A model that has learnt nothing yet, about `weights` (C, K+1)."""
    C, K1 = weights.shape
    dtype = problem.design.X.dtype
    return Model(
        problem.design,
        problem.targets,
        weights.copy(),
        np.full((C, K1), np.nan),
        np.full(C, 0.25),
        np.zeros((C, MEMORY, K1), dtype),
        np.zeros((C, MEMORY, K1), dtype),
        np.zeros(C, np.int64),
        np.full(C, -1, np.int64),
    )


def solve(problem: Problem, model: Model, tol: float, max_iter: int, workers: int) -> Outcome:
    """Minimise from `model.weights`, which must lie within the bounds.

    Parameters
    ----------
    problem : what to minimise
    model : changed in place; ends up about the returned weights
    tol : stops a class when gap <= tol * max(objective, FLOOR)
    max_iter : passes over the rows, at most
    workers : threads

    Returns
    -------
    Outcome
    """
    C = len(model.weights)
    everyone = np.arange(C)
    eps = 2 * float(np.finfo(problem.design.X.dtype).eps)
    best = model.weights.copy()
    lam = problem.lam

    def look(classes: Indices, at: Array) -> tuple[sigmoid.Pass, Array, Array]:
        found = sigmoid.evaluate(problem.design, problem.targets, classes, at, workers)
        objective = found.loss + np.sum(lam[classes] * np.abs(at), axis=1)
        gap = sigmoid.gap(
            found, at, lam[classes], problem.low[classes], problem.high[classes],
            problem.entropy[classes], problem.noise(classes), eps,
        )  # fmt: skip
        return found, objective, gap

    found, objective, gap = look(everyone, best)
    model.gradient[:] = found.gradient
    model.curvature[:] = np.maximum(found.curvature, 1e-8)
    bound = objective - gap
    n_iter = np.ones(C, np.int64)
    ridge = np.full(C, 1e-6) * model.curvature
    damp = np.ones(C)
    stalled = np.zeros(C, np.int64)
    refused = np.zeros(C, np.int64)
    G = problem.design.gram()
    trial = best.copy()
    decrease = np.zeros(C)

    def advance(part: Indices) -> None:
        step_classes(
            G, model.curvature * damp, ridge, model.S, model.Y, model.pairs, model.newest, part,
            model.gradient, trial, lam, problem.low, problem.high, STOP, SWEEPS, decrease,
        )  # fmt: skip

    for _ in range(max_iter - 1):
        done = gap <= tol * np.maximum(objective, FLOOR)
        left = np.flatnonzero(~done & (stalled < 4))
        if not len(left):
            break
        trial[left] = best[left]
        threads.run(advance, [left[i::workers] for i in range(min(workers, len(left)))], workers)
        found, value, slack = look(left, trial[left])
        n_iter[left] += 1
        remember(model, left, trial[left] - best[left], found.gradient - model.gradient[left])
        enough = value <= objective[left] - 1e-4 * decrease[left] + eps * np.abs(objective[left])
        better = enough & (value <= objective[left] + eps * np.abs(objective[left]))
        took, kept = left[better], left[~better]
        # Only a step that promises less than rounding can show counts against going on.
        hopeless = decrease[left] <= 2 * eps * np.abs(objective[left])
        stalled[left] = np.where(hopeless, stalled[left] + 1, 0)
        bound[left] = np.maximum(bound[left], value - slack)
        best[took] = trial[took]
        objective[took] = value[better]
        gap[took] = slack[better]
        model.gradient[took] = found.gradient[better]
        model.curvature[took] = np.maximum(found.curvature[better], 1e-8)
        gap = np.minimum(gap, np.maximum(objective - bound, eps * np.abs(objective)))
        damp[took] = np.maximum(damp[took] * 0.5, 1.0)
        refused[took] = 0
        refused[kept] += 1
        damp[kept] *= 4.0
        # With 1/4 for the curvature and no corrections the model lies above the loss: the step must succeed.
        hard = kept[refused[kept] > 2]
        model.pairs[hard] = 0
        damp[hard] = np.maximum(damp[hard], 0.25 / model.curvature[hard])
    model.weights[:] = best
    return Outcome(best, objective, gap, n_iter, gap <= tol * np.maximum(objective, FLOOR), model)


def remember(model: Model, classes: Indices, s: Array, y: Array) -> None:
    """Append a change of weights and of gradient, (len(classes), K+1) each, to the corrections."""
    memory = model.S.shape[1]
    moved = np.any(s != 0, axis=1)
    c = classes[moved]
    at = (model.newest[c] + 1) % memory
    model.S[c, at] = s[moved]
    model.Y[c, at] = y[moved]
    model.newest[c] = at
    model.pairs[c] = np.minimum(model.pairs[c] + 1, memory)
