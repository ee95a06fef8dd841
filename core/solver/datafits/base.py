"""Interface of a datafit: a loss on the logits, over the rows of a design."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.design import Design
from inficond.core.solver.kernels.products import MAX_FUSED_CLASSES
from inficond.core.solver.penalties import BoxedL1
from inficond.core.solver.quadratic_model import QuadraticModel
from inficond.core.solver.subproblems import Subproblem
from inficond.core.solver.targets import Targets

__all__ = ["MAX_FUSED_CLASSES", "Datafit", "Evaluation", "accumulate_product", "solve_psd"]

Array = NDArray[np.floating]
Indices = NDArray[np.int64]
DUAL_STRIDE = 8  # one row in DUAL_STRIDE corrects the dual point for the intercept
MAX_DUAL_STEP = 0.5  # largest relative change of a probability for which a dual point is valid


@dataclass
class Evaluation:
    """Loss, derivatives and a dual point at given weights, for each block.

    The dual point p' is feasible for the free intercepts (see `certificate`).

    Attributes
    ----------
    loss : (B,) mean loss, without the penalty
    gradient : (B, n) of the loss
    curvature : (B, width, width) mean Hessian of the loss by the logits, M
    dual_gradient : (B, n) gradient at the dual point, Z^T s (p' - t)
    dual_step : (B,) largest relative change of a probability from p to p'; p' is invalid above MAX_DUAL_STEP
    dual_divergence : (B,) second-order term of KL(p' || p)
    chi2 : (B,) mean squared residual divided by the variance of the probabilities
    subspace_hessian : (B, 3) or (1, 4 C^2) Hessian of the loss in the subspace of intercepts and weights, D^T
        F D
    """

    loss: Array
    gradient: Array
    curvature: Array
    dual_gradient: Array
    dual_step: Array
    dual_divergence: Array
    chi2: Array
    subspace_hessian: Array


@dataclass
class Datafit(ABC):
    """A loss with its link function.

    A *block* is solved independently of the others: one class for sigmoids, all classes for softmax.
    Arrays over blocks have shape (B, n), n = width (K + 1): for each class of the block its K weights, then
    its intercept.

    Attributes
    ----------
    design : the rows
    targets : targets and sample weights
    """

    design: Design
    targets: Targets

    name: ClassVar[str]
    """Of the link, as users write it."""
    joint: ClassVar[bool]
    """Whether all classes form one block."""
    memory: ClassVar[int]
    """BFGS pairs kept per block."""

    @property
    def subspace_entries(self) -> int:
        """Entries of the subspace Hessian of a block (see `Evaluation`)."""
        return 4 * self.width**2 if self.joint else 3

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.targets.T)

    @property
    def width(self) -> int:
        """Classes in a block."""
        return self.n_classes if self.joint else 1

    def pack(self, a: Array) -> Array:
        """Reshape an array over classes (C, K+1) to one over blocks (B, n)."""
        return a.reshape(1, -1) if self.joint else a

    def unpack(self, a: Array) -> Array:
        """Reshape an array over blocks (B, n) to one over classes (C, K+1)."""
        return a.reshape(self.n_classes, -1)

    def as_float64(self) -> Self:
        """Return the same loss with passes that compute in float64."""
        return replace(self, design=self.design.as_float64(), targets=self.targets.as_float64())

    @abstractmethod
    def null_intercepts(self, edge: float) -> Array:
        """Return the optimal intercepts (C,) for zero weights, for means clipped to [edge, 1 - edge]."""

    @abstractmethod
    def entropy(self, workers: int) -> Array:
        """Return the smallest loss (B,) of any student: the mean entropy of the targets."""

    @abstractmethod
    def evaluate(self, blocks: Indices, weights: Array, workers: int) -> Evaluation:
        """Make one pass over the rows at weights (len(blocks), n)."""

    @abstractmethod
    def subproblem(self, model: QuadraticModel, penalty: BoxedL1, workers: int) -> Subproblem:
        """Return the inner solver of this loss for a model, which it updates."""

    @abstractmethod
    def correct_dual(
        self,
        block: int,
        weights: Array,
        evaluation: Evaluation,
        at: int,
        free: Indices,
        target: Array,
        lam: Array,
    ) -> bool:
        """Move the dual point of a block so that its gradient takes given values at some coordinates.

        With Z_A the columns of these coordinates and of the intercepts, v the variances of the probabilities
        and a = Z_A delta, the new dual point is p' = p - v a (softmax: p' = p - (diag p - p p^T) a), where
        delta solves

            (Z_A^T diag(s v) Z_A) delta = Z_A^T s (p - t) - target.

        It is computed in float64 over all rows. Nothing changes if the system is singular or the step too
        large.

        Parameters
        ----------
        block : number of the block
        weights : (n,) its weights
        evaluation : at these weights; the fields of the dual point are overwritten
        at : position of the block in `evaluation`
        free : (m,) ascending coordinates in the block, without intercepts
        target : (m,) wanted values of the gradient there
        lam : (m,) their bounds, |target| <= lam

        Returns
        -------
        bool
            Whether the dual point was moved.
        """


def accumulate_product(residuals: Array, rows: Array, out: Array, first: bool) -> None:
    """Add residuals (C, n) times rows (n, K) to out (C, K); overwrite it if this is the first product."""
    if first:
        np.matmul(residuals, rows, out=out)
    else:
        out += residuals @ rows


def solve_psd(M: Array, b: Array) -> Array | None:
    """Solve M x = b for positive semi-definite M, whose null space b must not meet; None where it does."""
    eigenvalues, eigenvectors = np.linalg.eigh(M)
    positive = eigenvalues > 1e-12 * max(float(eigenvalues[-1]), 1e-300)
    x = eigenvectors[:, positive] @ ((eigenvectors[:, positive].T @ b) / eigenvalues[positive])
    remainder = float(np.abs(M @ x - b).max(initial=0.0))
    # The remainder violates dual feasibility, so it must be of the size of rounding errors.
    allowed = 1e-9 * max(float(np.abs(b).max(initial=0.0)), 1e-6)
    return x if np.isfinite(x).all() and remainder <= allowed else None
