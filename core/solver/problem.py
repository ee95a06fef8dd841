"""A penalized problem: datafit plus penalty, with the rounding errors of its evaluation."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.certificate import duality_gap
from inficond.core.solver.datafits import Datafit, Evaluation
from inficond.core.solver.penalties import BoxedL1, take_blocks

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

MAX_UNPENALIZED = 1500  # coordinates of a block up to which its dual point is corrected for them
NEARLY_STATIONARY = 10.0  # times the tolerance: predicted gap from which the correction is tried
FLOOR = 1e-3  # smaller objectives count as this in the stopping rule


@dataclass
class Problem:
    """Minimization of datafit plus penalty, in the units of the solver.

    Attributes
    ----------
    datafit : the loss on its rows
    penalty : weighted L1 norm with box
    gradient_error : (B, n) largest rounding error of the gradient: its sums are of residuals times raw
        columns
    """

    datafit: Datafit
    penalty: BoxedL1
    gradient_error: Array = field(init=False)
    _entropy: Array | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        design, targets = self.datafit.design, self.datafit.targets
        eps = float(np.finfo(design.dtype).eps) / 2
        error = np.zeros((len(targets.T), design.shape[1] + 1))
        error[:, :-1] = eps * 2 * targets.mean[:, None] * design.amplification
        self.gradient_error = self.datafit.pack(error)

    def as_float64(self) -> "Problem":
        """Return the same problem with passes that compute in float64."""
        return replace(self, datafit=self.datafit.as_float64())

    def entropy(self, workers: int) -> Array:
        """Return the smallest loss of any student, (B,)."""
        if self._entropy is None:
            self._entropy = self.datafit.entropy(workers)
        return self._entropy

    @property
    def rounding(self) -> float:
        """Relative rounding error of an objective."""
        return 2 * float(np.finfo(self.datafit.design.dtype).eps)

    def evaluate(
        self, blocks: Indices, weights: Array, tol: float, workers: int
    ) -> tuple[Evaluation, Array, Array]:
        """Make one pass over the rows.

        Parameters
        ----------
        blocks : which blocks, ascending
        weights : (len(blocks), n) feasible weights
        tol : relative tolerance of the fit
        workers : number of threads

        Returns
        -------
        evaluation : Evaluation
        objective, gap : (len(blocks),)
        """
        penalty = self.penalty
        lam, lower, upper, error = (
            take_blocks(a, blocks) for a in (penalty.lam, penalty.lower, penalty.upper, self.gradient_error)
        )
        evaluation = self.datafit.evaluate(blocks, weights, workers)
        objective = evaluation.loss + penalty.value(weights, blocks)
        if penalty.unpenalized is not None:
            error = error.copy()
            self._correct_dual(blocks, weights, evaluation, tol * np.maximum(objective, FLOOR), error)
        gap = duality_gap(
            evaluation, objective, weights, lam, lower, upper, self.entropy(workers)[blocks], error,
            self.rounding, workers,
        )  # fmt: skip
        return evaluation, objective, gap

    def _correct_dual(
        self, blocks: Indices, weights: Array, evaluation: Evaluation, allowed: Array, error: Array
    ) -> None:
        """Make dual points feasible for unpenalized weights, in blocks that are nearly stationary.

        There the dual gradient is then exact, so the `error` of the gradient is set to 0.
        """
        penalty = self.penalty
        assert penalty.unpenalized is not None
        for i, b in enumerate(blocks.tolist()):
            w, g, lam = weights[i], evaluation.gradient[i], penalty.lam[b]
            # At an active bound any gradient that points outwards is feasible.
            blocked = ((w <= penalty.lower[b]) & (g >= 0)) | ((w >= penalty.upper[b]) & (g <= 0))
            free = np.flatnonzero(penalty.unpenalized[b] & ~blocked)
            if not 0 < len(free) <= MAX_UNPENALIZED:
                continue
            # The subgradient nearest to complementary slackness: h_j(w_j) + g_j w_j + h*_j(-g_j) = 0.
            target = np.where(
                w[free] != 0, -np.sign(w[free]) * lam[free], np.clip(g[free], -lam[free], lam[free])
            )
            diagonal = np.einsum("cc->", evaluation.curvature[i]) / len(evaluation.curvature[i])
            predicted = 0.5 * float(np.square(g[free] - target).sum()) / max(diagonal, 1e-300)
            if predicted <= NEARLY_STATIONARY * allowed[i] and self.datafit.correct_dual(
                b, w, evaluation, i, free, target, lam[free]
            ):
                error[i, free] = 0.0
