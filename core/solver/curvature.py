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

ROWS = 640  # summed exactly per class
DENSE = 0.25  # of the weights not zero: below that, corrections of the shared matrix cost less
AFTER = 6  # passes: what is far from the optimum has another curvature there
SLOW = 0.03  # of the objective: a class that still gains more by a pass needs none
NEGLIGIBLE = 1e-3  # share of the largest below which a direction of a softmax is left as it is
SAME = 0.02  # relative change of a second derivative that is not worth a correction
MEMORY = 1 << 29  # bytes that all such matrices together may take


@dataclass
class Own:
    """Second derivatives of one class.

    Attributes
    ----------
    B : (K+1, K+1), intercept last
    GS : (memory, K+1) B times the changes of weights in the model's ring buffer that are newer
    pairs : how many they are
    """

    B: Array
    GS: Array
    pairs: int = 0

    def scale(self, mean: float) -> float:
        """By which to multiply B where the mean second derivative by the logits is now `mean`."""
        return mean / float(self.B[-1, -1])

    def learn(self, at: int, S: Array) -> None:
        """Note that the change of weights S[at] is new."""
        self.GS[at] = self.B @ S[at]
        self.pairs += 1


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


def build(
    design: Design, targets: Targets, classes: Indices, weights: Array, workers: int, memory: int
) -> list[Own]:
    """The second derivatives of some classes at weights (len(classes), K+1), for `memory` corrections."""
    v = variances(design, targets, classes, weights, workers)
    found: list[Own | None] = [None] * len(classes)
    none = np.zeros((memory, weights.shape[1]), design.gram().dtype)
    design.gram()

    def work(i: int) -> None:
        found[i] = Own(second_derivatives(design, v[i]), none.copy())

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
    Z[:, :K] = design.X[chosen]
    Z[:, :K] -= design.centre.astype(G.dtype)
    Z[:, :K] *= design.multiplier.astype(G.dtype)
    Z *= np.sqrt(np.maximum(top - rest, 0.0))[:, None].astype(G.dtype)
    B = Z.T @ Z
    B += G * G.dtype.type(rest * N)
    return B


def lengths(G: Array, M: Array, ray: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Corrections that give a softmax's model its second derivatives by intercepts and weights' lengths.

    As `kernels.descent.along_ray`, for C classes at once: D holds each class's intercept and its weights, 2 C
    directions; with P = M (x) G and H = D^T (second derivatives of the loss) D, from the rows,

        P + P D C D^T P,     C = (D^T P D)^+ (H - D^T P D) (D^T P D)^+.

    Parameters
    ----------
    G : (K+1, K+1) shared Gram matrix
    M : (C, C) its multipliers
    ray : (4 C^2,) H, intercepts first; all zero where it is not known
    weights : (C (K+1),) at which it was taken

    Returns
    -------
    mix (2 C, r), their signs (r,), and GW (C, K+1), G times the weights: `written_out` tells what they mean
    """
    C, K1 = len(M), len(G)
    H = ray.reshape(2 * C, 2 * C)
    W = weights.reshape(C, K1)[:, :-1].astype(G.dtype)
    GW = np.zeros((C, K1), G.dtype)
    np.matmul(W, G[:-1, :-1], out=GW[:, :-1])
    P = np.zeros((2 * C, 2 * C))
    P[:C, :C] = M
    P[C:, C:] = M * (GW[:, :-1] @ W.T)
    size, axes = np.linalg.eigh(P)
    keep = size > NEGLIGIBLE * size[-1]
    if not H.any() or not keep.any():
        return np.zeros((2 * C, 0), G.dtype), np.zeros(0, G.dtype), GW
    D = axes[:, keep] / np.sqrt(size[keep])
    ratio, V = np.linalg.eigh(D.T @ H @ D - np.eye(D.shape[1]))
    keep = np.abs(ratio) > SAME
    mix = ((D @ V[:, keep]) * np.sqrt(np.abs(ratio[keep]))).astype(G.dtype)  # (2C, r)
    return np.ascontiguousarray(mix), np.sign(ratio[keep]).astype(G.dtype), GW


def written_out(M: Array, mix: Array, GW: Array) -> Array:
    """(r, C (K+1)) the corrections of `lengths` as vectors over all coordinates."""
    C, K1 = GW.shape
    narrow = M.astype(GW.dtype)
    U = ((mix[C:].T[:, None, :] * narrow).reshape(-1, C) @ GW).reshape(-1, C, K1)
    U[:, :, -1] += mix[:C].T @ narrow
    return U.reshape(len(U), C * K1)
