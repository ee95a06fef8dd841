"""Interface and common parts of the inner solvers."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.penalties import BoxedL1
from inficond.core.solver.quadratic_model import QuadraticModel

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

RIDGE = 1e-6  # multiple of the mean curvature added to the diagonal of the Hessian model
MAX_ROUNDS = 100  # of coordinate descent
MIN_BLOCKS_PER_TASK = 5
TASKS_PER_THREAD = 4  # some classes take much longer than others


class Subproblem(ABC):
    """Minimization of g.d + d.B d / 2 + h(w + d) over the change d of the weights, for each block.

    Parameters
    ----------
    model : the point w, its gradient g and the terms of B; updated by `update`
    penalty : h
    workers : number of threads
    """

    def __init__(self, model: QuadraticModel, penalty: BoxedL1, workers: int) -> None:
        self.model, self.penalty, self.workers = model, penalty, workers
        B, n = model.weights.shape
        self._gram_step: Array | None = np.zeros((B, n), model.GS.dtype)

    @abstractmethod
    def minimize(self, trial: Array, damping: Array, blocks: Indices) -> Array:
        """Minimize the model of some blocks.

        Parameters
        ----------
        trial : (B, n) feasible start; overwritten by the minimizers
        damping : (B,) factor of the Hessian model
        blocks : ascending

        Returns
        -------
        (len(blocks),) float64
            Predicted decreases of the objective.
        """

    def refine_curvature(self, blocks: Indices, n_iter: Indices, gain: Array) -> None:  # noqa: B027
        """Improve the Hessian model of blocks that converge slowly; by default, nothing is done.

        Parameters
        ----------
        blocks : that have not converged
        n_iter : (B,) passes so far
        gain : (B,) relative decrease of the objective by the last pass
        """

    def polish(self, trial: Array, objective: Array, tol: float) -> None:  # noqa: B027
        """Improve the minimizers `trial` (B, n) without a pass over all rows; by default, nothing is done.

        Parameters
        ----------
        trial : (B, n); updated
        objective : (B,) at the weights of the model
        tol : relative tolerance of the fit
        """

    def update(self, blocks: Indices, weight_change: Array, gradient_change: Array) -> None:
        """Append the last step of some blocks, (len(blocks), n), to the BFGS pairs."""
        self.model.append_pairs(blocks, weight_change, gradient_change, self._gram_step, self.workers)

    def reset(self, block: int) -> None:
        """Reduce the Hessian model of a block to the Gram matrix."""
        self.model.forget_corrections(block)

    def _damped(self, damping: Array) -> tuple[Array, Array]:
        """Return multipliers of the Gram matrix (B, width, width) and multiples of the identity (B,)."""
        M = self.model.curvature * damping[:, None, None]
        return M, RIDGE * np.einsum("bcc->b", M) / M.shape[1]

    def _tasks(self, blocks: Indices) -> list[Indices]:
        """Divide blocks among tasks for the threads."""
        count = min(
            TASKS_PER_THREAD * self.workers if self.workers > 1 else 1, -(-len(blocks) // MIN_BLOCKS_PER_TASK)
        )
        return [np.ascontiguousarray(blocks[i::count]) for i in range(count)]
