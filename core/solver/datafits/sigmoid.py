"""Independent sigmoids with binary cross-entropy."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.datafits import base
from inficond.core.solver.datafits.base import MAX_DUAL_STEP, Datafit, Evaluation, accumulate_product
from inficond.core.solver.kernels import fused_passes, losses
from inficond.core.solver.kernels.sums import add_in_solver_units
from inficond.core.solver.penalties import BoxedL1
from inficond.core.solver.quadratic_model import QuadraticModel
from inficond.core.solver.subproblems import PerClassSubproblem, Subproblem

Array = NDArray[np.floating]
Indices = NDArray[np.int64]
CLASSES_PER_TASK = 25  # whose sums one thread converts
MIN_CURVATURE = 1e-8


class Sigmoid(Datafit):
    """L(eta) = log(1 + exp eta) - t eta per class, p = 1 / (1 + exp(-eta)); a block is one class."""

    name: ClassVar[str] = "sigmoid"
    joint: ClassVar[bool] = False
    memory: ClassVar[int] = 16

    def null_intercepts(self, edge: float) -> Array:
        """See `Datafit.null_intercepts`."""
        p = np.clip(self.targets.mean, edge, 1 - edge)
        return np.log(p) - np.log1p(-p)

    def entropy(self, workers: int) -> Array:
        """Return the weighted mean of the binary entropy of the targets, (C,)."""
        return self.targets.mean_of(losses.binary_entropy, workers)

    def subproblem(self, model: QuadraticModel, penalty: BoxedL1, workers: int) -> Subproblem:
        """See `Datafit.subproblem`."""
        return PerClassSubproblem(model, penalty, workers)

    def evaluate(self, blocks: Indices, weights: Array, workers: int) -> Evaluation:
        """See `Datafit.evaluate`: two products with the loss between them, fused for few classes."""
        return self.evaluation(blocks, *self.row_sums(blocks, weights, workers), workers)

    def row_sums(self, blocks: Indices, weights: Array, workers: int) -> tuple[Array, Array, Array]:
        """Return the sums over the rows from which `evaluation` follows; those of other rows may be added.

        Parameters
        ----------
        blocks : which blocks, ascending
        weights : (len(blocks), K+1) weights
        workers : number of threads

        Returns
        -------
        gradients, shifts : (groups, len(blocks), K) products of residuals and of variances with the raw rows
        sums : (groups, len(blocks), losses.N_SUMS)
        """
        design, targets = self.design, self.targets
        C, K = len(weights), design.shape[1]
        dtype, stride = design.dtype, base.DUAL_STRIDE
        raw, offset = design.raw_weights(weights[:, :K])
        raw = raw.astype(dtype)
        zero_weights = not bool(raw.any())
        offset = (offset + weights[:, K]).astype(dtype)
        bias = weights[:, K].astype(dtype)
        count = len(design.groups)
        gradients = np.empty((count, C, K), dtype)
        shifts = np.empty((count, C, K), dtype)
        sums = np.zeros((count, C, losses.N_SUMS))
        fused = C <= base.MAX_FUSED_CLASSES and not design.explicit

        def work(group: int) -> None:
            if fused:
                gradients[group] = shifts[group] = 0
                low, high = design.groups[group][0][0], design.groups[group][-1][1]
                fused_passes.sigmoid_pass(
                    design.X, low, high, raw, targets.T, targets.S, offset, bias, blocks, stride,
                    zero_weights, gradients[group], shifts[group], sums[group],
                )  # fmt: skip
                return
            scratch: list[Array] = []
            for i, (low, high) in enumerate(design.groups[group]):
                rows = design.rows(low, high, scratch)
                n = high - low
                part = -(-n // stride)
                z = np.empty((C, n), dtype)
                v = np.empty((C, part), dtype)
                if zero_weights:
                    z[:] = 0
                else:
                    np.matmul(raw, rows.T, out=z)
                losses.sigmoid_loss(
                    z, n, targets.T, low, targets.S, offset, bias, v, part, sums[group], blocks
                )
                accumulate_product(z, rows, gradients[group], i == 0)
                accumulate_product(v, rows[:part], shifts[group], i == 0)

        design.for_each_group(work, workers)
        return gradients, shifts, sums

    def evaluation(
        self, blocks: Indices, gradients: Array, shifts: Array, sums: Array, workers: int
    ) -> Evaluation:
        """Return the evaluation that follows from sums over all rows; see `row_sums`."""
        design, targets = self.design, self.targets
        C, K = gradients.shape[1:]
        total = np.ascontiguousarray(targets.total[blocks])
        means = sums.sum(0) / total[:, None]
        residual, partial = (means[:, i].copy() for i in (losses.RESIDUAL, losses.PARTIAL_CURVATURE))
        # p' = p - delta p (1 - p) on a part of the rows, with delta such that its mean is that of the
        # targets.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            delta = np.where(residual == 0, 0.0, residual / partial)
        dual_step = np.where(np.isfinite(delta), np.abs(delta), 1.0)
        delta = np.where(dual_step <= MAX_DUAL_STEP, delta, 0.0)
        gradient = np.zeros((C, K + 1))
        dual_gradient = np.zeros_like(gradient)
        gradient[:, K] = residual
        units = design.gradient_units

        def convert(part: slice) -> None:
            low, high = part.start, part.stop
            add_in_solver_units(gradients, low, high, total, residual, *units, np.ones(C), gradient)
            dual_gradient[part, :K] = gradient[part, :K]
            add_in_solver_units(shifts, low, high, total, partial, *units, -delta, dual_gradient)

        threads.run(convert, threads.slices(C, CLASSES_PER_TASK), workers)
        curvature = np.maximum(means[:, losses.CURVATURE], MIN_CURVATURE)
        return Evaluation(
            means[:, losses.LOSS],
            gradient,
            curvature[:, None, None],
            dual_gradient,
            dual_step,
            partial * delta**2,
            means[:, losses.CHI2],
            means[:, [losses.CURVATURE, losses.H01, losses.H11]],
        )

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
        """See `Datafit.correct_dual`."""
        design, targets = self.design.as_float64(), self.targets
        K = design.shape[1]
        chosen = np.r_[free, K]
        raw, offset = design.raw_weights(weights[None, :K])
        shift = float(offset[0] + weights[K])
        S = targets.S[block if len(targets.S) > 1 else 0] if len(targets.S) else None
        M, g = np.zeros((len(chosen), len(chosen))), np.zeros(K + 1)
        chunks = [chunk for group in design.groups for chunk in group]
        probabilities, scratch = np.empty(design.shape[0]), list[Array]()

        def columns(low: int, high: int) -> tuple[Array, Array, Array]:
            rows = design.rows(low, high, scratch)
            weight = np.ones(high - low) if S is None else S[low:high].astype(np.float64)
            A = np.ones((high - low, len(chosen)))
            A[:, :-1] = rows[:, free]
            return rows, weight / targets.total[block], A

        for low, high in chunks:
            rows, s, A = columns(low, high)
            p = probabilities[low:high] = 0.5 + 0.5 * np.tanh(0.5 * (rows @ raw[0] + shift))
            r = s * (p - targets.T[block, low:high])
            g[:K] += r @ rows
            g[K] += r.sum()
            M += (A * (s * p * (1 - p))[:, None]).T @ A
        delta = base.solve_psd(M, g[chosen] - np.r_[target, 0.0])
        if delta is None:
            return False
        step = divergence = 0.0
        for low, high in chunks:
            rows, s, A = columns(low, high)
            p = probabilities[low:high]
            a = A @ delta
            step = max(step, float(np.abs(a).max()))
            change = s * p * (1 - p) * a
            divergence += float(change @ a)
            g[:K] -= change @ rows
        if step > MAX_DUAL_STEP:
            return False
        g[free], g[K] = target, 0.0
        evaluation.dual_gradient[at] = g
        evaluation.dual_step[at], evaluation.dual_divergence[at] = step, divergence
        return True
