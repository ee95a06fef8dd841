"""The two links, each with its pass over the rows and its dual point.

A *block* is what is solved by itself: one class for sigmoids, all classes together for softmax. Arrays over
blocks have shape (B, n), n = width * (K + 1): for each class of the block its K weights, then its intercept.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.design import Design
from inficond.core.solver.kernels import losses, passes
from inficond.core.solver.kernels.lengths import moments_along
from inficond.core.solver.kernels.products import FEW
from inficond.core.solver.kernels.sums import add_decoded
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]
Indices = NDArray[np.int64]
PART = 8  # one row in PART serves the correction of the dual point for the intercept
ADDED = 4096  # rows whose sums are taken in the data's precision
CLASSES = 25  # whose sums one thread puts together: to wake another costs as much as those of a few


@dataclass
class Pass:
    """What one pass over the rows found at given weights, for each block.

    Attributes
    ----------
    loss : (B,) mean loss, without the penalty
    gradient : (B, n) of the loss
    curvature : (B, width, width) mean second derivative of the loss by the logits
    dual : (B, n) the gradient at a dual point that is feasible for the free intercepts
    reach : (B,) largest relative change of a probability on the way to that dual point; above 1/2 it is void
    second : (B,) second-order term of the divergence of that dual point
    chi2 : (B,) mean squared residual in units of the probabilities' variance
    ray : (B, 3) mean second derivatives by the intercept, by it and the weights' length, and by that length
        twice; 0 for softmax
    """

    loss: Array
    gradient: Array
    curvature: Array
    dual: Array
    reach: Array
    second: Array
    chi2: Array
    ray: Array


class Link(Protocol):
    """A loss on the logits, as the outer loop sees it."""

    design: Design
    targets: Targets

    @property
    def width(self) -> int:
        """Classes in a block."""
        ...

    def evaluate(self, blocks: Indices, weights: Array, workers: int) -> Pass:
        """One pass over the rows at `weights` (B, n)."""
        ...

    def entropy(self, workers: int) -> Array:
        """(blocks,) the least loss that any student could have: that of the targets themselves."""
        ...


def add_product(residuals: Array, rows: Array, out: Array, first: bool) -> None:
    """out (C, K) += residuals (C, n) times rows (n, K), or = where this is the first product."""
    if first:
        np.matmul(residuals, rows, out=out)
    else:
        out += residuals @ rows


@dataclass
class Sigmoid:
    """Independent sigmoids with binary cross-entropy; a block is a class."""

    design: Design
    targets: Targets

    @property
    def width(self) -> int:
        """1: a class by itself."""
        return 1

    def entropy(self, workers: int) -> Array:
        """(C,) weighted mean of the binary entropy of the targets."""
        t = self.targets
        return t.mean_of(losses.binary_entropy, workers)

    def evaluate(self, blocks: Indices, weights: Array, workers: int) -> Pass:
        """One pass over the rows at `weights` (B, K+1): two products, the loss between them."""
        design, targets = self.design, self.targets
        C, K = len(weights), design.shape[1]
        dtype = design.dtype
        raw, offset = design.encode(weights[:, :K])
        raw = raw.astype(dtype)
        flat = not bool(raw.any())  # as at a cold start
        offset = (offset + weights[:, K]).astype(dtype)
        bias = weights[:, K].astype(dtype)
        count = len(design.groups)
        gradients = np.empty((count, C, K), dtype)
        shifts = np.empty((count, C, K), dtype)
        sums = np.zeros((count, C, 7))
        fused = C <= FEW and not design.explicit

        def work(group: int) -> None:
            if fused:
                gradients[group] = shifts[group] = 0
                low, high = design.groups[group][0][0], design.groups[group][-1][1]
                passes.sigmoid_rows(
                    design.X, low, high, raw, targets.T, targets.S, offset, bias, blocks, PART, flat,
                    gradients[group], shifts[group], sums[group],
                )  # fmt: skip
                return
            scratch: list[Array] = []
            for i, (low, high) in enumerate(design.groups[group]):
                rows = design.rows(low, high, scratch)
                n = high - low
                part = -(-n // PART)
                z = np.empty((C, n), dtype)
                v = np.empty((C, part), dtype)
                if flat:
                    z[:] = 0
                else:
                    np.matmul(raw, rows.T, out=z)
                losses.sigmoid_pass(
                    z, n, targets.T, low, targets.S, offset, bias, v, part, sums[group], blocks
                )
                add_product(z, rows, gradients[group], i == 0)
                add_product(v, rows[:part], shifts[group], i == 0)

        design.each_group(work, workers)
        total = np.ascontiguousarray(targets.total[blocks])
        add = sums.sum(0) / total[:, None]
        residual, kept = (add[:, i].copy() for i in (losses.RESIDUAL, losses.CURVATURE_PART))
        # p' = p - delta p (1 - p) on a part of the rows, so that its mean is the targets'.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            delta = np.where(residual == 0, 0.0, residual / kept)
        reach = np.where(np.isfinite(delta), np.abs(delta), 1.0)
        delta = np.where(reach <= 0.5, delta, 0.0)
        gradient = np.zeros((C, K + 1))
        dual = np.zeros_like(gradient)
        gradient[:, K] = residual
        units = design.units

        def assemble(part: slice) -> None:
            low, high = part.start, part.stop
            add_decoded(gradients, low, high, total, residual, *units, np.ones(C), gradient)
            dual[part, :K] = gradient[part, :K]
            add_decoded(shifts, low, high, total, kept, *units, -delta, dual)

        threads.run(assemble, threads.slices(C, CLASSES), workers)
        curvature = np.maximum(add[:, losses.CURVATURE], 1e-8)
        return Pass(
            add[:, losses.LOSS],
            gradient,
            curvature[:, None, None],
            dual,
            reach,
            kept * delta**2,
            add[:, losses.CHI2],
            add[:, [losses.CURVATURE, losses.RAY, losses.RAY2]],
        )


@dataclass
class Softmax:
    """A softmax over the classes with cross-entropy; all classes are one block."""

    design: Design
    targets: Targets

    @property
    def width(self) -> int:
        """C."""
        return len(self.targets.T)

    def entropy(self, workers: int) -> Array:
        """(1,) weighted mean of the entropy of the targets."""
        t = self.targets
        found = np.zeros(1)
        losses.entropies(t.T, t.S[0] if len(t.S) else np.empty(0, t.T.dtype), found)
        return found / t.total[:1]

    def evaluate(self, blocks: Indices, weights: Array, workers: int) -> Pass:
        """One pass over the rows at `weights` (1, C (K+1))."""
        design, targets = self.design, self.targets
        C, K = self.width, design.shape[1]
        dtype = design.dtype
        W = weights.reshape(C, K + 1)
        raw, offset = design.encode(W[:, :K])
        raw = raw.astype(dtype)
        flat = not bool(raw.any())  # as at a cold start
        offset = (offset + W[:, K]).astype(dtype)
        count = len(design.groups)
        gradients = np.empty((count, C, K), dtype)
        residuals = np.zeros((count, C))
        rays = np.zeros((count, 2 * C, 2 * C))
        seen = np.zeros(count)
        shift = offset - W[:, K].astype(dtype)
        fused = C <= FEW and not design.explicit
        sums = np.zeros((count, 2))
        # Of the rows that serve the dual point: those at the start of each chunk.
        chunks = [chunk for group in design.groups for chunk in group]
        edge = np.cumsum([0, *(-(-(high - low) // max(PART, 2)) for low, high in chunks)])
        place = {low: slice(a, b) for (low, _), a, b in zip(chunks, edge, edge[1:])}
        some = np.empty((C, edge[-1]), dtype)
        less = np.empty((C, edge[-1]), dtype)

        def work(group: int) -> None:
            scratch: list[Array] = []
            gradients[group] = 0
            for i, (low, high) in enumerate(design.groups[group]):
                rows = design.rows(low, high, scratch)
                n = high - low
                part = place[low].stop - place[low].start
                half = -(-n // 2)
                p = np.empty((C, half), dtype)
                mass = np.empty(half, dtype)
                if fused:
                    length = np.empty((C, half), dtype)
                    passes.softmax_rows(
                        design.X, low, high, raw, targets.T, targets.S, offset, shift, p, length, mass, half,
                        flat, gradients[group], residuals[group], sums[group],
                    )  # fmt: skip
                else:
                    z = np.zeros((C, n), dtype)
                    if not flat:
                        np.matmul(raw, rows.T, out=z)
                    length = z[:, :half] + shift[:, None]
                    losses.softmax_pass(
                        z, n, targets.T, low, targets.S, offset, p, mass, 0, half, residuals[group],
                        sums[group],
                    )  # fmt: skip
                    add_product(z, rows, gradients[group], i == 0)
                moments_along(p, length, mass, rays[group])
                seen[group] += mass.sum(dtype=np.float64)
                some[:, place[low]] = p[:, :part]
                np.multiply(p[:, :part], mass[:part], out=less[:, place[low]])

        design.each_group(work, workers)
        total = targets.total[0]
        loss, chi2 = sums.sum(0) / total
        residual = residuals.sum(0) / total
        M = np.zeros((C, C))  # over a part of the rows only
        for part in threads.slices(len(some.T), ADDED):
            M += np.diag(less[:, part].sum(1, dtype=np.float64)) - less[:, part] @ some[:, part].T
        M /= total
        gradient = np.zeros((C, K + 1))
        gradient[:, K] = residual
        mass, units = np.full(C, total), design.units
        add_decoded(gradients, 0, C, mass, residual, *units, np.ones(C), gradient)
        # p'_c = p_c (1 - delta_c + p.delta) on a part of the rows, so that its mean is the targets'.
        size, axes = np.linalg.eigh(M)
        along = np.where(size > 1e-5 * size[-1], size, np.inf)
        delta = axes @ ((axes.T @ residual) / along)
        reach = 2.0 * float(np.abs(delta).max())
        dual = np.zeros_like(gradient)
        second = 0.0
        if np.isfinite(reach) and reach <= 0.5:
            moved = np.empty((len(place), C, K), dtype)
            away = np.zeros(C)
            small = delta.astype(dtype)
            for part in threads.slices(len(some.T), ADDED):
                less[:, part] *= small[:, None] - small @ some[:, part]
                away += less[:, part].sum(1, dtype=np.float64)
            for i, (low, part) in enumerate(place.items()):
                np.matmul(less[:, part], design.rows(low, low + part.stop - part.start, []), out=moved[i])
            dual[:, :K] = gradient[:, :K]
            add_decoded(moved, 0, C, mass, away / total, *units, -np.ones(C), dual)
            second = float(delta @ M @ delta)
        else:
            reach = 1.0
        # Half of the rows stand for all of them.
        ray = rays.sum(0) / max(float(seen.sum()), 1e-300) * float(np.mean(targets.mean) * C)
        curvature = ray[:C, :C].copy()
        if not float(np.trace(curvature)) > 1e-12 or C == 1:
            curvature, ray = np.eye(C) * 1e-8, np.zeros(3 if C == 1 else (2 * C, 2 * C))
        one = np.atleast_1d
        return Pass(
            one(loss), gradient.reshape(1, -1), curvature[None], dual.reshape(1, -1),
            one(reach), one(second), one(chi2), ray.reshape(1, -1),
        )  # fmt: skip
