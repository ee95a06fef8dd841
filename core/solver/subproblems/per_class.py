"""Inner solver of the sigmoids: one block per class."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import class_hessian, threads
from inficond.core.solver.kernels import class_step, column_passes
from inficond.core.solver.penalties import BoxedL1
from inficond.core.solver.quadratic_model import QuadraticModel
from inficond.core.solver.subproblems.base import MAX_ROUNDS, RIDGE, Subproblem

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

INNER_TOL = 0.3  # the violation is reduced to this share
INNER_TOL_SINGLE = 0.1  # for one class, whose refit starts close to the optimum
MAX_DENSITY = 1 / 3  # share of columns in use above which passes over columns gain little
GAP_SHARE = 0.3  # of the tolerance: contribution of the working set to the gap
MAX_COLUMN_PASSES = 12  # between two passes over the rows


class PerClassSubproblem(Subproblem):
    """B = a G + ridge I + U diag(sign) U^T per class; dense classes get their own matrix in place of a G."""

    def __init__(self, model: QuadraticModel, penalty: BoxedL1, workers: int) -> None:
        super().__init__(model, penalty, workers)
        self._hessians: dict[int, class_hessian.ClassHessian] = {}
        self._refined = np.zeros(len(model.weights), bool)

    def refine_curvature(self, blocks: Indices, n_iter: Indices, gain: Array) -> None:
        """Build the own Hessian of dense classes that converge slowly, once per class."""
        model = self.model
        worthwhile = ~self._refined & class_hessian.is_worthwhile(model.weights, n_iter, gain, model.design)
        new = blocks[worthwhile[blocks]]
        if not len(new):
            return
        self._refined[new] = True
        built = class_hessian.build(
            model.design, model.targets, new, model.weights[new], self.workers, model.S.shape[1]
        )
        self._hessians.update(zip(new.tolist(), built))

    def minimize(self, trial: Array, damping: Array, blocks: Indices) -> Array:
        """See `Subproblem.minimize`."""
        model, penalty, hessians = self.model, self.penalty, self._hessians
        decrease = np.zeros(len(trial))
        gram_step = np.zeros(trial.shape, model.GS.dtype)
        self._gram_step = gram_step
        M, ridge = self._damped(damping)
        scale = M[:, 0, 0].copy()
        G = model.design.gram(self.workers)
        tol = INNER_TOL_SINGLE if len(trial) == 1 else INNER_TOL
        subspace_hessian = model.subspace_hessian * damping[:, None]
        first = np.zeros(1, np.int64)

        def step(
            B: Array, scale: Array, subspace: Array, BS: Array, pairs: Indices, part: Indices, at: slice
        ) -> None:
            class_step.minimize_class_models(
                B, scale, ridge[at], subspace, model.S[at], model.Y[at], BS, pairs, model.newest[at], part,
                model.gradient[at], model.weights[at], trial[at], penalty.lam[at], penalty.lower[at],
                penalty.upper[at], tol, MAX_ROUNDS, gram_step[at], decrease[at],
            )  # fmt: skip

        def work(part: Indices) -> None:
            shared = np.array([b for b in part if b not in hessians], np.int64)
            step(G, scale, subspace_hessian, model.GS, model.pairs, shared, slice(None))
            for b in part:
                if b not in hessians:
                    continue
                own, at = hessians[b], slice(b, b + 1)
                factor = damping[at] * own.scale(model.curvature[b, 0, 0])
                pairs = np.minimum(model.pairs[at], own.pairs)
                step(own.B, factor, subspace_hessian[at], own.BS[None], pairs, first, at)
                gram_step[b, 0] = np.nan  # it is B times the step

        threads.run(work, self._tasks(blocks), self.workers)
        return decrease[blocks]

    def polish(self, trial: Array, objective: Array, tol: float) -> None:
        """Continue over the columns in use, for a single class with few of them."""
        model, penalty = self.model, self.penalty
        design, targets = model.design, model.targets
        if len(trial) != 1 or self._hessians:
            return
        if np.count_nonzero(trial) > MAX_DENSITY * trial.shape[1] or (columns := design.columns) is None:
            return
        scale = float(model.curvature[0, 0, 0])
        rounding = 2 * float(np.finfo(design.dtype).eps)
        column_passes.polish(
            columns, design.centre, design.multiplier, targets.T, targets.S, float(targets.total[0]),
            design.gram(), scale, RIDGE * scale, model.subspace_hessian[0], model.S[0], model.Y[0],
            model.GS[0], model.pairs[0], model.newest[0], model.gradient[0], model.weights[0],
            float(objective[0]), trial[0], penalty.lam[0], penalty.lower[0], penalty.upper[0],
            INNER_TOL_SINGLE, GAP_SHARE * tol, rounding, MAX_ROUNDS, MAX_COLUMN_PASSES,
        )  # fmt: skip
        np.clip(trial, penalty.lower, penalty.upper, out=trial)
        self._gram_step = None  # of the step before polishing

    def update(self, blocks: Indices, weight_change: Array, gradient_change: Array) -> None:
        """See `Subproblem.update`; class Hessians get the pairs too."""
        written = self.model.append_pairs(
            blocks, weight_change, gradient_change, self._gram_step, self.workers
        )
        for b, position in zip(*(a.tolist() for a in written)):
            if b in self._hessians:
                self._hessians[b].append_pair(position, self.model.S[b])

    def reset(self, block: int) -> None:
        """See `Subproblem.reset`; the own Hessian of a class is dropped too."""
        super().reset(block)
        self._hessians.pop(block, None)
