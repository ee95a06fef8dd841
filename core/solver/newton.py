"""The outer loop: quadratic model, coordinate descent on it, one pass over the rows, certificate, again."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import certificate, curvature, threads
from inficond.core.solver.kernels import columns, dense
from inficond.core.solver.kernels.joint import step_block
from inficond.core.solver.links import Link, Pass, Sigmoid
from inficond.core.solver.result import Model

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

MEMORY = {"sigmoid": 16, "softmax": 40}  # quasi-Newton pairs kept per block
SWEEPS = 100  # of coordinate descent, at most
# Coordinate descent ends when it has reduced the violation this far. A softmax's model is worth more, for
# classes depend on each other; and so is that of a class alone, whose refit starts near the optimum.
STOP = {"sigmoid": 0.3, "softmax": 0.1}
STOP_ALONE = 0.1
FLOOR = 1e-3  # objectives below this count as this in the stopping rule
SAMPLE_ROWS, SAMPLE_STEP = 2500, 8  # a cold start begins on an eighth of the rows, but no fewer than this
SAMPLE_TOL, SAMPLE_PASSES = 0.2, 6
RIDGE = 1e-6  # of the curvature, added to it
FEW = 1 / 3  # of the columns: a class that uses more gains little from passes over those alone
ENOUGH = 0.3  # of the tolerance: the part of the gap that weights in use may cause
COLUMN_PASSES = 12  # between two passes over the rows, at most
SHARES = 4  # of the classes per thread: some take much longer than others
SHARE = 5  # classes in each, at least
TOGETHER = 8  # changes of weights that are multiplied by the Gram matrix at once


@dataclass
class Problem:
    """One penalised, bounded problem in solver's units.

    Attributes
    ----------
    link : the loss on its rows
    lam, low, high : (B, n); intercepts have lam 0 and infinite bounds
    """

    link: Link
    lam: Array
    low: Array
    high: Array
    noise: Array = field(init=False)
    _entropy: Array | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # How far rounding may move a gradient: the sums behind it are of residuals times raw columns.
        design, targets = self.link.design, self.link.targets
        eps = float(np.finfo(design.dtype).eps) / 2
        noise = np.zeros((len(targets.T), design.shape[1] + 1))
        noise[:, :-1] = eps * 2 * targets.mean[:, None] * design.amplification
        self.noise = noise.reshape(self.lam.shape)

    def entropy(self, workers: int) -> Array:
        """(B,) the least loss that any student could have."""
        if self._entropy is None:
            self._entropy = self.link.entropy(workers)
        return self._entropy

    @property
    def rounding(self) -> float:
        """Relative rounding error of an objective."""
        return 2 * float(np.finfo(self.link.design.dtype).eps)

    def look(self, blocks: Indices, at: Array, workers: int) -> tuple[Pass, Array, Array]:
        """What a pass at the weights `at` finds, the objectives and their gaps."""
        lam, low, high, noise = (of(a, blocks) for a in (self.lam, self.low, self.high, self.noise))
        found = self.link.evaluate(blocks, at, workers)
        objective = found.loss + np.einsum("bn,bn->b", lam, np.abs(at))
        gap = certificate.gap(
            found, objective, at, lam, low, high, self.entropy(workers)[blocks], noise, self.rounding,
            workers,
        )  # fmt: skip
        return found, objective, gap


@dataclass
class Outcome:
    """Where the outer loop ended; arrays over blocks."""

    weights: Array
    objective: Array
    gap: Array
    n_iter: Indices
    converged: NDArray[np.bool_]
    model: Model


def of(a: Array, blocks: Indices) -> Array:
    """Some blocks of an array, in order; the array itself where they are all, for copies cost time."""
    return a if len(blocks) == len(a) else a[blocks]


def converged(objective: Array, gap: Array, tol: float) -> NDArray[np.bool_]:
    """The stopping rule."""
    return np.isfinite(gap) & (gap <= tol * np.maximum(objective, FLOOR))


def advance(
    problem: Problem,
    model: Model,
    damp: Array,
    trial: Array,
    blocks: Indices,
    workers: int,
    stop: float | None = None,
    own: dict[int, curvature.Own] | None = None,
) -> tuple[Array, Array]:
    """Minimise the model of some blocks from `trial`, in place.

    `own` holds the blocks that have second derivatives of their own, with corrections to those.

    Returns
    -------
    decrease : (all blocks,) predicted decreases of the objective
    moved : (all blocks, n) the Gram matrix times each change, but for those in `own`
    """
    decrease = np.zeros(len(trial))
    moved = np.zeros(trial.shape, model.GS.dtype)
    M = model.curvature * damp[:, None, None]
    ridge = RIDGE * np.einsum("bcc->b", M) / M.shape[1]
    G = model.design.gram(workers)
    scale = M[:, 0, 0].copy()
    if stop is None:
        alone = len(trial) == 1
        stop = STOP_ALONE if alone else STOP["sigmoid" if M.shape[1] == 1 else "softmax"]
    own = own or {}
    ray = model.ray * damp[:, None]
    zero = np.zeros(1, np.int64)

    def step(B: Array, scale: Array, ray: Array, GS: Array, pairs: Indices, part: Indices, at: Any) -> None:
        dense.step_classes(
            B, scale, ridge[at], ray, model.S[at], model.Y[at], GS, pairs, model.newest[at], part,
            model.gradient[at], model.weights[at], trial[at], problem.lam[at], problem.low[at],
            problem.high[at], stop, SWEEPS, moved[at], decrease[at],
        )  # fmt: skip

    def work(part: Indices) -> None:
        if M.shape[1] == 1:
            shared = np.array([b for b in part if b not in own], np.int64)
            step(G, scale, ray, model.GS, model.pairs, shared, slice(None))
            for b in part:
                if b in own:
                    at = slice(b, b + 1)
                    pairs = np.minimum(model.pairs[at], own[b].pairs)
                    mine = own[b]
                    factor = mine.scale(model.curvature[b, 0, 0])
                    step(mine.B, damp[at] * factor, ray[at], mine.GS[None], pairs, zero, at)
            return
        known = curvature.lengths(G, M[0], ray[0], model.weights[0])
        step_block(
            G, M, ridge, *known, model.S, model.Y, model.GS, model.pairs, model.newest, part, model.gradient,
            model.weights, trial, problem.lam, problem.low, problem.high, stop, SWEEPS, moved,
            decrease,
        )  # fmt: skip

    count = min(SHARES * workers if workers > 1 else 1, -(-len(blocks) // SHARE))
    parts = [np.ascontiguousarray(blocks[i::count]) for i in range(count)]
    threads.run(work, parts, workers)
    return decrease, moved


def settle(problem: Problem, model: Model, trial: Array, objective: float, tol: float) -> None:
    """Improve the answer `trial` (1, n) for one class in place, by passes over the columns in use."""
    link = problem.link
    design, targets = link.design, link.targets
    if np.count_nonzero(trial) > FEW * trial.shape[1] or (by_column := design.columns) is None:
        return
    scale = float(model.curvature[0, 0, 0])
    columns.settle(
        by_column, design.centre, design.multiplier, targets.T, targets.S, float(targets.total[0]),
        design.gram(), scale, RIDGE * scale, model.ray[0], model.S[0], model.Y[0], model.GS[0],
        model.pairs[0], model.newest[0], model.gradient[0], model.weights[0], objective,
        trial[0], problem.lam[0], problem.low[0], problem.high[0], STOP_ALONE, ENOUGH * tol, problem.rounding,
        SWEEPS, COLUMN_PASSES,
    )  # fmt: skip
    np.clip(trial, problem.low, problem.high, out=trial)


def solve(
    problem: Problem,
    model: Model,
    tol: float,
    max_iter: int,
    workers: int,
    objective: Array | None = None,
    near: bool = False,
) -> Outcome:
    """Minimise from `model.weights`.

    Parameters
    ----------
    problem : what to minimise
    model : changed in place; ends up about the returned weights
    tol : stops a block when gap <= tol * max(objective, FLOOR)
    max_iter : passes over the rows, at most
    workers : threads
    objective : (B,) at the model's weights where its gradient is already that of this problem, so that no
        pass is spent on the start; infinite where those weights are outside the bounds
    near : whether the start is that of a fit under other bounds, so that the weights in use are known but
        for a few

    Returns
    -------
    Outcome
    """
    B = len(model.weights)
    eps = problem.rounding
    n_iter = np.zeros(B, np.int64)
    bound = np.full(B, -np.inf)  # below the optimum, by any certificate so far
    gap = np.full(B, np.inf)
    if objective is None:
        model.weights[:] = np.clip(model.weights, problem.low, problem.high)
        found, objective, gap = problem.look(np.arange(B), model.weights, workers)
        model.gradient[:], model.loss[:], model.curvature[:] = found.gradient, found.loss, found.curvature
        model.ray[:] = found.ray
        bound = objective - gap
        n_iter += 1
    damp = np.ones(B)
    hopeless = np.zeros(B, np.int64)
    refused = np.zeros(B, np.int64)
    trial = np.clip(model.weights, problem.low, problem.high)  # a step never leaves the bounds
    gain = np.full(B, np.inf)
    own: dict[int, curvature.Own] = {}
    refined = np.zeros(B, bool)
    while n_iter.max(initial=0) < max_iter:
        left = np.flatnonzero(~converged(objective, gap, tol) & (hopeless < 4))
        if not len(left):
            break
        if isinstance(problem.link, Sigmoid):
            ask = ~refined & curvature.wanted(model.weights, n_iter, gain, model.design)
            if len(new := left[ask[left]]):
                refined[new] = True
                link = problem.link
                made = curvature.build(
                    link.design, link.targets, new, model.weights[new], workers, model.S.shape[1]
                )
                own.update(zip(new.tolist(), made))
        decrease, moved = advance(problem, model, damp, trial, left, workers, own=own)
        decrease = decrease[left]
        products: Array | None = moved
        if near and B == 1 and not own and isinstance(problem.link, Sigmoid):
            settle(problem, model, trial, float(objective[0]), tol)
            products = None
        at = of(trial, left)
        found, value, slack = problem.look(left, at, workers)
        n_iter[left] += 1
        change = at - of(model.weights, left), found.gradient - of(model.gradient, left)
        remember(model, left, *change, products, own, workers)
        before = objective[left]
        rounding = eps * np.abs(np.where(np.isfinite(before), before, 0.0))
        better = value <= before - 1e-4 * np.maximum(decrease, 0.0) + rounding
        # Only a step that promises less than rounding can show counts against going on.
        hopeless[left] = np.where(decrease <= 2 * rounding, hopeless[left] + 1, 0)
        bound[left] = np.maximum(bound[left], value - slack)
        took, kept = left[better], left[~better]
        with np.errstate(invalid="ignore"):
            gain[left] = (before - value) / np.maximum(np.abs(value), FLOOR)
        model.weights[took] = of(trial, took)
        model.gradient[took] = of(found.gradient, np.flatnonzero(better))
        model.loss[took] = found.loss[better]
        model.curvature[took] = found.curvature[better]
        model.ray[took] = found.ray[better]
        objective[took] = value[better]
        gap[took] = slack[better]
        gap = np.minimum(gap, np.maximum(objective - bound, eps * np.abs(objective)))
        refused[took] = 0
        refused[kept] += 1
        damp[took] = np.maximum(damp[took] * 0.5, 1.0)
        damp[kept] *= 4.0
        # With 1/4 for the curvature and no corrections the model lies above the loss: the step must succeed.
        for b in kept[refused[kept] > 2]:
            model.pairs[b] = 0
            model.ray[b] = 0
            own.pop(int(b), None)
            smallest = float(np.diag(model.curvature[b]).min())
            damp[b] = max(damp[b], 0.5 / max(smallest, 1e-8))
        trial[kept] = model.weights[kept]
    return Outcome(model.weights.copy(), objective, gap, n_iter, converged(objective, gap, tol), model)


def finish(problem: Problem, outcome: Outcome, tol: float, max_iter: int, workers: int) -> Outcome:
    """Go on in float64 where float32 could certify no more; the model stays in float32."""
    if outcome.converged.all() or problem.link.design.dtype != np.float32 or outcome.n_iter.max() >= max_iter:
        return outcome
    link = replace(
        problem.link, design=problem.link.design.in_double(), targets=problem.link.targets.in_double()
    )  # type: ignore[type-var]
    spent = outcome.n_iter
    more = solve(replace(problem, link=link), outcome.model, tol, max_iter - int(spent.max()), workers)
    more.n_iter = more.n_iter + spent
    return more


def approach(problem: Problem, model: Model, workers: int) -> None:
    """Bring a cold start near the optimum on a sample of the rows, and with it the corrections.

    The sample's optimum differs from the whole's by about its own noise, so it is found only that well. Many
    passes over few rows then take the place of as many over all.
    """
    design = problem.link.design
    step = design.shape[0] // max(SAMPLE_ROWS, -(-design.shape[0] // SAMPLE_STEP))
    if step < 4:  # fewer passes saved than coordinate descent costs
        return
    targets = problem.link.targets.sample(step)
    if targets is None:
        return
    link = replace(problem.link, design=design.sample(step, workers), targets=targets)  # type: ignore[type-var]
    part = replace(problem, link=link)
    copy = replace(model, design=link.design, targets=targets)
    outcome = solve(part, copy, SAMPLE_TOL, SAMPLE_PASSES, workers)
    model.weights[:] = outcome.weights


def remember(
    model: Model, blocks: Indices, s: Array, y: Array, Gs: Array | None, own: dict[int, curvature.Own],
    workers: int,
) -> None:  # fmt: skip
    """Append a change of weights and of gradient, (len(blocks), n) each, to the corrections.

    `Gs` (all blocks, n) is the Gram matrix times the former, for blocks that are not in `own`; None where
    it is not known.
    """
    memory = model.S.shape[1]
    moved = s.any(axis=1)
    b = blocks[moved]
    at = (model.newest[b] + 1) % memory
    changed = np.flatnonzero(moved)
    s, y = of(s, changed), of(y, changed)
    model.S[b, at] = s
    model.Y[b, at] = y
    if Gs is not None:
        model.GS[b, at] = of(Gs, b)
    missing = np.array([Gs is None or block in own for block in b.tolist()], bool)
    if missing.any():
        model.GS[b[missing], at[missing]] = _times_gram(model, s[missing], workers)
    for i, block in enumerate(b.tolist()):
        if block in own:
            own[block].learn(at[i], model.S[block])
    model.newest[b] = at
    model.pairs[b] = np.minimum(model.pairs[b] + 1, memory)


def _times_gram(model: Model, s: Array, workers: int) -> Array:
    """(some, n) changes of weights times the Gram matrix."""
    G = model.design.gram()
    change = s.astype(G.dtype).reshape(-1, len(G))
    GS = np.empty_like(change)

    def multiply(rows: slice) -> None:
        some = np.flatnonzero(change[rows].any(0))
        if 4 * len(some) < len(G):  # as of one class: the rest of the matrix need not be read
            np.matmul(change[rows][:, some], G[some], out=GS[rows])
        else:
            np.matmul(change[rows], G, out=GS[rows])

    threads.run(multiply, threads.slices(len(change), TOGETHER), workers)
    return GS.reshape(s.shape)
