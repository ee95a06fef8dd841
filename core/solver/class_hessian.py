"""Hessian of one class by itself, for classes with many non-zero weights.

The rows with the largest p (1 - p) are summed exactly, which matters with few positives. The curvature of the
other rows is small and even, so they count as their mean times the Gram matrix that all classes share.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.design import Design
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

EXACT_ROWS = 640  # summed exactly per class
MIN_DENSITY = 0.25  # share of non-zero weights below which BFGS corrections cost less
MIN_PASSES = 6  # far from the optimum the curvature is different
MAX_GAIN = 0.03  # relative decrease per pass above which a class converges fast enough without
MAX_BYTES = 1 << 29  # of all class Hessians together


@dataclass
class ClassHessian:
    """Hessian model of one class, with BFGS pairs since it was built.

    Attributes
    ----------
    B : (K+1, K+1), the intercept last
    BS : (memory, K+1) ring buffer: B times the changes of weights that are newer than B
    pairs : number of these changes
    """

    B: Array
    BS: Array
    pairs: int = 0

    def scale(self, curvature: float) -> float:
        """Return the multiplier of B for the current mean second derivative by the logits."""
        own = float(self.B[-1, -1])  # 0 if every probability is 0 or 1 to rounding
        return curvature / own if own > 0 else 1.0

    def append_pair(self, position: int, S: Array) -> None:
        """Add the change of weights S[position]."""
        self.BS[position] = self.B @ S[position]
        self.pairs += 1


def is_worthwhile(weights: Array, n_iter: Indices, gain: Array, design: Design) -> NDArray[np.bool_]:
    """Whether each class is expected to gain from its own Hessian, (C,).

    Parameters
    ----------
    weights : (C, K+1)
    n_iter : (C,) passes so far
    gain : (C,) relative decrease of the objective by the last pass
    design : the rows
    """
    K1 = weights.shape[1]
    if len(weights) * K1 * K1 * design.X.itemsize > MAX_BYTES:
        return np.zeros(len(weights), bool)
    dense = np.count_nonzero(weights, axis=1) > MIN_DENSITY * K1
    return dense & (n_iter >= MIN_PASSES) & (gain < MAX_GAIN)


def build(
    design: Design, targets: Targets, classes: Indices, weights: Array, workers: int, memory: int
) -> list[ClassHessian]:
    """Build the Hessians of some classes at weights (len(classes), K+1), with room for `memory` pairs."""
    v = variances(design, targets, classes, weights, workers)
    G = design.gram()
    BS = np.zeros((memory, weights.shape[1]), G.dtype)
    built: list[ClassHessian | None] = [None] * len(classes)

    def work(i: int) -> None:
        built[i] = ClassHessian(hessian(design, v[i]), BS.copy())

    threads.run(work, range(len(classes)), workers)
    return [one for one in built if one is not None]


def variances(design: Design, targets: Targets, classes: Indices, weights: Array, workers: int) -> Array:
    """Return s p (1 - p) / sum(s), (len(classes), N)."""
    raw, offset = design.raw_weights(weights[:, :-1])
    raw = raw.astype(design.dtype)
    offset = (offset + weights[:, -1]).astype(design.dtype)
    out = np.empty((len(classes), design.shape[0]), design.dtype)

    def work(group: int) -> None:
        scratch: list[Array] = []
        for low, high in design.groups[group]:
            z = raw @ design.rows(low, high, scratch).T + offset[:, None]
            out[:, low:high] = 0.25 - 0.25 * np.tanh(0.5 * z) ** 2

    design.for_each_group(work, workers)
    if len(targets.S):
        out *= targets.S[classes] if len(targets.S) > 1 else targets.S
    out /= targets.total[classes, None]
    return out


def hessian(design: Design, v: Array, exact_rows: int = EXACT_ROWS) -> Array:
    """Return sum_n v_n z_n z_n^T, (K+1, K+1), the intercept last, for variances v (N,)."""
    N, K = design.shape
    G = design.gram()
    exact_rows = min(exact_rows, N)
    chosen = np.sort(np.argpartition(v, N - exact_rows)[N - exact_rows :])
    largest = v[chosen].astype(np.float64)
    remaining = max(0.0, float(v.sum(dtype=np.float64)) - float(largest.sum())) / max(N - exact_rows, 1)
    Z = np.ones((exact_rows, K + 1), G.dtype)
    Z[:, :K] = design.X[chosen]
    Z[:, :K] -= design.centre.astype(G.dtype)
    Z[:, :K] *= design.multiplier.astype(G.dtype)
    Z *= np.sqrt(np.maximum(largest - remaining, 0.0))[:, None].astype(G.dtype)
    B = Z.T @ Z
    B += G * G.dtype.type(remaining * N)
    return B
