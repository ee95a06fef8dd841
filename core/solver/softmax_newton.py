"""Fits of a softmax with few rows: Newton steps with the exact Hessian on a working set.

With few rows, a pass costs less than the code around it, and BFGS pairs learn the Hessian more slowly than it
is computed. Each step takes the exact Hessian of the coordinates that are in use or violate optimality,
minimizes the quadratic model plus penalty (`kernels.softmax_newton`), and is halved until the objective
decreases. The passes of `newton.solve` certify the result, and continue where it is not accurate enough.
Reference: proximal Newton methods (Lee, Sun and Saunders 2014, *SIAM Journal on Optimization* 24).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.datafits.softmax import Softmax
from inficond.core.solver.design import is_memory_mapped
from inficond.core.solver.kernels.softmax_newton import minimize_softmax_model
from inficond.core.solver.newton import SUFFICIENT_DECREASE
from inficond.core.solver.penalties import BoxedL1
from inficond.core.solver.problem import FLOOR, Problem

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

MIN_CLASSES = 3  # with two, passes are fast, and divide the weight of a word among both classes more evenly
MAX_ROWS = 3000  # with more, the exact Hessian costs more than it saves
MAX_ENTRIES = 1 << 21  # of the standardized rows
MAX_COORDINATES = 256  # of a working set
FULL = 0.9  # share of it in use above which the steps end if more weights are wanted
MAX_PASSES, MAX_HALVINGS = 30, 8
INNER_TOL, MAX_ROUNDS = 0.1, 50  # share of the largest violation at which a model is minimized; rounds


def applies(problem: Problem) -> bool:
    """Whether Newton steps are faster than the passes of `newton.solve` alone."""
    datafit, design = problem.datafit, problem.datafit.design
    N, K = design.shape
    return (
        isinstance(datafit, Softmax)
        and datafit.width >= MIN_CLASSES
        and N <= MAX_ROWS
        and N * (K + 1) <= MAX_ENTRIES
        and problem.penalty.unpenalized is None
        and not is_memory_mapped(design.X)
    )


def solve(problem: Problem, start: Array, tol: float, max_iter: int) -> tuple[Array, int]:
    """Minimize from weights (1, n); return better weights and the number of passes over the rows.

    Parameters
    ----------
    problem : of a softmax, see `applies`
    start : (1, n)
    tol : relative gap; the steps end when an estimate of the gap is below it
    max_iter : largest number of passes, of which one is left for the certificate
    """
    rows = _Rows.of(problem)
    penalty, entropy = problem.penalty, float(problem.entropy(1)[0])
    lam = penalty.lam[0]
    w = penalty.project(start)[0]
    point = rows.at(rows.logits(w))
    value = point.loss + float(lam @ np.abs(w))
    passes = 1
    while passes < min(MAX_PASSES, max_iter - 1):
        g = rows.gradient(point)
        violation = _violation(w, g, penalty)
        in_use, wanted = np.count_nonzero(w), np.count_nonzero((w != 0) | (violation > 0))
        if in_use > FULL * MAX_COORDINATES and wanted > MAX_COORDINATES:
            break  # a working set would leave out weights that are needed
        if _estimated_gap(w, g, violation, penalty, value - entropy) <= tol * max(value, FLOOR):
            break
        change, predicted = _model_step(rows, point, w, g, violation, penalty)
        if not predicted > 0:
            break
        step, along = 1.0, rows.logits(change)
        for _ in range(MAX_HALVINGS):
            moved = w + step * change
            trial = rows.at(point.logits + step * along)
            passes += 1
            trial_value = trial.loss + float(lam @ np.abs(moved))
            if trial_value <= value - SUFFICIENT_DECREASE * step * predicted:
                break
            step *= 0.5
        else:
            break
        w, point, value = moved, trial, trial_value
    return penalty.project(w[None]), passes


@dataclass
class _Point:
    """Logits (C, N), probabilities (C, N) and loss at some weights."""

    logits: Array
    p: Array
    loss: float


@dataclass
class _Rows:
    """Rows and targets.

    Attributes
    ----------
    Z : (K+1, N) float64, standardized columns and a row of ones
    narrow : (N, K+1) float32, the same
    targets : (C, N) times the weight of each row over the total weight
    weight : (N,) sum of `targets` over the classes
    """

    Z: Array
    narrow: Array
    targets: Array
    weight: Array

    @classmethod
    def of(cls, problem: Problem) -> "_Rows":
        """Return the rows of a problem."""
        t = problem.datafit.targets
        scale = (t.S[0] if len(t.S) else np.ones(1)) / t.total[0]
        targets = t.T * scale
        return cls(*problem.datafit.design.standardized, targets, targets.sum(axis=0))

    def logits(self, w: Array) -> Array:
        """Return the logits (C, N) of weights (n,)."""
        return w.reshape(len(self.targets), -1) @ self.Z

    def at(self, logits: Array) -> _Point:
        """Return probabilities and loss at logits (C, N)."""
        top = logits.max(axis=0)
        p = np.exp(logits - top)
        total = p.sum(axis=0)
        p /= total
        top += np.log(total)
        return _Point(logits, p, float(self.weight @ top - np.vdot(self.targets, logits)))

    def gradient(self, point: _Point) -> Array:
        """Return the gradient of the loss, (n,)."""
        return ((self.weight * point.p - self.targets) @ self.Z.T).reshape(-1)


def _violation(w: Array, g: Array, penalty: BoxedL1) -> Array:
    """Return how far a proximal step of length 1 moves each weight, (n,); 0 at the optimum."""
    lam, low, high = penalty.lam[0], penalty.lower[0], penalty.upper[0]
    moved = w - g
    size = np.maximum(np.abs(moved) - lam, 0.0)
    moved = np.minimum(np.maximum(np.copysign(size, moved), low), high)
    return np.abs(w - moved)


def _estimated_gap(w: Array, g: Array, violation: Array, penalty: BoxedL1, excess_loss: float) -> float:
    """Return about the gap of the certificate: terms of the weights, and of a step towards the targets."""
    lam, low, high = penalty.lam[0], penalty.lower[0], penalty.upper[0]
    outwards = np.where(g < 0, high, low)  # the end of the box to which the gradient points
    bounded = np.isfinite(outwards)
    end = np.where(bounded, outwards, 0.0)
    conjugate = np.maximum(-g * end - lam * np.abs(end), 0.0)
    linear = float(np.abs(lam * np.abs(w) + g * w + conjugate)[violation > 0].sum())
    step = np.divide(violation, lam, out=np.zeros_like(lam), where=(lam > 0) & ~bounded)
    return linear + float(step.max()) * excess_loss


def _model_step(
    rows: _Rows, point: _Point, w: Array, g: Array, violation: Array, penalty: BoxedL1
) -> tuple[Array, float]:
    """Return the change (n,) that minimizes the quadratic model, and the decrease that it predicts."""
    at = _working_set(w, violation, len(rows.Z))
    lam, low, high = penalty.lam[0][at], penalty.lower[0][at], penalty.upper[0][at]
    before, slope = w[at], g[at]
    new, q = before.copy(), slope.copy()
    minimize_softmax_model(
        rows.narrow, point.p, rows.weight, *np.divmod(at, len(rows.Z)), q, new, lam, low, high,
        INNER_TOL * float(violation.max()), MAX_ROUNDS,
    )  # fmt: skip
    d = new - before
    predicted = -0.5 * float(d @ (slope + q)) - float(lam @ (np.abs(new) - np.abs(before)))
    change = np.zeros_like(w)
    change[at] = d
    return change, predicted


def _working_set(w: Array, violation: Array, K1: int) -> Indices:
    """Return the coordinates in use, the intercepts, and those that violate optimality most."""
    rank = np.where(w != 0, np.inf, violation)
    rank[K1 - 1 :: K1] = np.inf
    if np.count_nonzero(rank) <= MAX_COORDINATES:
        return np.flatnonzero(rank)
    limit = np.partition(rank, -MAX_COORDINATES)[-MAX_COORDINATES]
    return np.flatnonzero(rank >= min(limit, np.finfo(np.float64).max))
