"""One softmax over all classes with cross-entropy."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.datafits import base
from inficond.core.solver.datafits.base import MAX_DUAL_STEP, Datafit, Evaluation, accumulate_product
from inficond.core.solver.kernels import fused_passes, losses
from inficond.core.solver.kernels.softmax_corrections import add_subspace_hessian
from inficond.core.solver.kernels.sums import add_in_solver_units
from inficond.core.solver.penalties import BoxedL1
from inficond.core.solver.quadratic_model import QuadraticModel
from inficond.core.solver.subproblems import JointSubproblem, Subproblem

Array = NDArray[np.floating]
Indices = NDArray[np.int64]
ROWS_PER_SUM = 4096  # rows summed in the precision of the data
MAX_SUBSPACE_CLASSES = 512  # above, corrections of the weights of every class cost more than they save


@dataclass(frozen=True, eq=False)
class SoftmaxSums:
    """Sums over rows from which an evaluation follows; those of other rows may be added.

    Attributes
    ----------
    gradients : (groups, C, K) products of the residuals with the raw rows
    residual : (C,) of the residuals
    hessian : (2 C, 2 C) subspace Hessian over half of the rows; with many classes that of the intercepts
        alone, (C, C), which is `variance`
    weight_seen : weight of the rows of `hessian`
    losses : (2,) loss and chi2
    variance : (C, C) of diag p - p p^T over a part of the rows
    """

    gradients: Array
    residual: Array
    hessian: Array
    weight_seen: float
    losses: Array
    variance: Array


@dataclass(frozen=True, eq=False)
class KeptRows:
    """The rows of a pass that correct the dual point.

    Attributes
    ----------
    probabilities, weighted : (C, rows) p, and p times the weights of the rows; `weighted` is overwritten
    places : columns of these arrays by the first row of each chunk
    """

    probabilities: Array
    weighted: Array
    places: dict[int, slice]


class Softmax(Datafit):
    """L(eta) = tau logsumexp(eta) - t.eta with tau = sum(t), p = softmax(eta); all classes are one block."""

    name: ClassVar[str] = "softmax"
    joint: ClassVar[bool] = True
    memory: ClassVar[int] = 40

    def null_intercepts(self, edge: float) -> Array:
        """See `Datafit.null_intercepts`."""
        return np.log(np.clip(self.targets.mean, edge, 1 - edge))

    def entropy(self, workers: int) -> Array:
        """Return the weighted mean of the entropy of the targets, (1,)."""
        t = self.targets
        total = np.zeros(1)
        losses.softmax_entropy(t.T, t.S[0] if len(t.S) else np.empty(0, t.T.dtype), total)
        return total / t.total[:1]

    def subproblem(self, model: QuadraticModel, penalty: BoxedL1, workers: int) -> Subproblem:
        """See `Datafit.subproblem`."""
        return JointSubproblem(model, penalty, workers)

    def evaluate(self, blocks: Indices, weights: Array, workers: int) -> Evaluation:
        """See `Datafit.evaluate`: two products with the loss between them, fused for few classes."""
        sums, kept = self.row_sums(weights, workers)
        delta = self.dual_direction(sums)
        shifts = None if delta is None else self.dual_sums(kept, delta)
        return self.evaluation(sums, delta, shifts)

    def row_sums(self, weights: Array, workers: int) -> tuple["SoftmaxSums", "KeptRows"]:
        """Return sums over the rows at weights (1, n), and what `dual_sums` needs of the same pass."""
        design, targets = self.design, self.targets
        C, K = self.width, design.shape[1]
        dtype = design.dtype
        W = weights.reshape(C, K + 1)
        raw, offset = design.raw_weights(W[:, :K])
        raw = raw.astype(dtype)
        zero_weights = not bool(raw.any())
        offset = (offset + W[:, K]).astype(dtype)
        shift = offset - W[:, K].astype(dtype)
        count = len(design.groups)
        gradients = np.empty((count, C, K), dtype)
        residuals = np.zeros((count, C))
        in_subspace = C <= MAX_SUBSPACE_CLASSES
        hessians = np.zeros((count if in_subspace else 0, 2 * C, 2 * C))
        weight_seen = np.zeros(count)
        fused = C <= base.MAX_FUSED_CLASSES and not design.explicit
        sums = np.zeros((count, 2))
        # The first rows of each chunk correct the dual point; `places` are their columns in `some` and
        # `weighted`.
        chunks = [chunk for group in design.groups for chunk in group]
        stride = max(base.DUAL_STRIDE, 2)
        edges = np.cumsum([0, *(-(-(high - low) // stride) for low, high in chunks)])
        places = {low: slice(a, b) for (low, _), a, b in zip(chunks, edges, edges[1:])}
        some = np.empty((C, edges[-1]), dtype)
        weighted = np.empty((C, edges[-1]), dtype)

        def work(group: int) -> None:
            scratch: list[Array] = []
            gradients[group] = 0
            for i, (low, high) in enumerate(design.groups[group]):
                rows = design.rows(low, high, scratch)
                n = high - low
                part = places[low].stop - places[low].start
                half = -(-n // 2)
                p = np.empty((C, half), dtype)
                row_weight = np.empty(half, dtype)
                if fused:
                    slope = np.empty((C, half), dtype)
                    fused_passes.softmax_pass(
                        design.X, low, high, raw, targets.T, targets.S, offset, shift, p, slope, row_weight,
                        half, zero_weights, gradients[group], residuals[group], sums[group],
                    )  # fmt: skip
                else:
                    z = np.zeros((C, n), dtype)
                    if not zero_weights:
                        np.matmul(raw, rows.T, out=z)
                    slope = z[:, :half] + shift[:, None]
                    losses.softmax_loss(
                        z, n, targets.T, low, targets.S, offset, p, row_weight, 0, half, residuals[group],
                        sums[group],
                    )  # fmt: skip
                    accumulate_product(z, rows, gradients[group], i == 0)
                if in_subspace:
                    add_subspace_hessian(p, slope, row_weight, hessians[group])
                seen = row_weight if in_subspace else row_weight[:part]
                weight_seen[group] += seen.sum(dtype=np.float64)
                some[:, places[low]] = p[:, :part]
                np.multiply(p[:, :part], row_weight[:part], out=weighted[:, places[low]])

        design.for_each_group(work, workers)
        M = np.zeros((C, C))  # of diag p - p p^T over a part of the rows
        for part in threads.slices(len(some.T), ROWS_PER_SUM):
            M += np.diag(weighted[:, part].sum(1, dtype=np.float64)) - weighted[:, part] @ some[:, part].T
        hessian = hessians.sum(0) if in_subspace else M
        total = float(weight_seen.sum())
        found = SoftmaxSums(gradients, residuals.sum(0), hessian, total, sums.sum(0), M)
        return found, KeptRows(some, weighted, places)

    def dual_direction(self, sums: "SoftmaxSums") -> Array | None:
        """Return delta (C,) such that the mean of p' is that of the targets, or None if it is too large.

        With it, p'_c = p_c (1 - delta_c + p.delta) on a part of the rows.
        """
        total = self.targets.total[0]
        if len(sums.residual) > MAX_SUBSPACE_CLASSES:  # an eigenproblem takes ten times as long
            delta = _solve_centred(sums.variance / total, sums.residual / total)
            if delta is not None and _dual_step(delta) <= MAX_DUAL_STEP:
                return delta
        eigenvalues, eigenvectors = np.linalg.eigh(sums.variance / total)
        damped = np.where(eigenvalues > 1e-5 * eigenvalues[-1], eigenvalues, np.inf)
        delta = eigenvectors @ ((eigenvectors.T @ (sums.residual / total)) / damped)
        dual_step = _dual_step(delta)
        return delta if np.isfinite(dual_step) and dual_step <= MAX_DUAL_STEP else None

    def dual_sums(self, kept: "KeptRows", delta: Array) -> tuple[Array, Array]:
        """Return the products of p - p' with the raw rows, (parts, C, K), and its sum over the rows, (C,)."""
        design, dtype = self.design, self.design.dtype
        C, K = self.width, design.shape[1]
        some, weighted, places = kept.probabilities, kept.weighted, kept.places
        shifts = np.empty((len(places), C, K), dtype)
        change = np.zeros(C)
        narrow = delta.astype(dtype)
        for part in threads.slices(len(some.T), ROWS_PER_SUM):
            weighted[:, part] *= narrow[:, None] - narrow @ some[:, part]
            change += weighted[:, part].sum(1, dtype=np.float64)
        for i, (low, part) in enumerate(places.items()):
            rows = design.rows(low, low + part.stop - part.start, [])
            np.matmul(weighted[:, part], rows, out=shifts[i])
        return shifts, change

    def evaluation(
        self, sums: "SoftmaxSums", delta: Array | None, shifts: tuple[Array, Array] | None
    ) -> Evaluation:
        """Return the evaluation that follows from sums over all rows.

        Parameters
        ----------
        sums : from `row_sums`
        delta : from `dual_direction`
        shifts : from `dual_sums`; None if `delta` is None
        """
        C, K = sums.gradients.shape[1:]
        total, units = self.targets.total[0], self.design.gradient_units
        loss, chi2 = sums.losses / total
        residual = sums.residual / total
        gradient = np.zeros((C, K + 1))
        gradient[:, K] = residual
        totals = np.full(C, total)
        add_in_solver_units(sums.gradients, 0, C, totals, residual, *units, np.ones(C), gradient)
        dual_gradient = np.zeros_like(gradient)
        dual_step, divergence = 1.0, 0.0
        if delta is not None and shifts is not None:
            products, change = shifts
            dual_gradient[:, :K] = gradient[:, :K]
            add_in_solver_units(products, 0, C, totals, change / total, *units, -np.ones(C), dual_gradient)
            dual_step, divergence = _dual_step(delta), float(delta @ (sums.variance / total) @ delta)
        # The subspace Hessian of half of the rows stands for that of all.
        hessian = sums.hessian / max(sums.weight_seen, 1e-300) * float(np.mean(self.targets.mean) * C)
        curvature = hessian[:C, :C].copy()
        if len(hessian) == C:
            hessian = np.zeros((2 * C, 2 * C))
        if not float(np.trace(curvature)) > 1e-12 or C == 1:
            curvature, hessian = np.eye(C) * 1e-8, np.zeros((2 * C, 2 * C))
        return Evaluation(
            np.array([loss]), gradient.reshape(1, -1), curvature[None], dual_gradient.reshape(1, -1),
            np.array([dual_step]), np.array([divergence]), np.array([chi2]), hessian.reshape(1, -1),
        )  # fmt: skip

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
        C, K = self.width, design.shape[1]
        W = weights.reshape(C, K + 1)
        raw, offset = design.raw_weights(W[:, :K])
        shift = offset + W[:, K]
        # Coordinates A of all classes, ordered by class, each with its intercept.
        by_class, wanted = [], _consistent(free, target, lam, C, K)
        for c in range(C):
            own = free[(free >= c * (K + 1)) & (free < (c + 1) * (K + 1))] - c * (K + 1)
            by_class.append(np.r_[own, K])
        edges = np.cumsum([0, *map(len, by_class)])
        parts = [slice(a, b) for a, b in pairwise(edges)]
        M, g = np.zeros((edges[-1], edges[-1])), np.zeros((C, K + 1))
        chunks = [chunk for group in design.groups for chunk in group]
        scratch: list[Array] = []
        S = targets.S[0] if len(targets.S) else None

        def forward(low: int, high: int) -> tuple[Array, Array, Array, Array]:
            rows = np.ones((high - low, K + 1))
            rows[:, :K] = design.rows(low, high, scratch)
            t = targets.T[:, low:high].astype(np.float64)
            s = t.sum(0) / targets.total[0]
            if S is not None:
                s *= S[low:high]
            eta = raw @ rows[:, :K].T + shift[:, None]
            p = np.exp(eta - eta.max(0))
            p /= p.sum(0)
            return rows, t, s, p

        for low, high in chunks:
            rows, t, s, p = forward(low, high)
            tau = np.maximum(t.sum(0), 1e-300)
            g += (s * (p - t / tau)) @ rows
            for c in range(C):
                left = rows[:, by_class[c]]
                for e in range(c + 1):
                    v = s * p[c] * ((1.0 if c == e else 0.0) - p[e])
                    M[parts[c], parts[e]] += (left * v[:, None]).T @ rows[:, by_class[e]]
        M = np.tril(M) + np.tril(M, -1).T
        residual = np.concatenate([(g - wanted)[c, own] for c, own in enumerate(by_class)])
        delta = base.solve_psd(M, residual)
        if delta is None:
            return False
        step = divergence = 0.0
        for low, high in chunks:
            rows, _, s, p = forward(low, high)
            a = np.stack([rows[:, own] @ delta[part] for own, part in zip(by_class, parts)])
            a -= (p * a).sum(0)
            step = max(step, float(np.abs(a).max()))
            change = s * p * a
            divergence += float((change * a).sum())
            g -= change @ rows
        if step > MAX_DUAL_STEP:
            return False
        for c, own in enumerate(by_class):
            g[c, own] = wanted[c, own]
        evaluation.dual_gradient[at] = g.reshape(-1)
        evaluation.dual_step[at], evaluation.dual_divergence[at] = step, divergence
        return True


def _solve_centred(M: Array, residual: Array) -> Array | None:
    """Solve M delta = residual for M (C, C) whose null space has equal entries; None where that fails."""
    level = float(np.trace(M)) / len(M) ** 2
    try:
        delta = np.linalg.solve(M + level, residual - residual.mean())
    except np.linalg.LinAlgError:
        return None
    return delta if np.isfinite(delta).all() else None


def _dual_step(delta: Array) -> float:
    """Return a bound on the relative change of a probability."""
    return 2.0 * float(np.abs(delta).max())


def _consistent(free: Indices, target: Array, lam: Array, C: int, K: int) -> Array:
    """Return targets (C, K+1) that sum to 0 over the classes of a column, as gradients do, within +-lam.

    Columns with a class that is not free need no change: the gradient of that class balances the sum.
    """
    wanted, bound, is_free = np.zeros((C, K + 1)), np.zeros((C, K + 1)), np.zeros((C, K + 1), bool)
    wanted.reshape(-1)[free], bound.reshape(-1)[free], is_free.reshape(-1)[free] = target, lam, True
    whole = is_free.all(axis=0)
    centred = wanted[:, whole] - wanted[:, whole].mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(centred != 0, bound[:, whole] / np.abs(centred), 1.0)
    wanted[:, whole] = centred * np.minimum(ratio.min(axis=0), 1.0)
    return wanted
