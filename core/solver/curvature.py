"""Second derivatives of a class by itself, where many weights are not zero.

Where p (1 - p) is large on few rows, as with few positives, those rows are summed exactly; the others, whose
curvature is small and even, count as their mean times the Gram matrix that all classes share.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.design import Design
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

ROWS = 1152  # summed exactly per class
DENSE = 0.25  # of the weights not zero: below that, corrections of the shared matrix cost less
AFTER = 6  # passes: what is far from the optimum has another curvature there
SLOW = 0.03  # of the objective: a class that still gains more by a pass needs none
MEMORY = 1 << 29  # bytes that all such matrices together may take


@dataclass
class Own:
    """Second derivatives of one class.

    Attributes
    ----------
    B : (K+1, K+1), intercept last
    pairs : corrections that the class has learnt since
    """

    B: Array
    pairs: int = 0


def wanted(weights: Array, n_iter: Indices, gain: Array, design: Design) -> NDArray[np.bool_]:
    """Which classes gain from their own second derivatives.

    Parameters
    ----------
    weights : (C, K+1)
    n_iter : (C,) passes so far
    gain : (C,) relative decrease of the objective by the last pass
    design : what they are fitted on
    """
    K1 = weights.shape[1]
    if len(weights) * K1 * K1 * design.X.itemsize > MEMORY:
        return np.zeros(len(weights), bool)
    dense = np.count_nonzero(weights, axis=1) > DENSE * K1
    return dense & (n_iter >= AFTER) & (gain < SLOW)


def build(design: Design, targets: Targets, classes: Indices, weights: Array, workers: int) -> list[Own]:
    """The second derivatives of some classes at weights (len(classes), K+1)."""
    v = variances(design, targets, classes, weights, workers)
    found: list[Own | None] = [None] * len(classes)
    design.gram()

    def work(i: int) -> None:
        found[i] = Own(second_derivatives(design, v[i]))

    threads.run(work, range(len(classes)), workers)
    return [o for o in found if o is not None]


def variances(design: Design, targets: Targets, classes: Indices, weights: Array, workers: int) -> Array:
    """(len(classes), N) s p (1 - p) over the sum of s."""
    raw, offset = design.encode(weights[:, :-1])
    raw = raw.astype(design.dtype)
    offset = (offset + weights[:, -1]).astype(design.dtype)
    out = np.empty((len(classes), design.shape[0]), design.dtype)

    def work(group: int) -> None:
        scratch: list[Array] = []
        for low, high in design.groups[group]:
            z = raw @ design.rows(low, high, scratch).T + offset[:, None]
            out[:, low:high] = 0.25 - 0.25 * np.tanh(0.5 * z) ** 2

    design.each_group(work, workers)
    if len(targets.S):
        out *= targets.S[classes] if len(targets.S) > 1 else targets.S
    out /= targets.total[classes, None]
    return out


def second_derivatives(design: Design, v: Array, rows: int = ROWS) -> Array:
    """(K+1, K+1) sum_n v_n z_n z_n^T of a class whose rows have curvature v (N,), the intercept last."""
    N, K = design.shape
    G = design.gram()
    rows = min(rows, N)
    chosen = np.sort(np.argpartition(v, N - rows)[N - rows :])
    top = v[chosen].astype(np.float64)
    rest = max(0.0, float(v.sum(dtype=np.float64)) - float(top.sum())) / max(N - rows, 1)
    Z = np.ones((rows, K + 1), G.dtype)
    np.multiply(design.X[chosen] - design.centre, design.multiplier, out=Z[:, :K], casting="same_kind")
    Z *= np.sqrt(np.maximum(top - rest, 0.0))[:, None].astype(G.dtype)
    B = Z.T @ Z
    B += G * G.dtype.type(rest * N)
    return B
