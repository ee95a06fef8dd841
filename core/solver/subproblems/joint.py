"""Inner solver of the softmax: one block of all classes."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.kernels.joint_step import minimize_joint_models
from inficond.core.solver.softmax_corrections import softmax_corrections
from inficond.core.solver.subproblems.base import MAX_ROUNDS, Subproblem

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

INNER_TOL = 0.1  # the violation is reduced to this share; 0.3 costs more passes, because classes interact


class JointSubproblem(Subproblem):
    """B = M (x) G + ridge I + U diag(sign) U^T with M (C, C)."""

    def minimize(self, trial: Array, damping: Array, blocks: Indices) -> Array:
        """See `Subproblem.minimize`."""
        model, penalty = self.model, self.penalty
        decrease = np.zeros(len(trial))
        gram_step = np.zeros(trial.shape, model.GS.dtype)
        self._gram_step = gram_step
        M, ridge = self._damped(damping)
        G = model.design.gram(self.workers)
        subspace_hessian = model.subspace_hessian * damping[:, None]
        corrections = softmax_corrections(G, M[0], subspace_hessian[0], model.weights[0])
        minimize_joint_models(
            G, M, ridge, *corrections, model.S, model.Y, model.GS, model.pairs, model.newest, blocks,
            model.gradient, model.weights, trial, penalty.lam, penalty.lower, penalty.upper, INNER_TOL,
            MAX_ROUNDS, gram_step, decrease,
        )  # fmt: skip
        return decrease[blocks]
