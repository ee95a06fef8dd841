"""Instances of the solver benchmark: concept-like matrices and soft targets, generated from a seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Instance:
    """One problem of the benchmark.

    Attributes
    ----------
    name, title : short and long name
    N, K, C : images, concepts, classes
    lam : penalty on standardized columns
    link : "sigmoid" or "softmax"
    """

    name: str
    title: str
    N: int
    K: int
    C: int
    lam: float
    link: str = "sigmoid"

    def make(self, seed: int = 0) -> tuple[Array, Array]:
        """Generate X (N, K) and T (N, C).

        X is non-negative and of low rank plus noise, like cosines of images and words. T is the soft response
        of a teacher that depends on 25 concepts per class and on noise, with 2 to 10 % positives (softmax:
        rows sum to 1).
        """
        rng = np.random.default_rng(seed)
        rank = 40
        scores = rng.normal(size=(self.N, rank)).astype(np.float32)
        loads = rng.normal(size=(rank, self.K)).astype(np.float32) * np.float32(0.6 / np.sqrt(rank))
        X = scores @ loads
        X += np.asarray(rng.normal(size=X.shape), np.float32) * np.float32(0.5)
        X = np.maximum(0.18 + 0.045 * X, 0).astype(np.float32)
        Z = (X - X.mean(0)) / X.std(0)
        W = np.zeros((self.C, self.K), np.float32)
        rate = np.empty(self.C)
        for c in range(self.C):
            W[c, rng.choice(self.K, 25, replace=False)] = rng.normal(size=25) * 0.8
        E = Z @ W.T + rng.normal(size=(self.N, self.C)).astype(np.float32)
        if self.link == "softmax":
            P = np.exp(E - E.max(1, keepdims=True))
            return X, (P / P.sum(1, keepdims=True)).astype(np.float32)
        rate = rng.uniform(0.02, 0.10, self.C)
        T = np.empty((self.N, self.C), np.float32)
        for c in range(self.C):
            low, high = -60.0, 60.0
            for _ in range(50):
                shift = (low + high) / 2
                mean = float((1 / (1 + np.exp(-(1.5 * E[:, c] + shift)))).mean())
                low, high = (low, shift) if mean > rate[c] else (shift, high)
            T[:, c] = 1 / (1 + np.exp(-(1.5 * E[:, c] + low)))
        return X, T


INSTANCES = {
    i.name: i
    for i in (
        Instance("a", "(a) N=5,000 K=584 C=20", 5_000, 584, 20, 2.5e-3),
        Instance("b", "(b) N=50,000 K=584 C=20", 50_000, 584, 20, 2.5e-3),
        Instance("c", "(c) N=10,000 K=584 C=200", 10_000, 584, 200, 2.5e-3),
        Instance("dense", "(a) dense, lambda=1e-4", 5_000, 584, 20, 1e-4),
        Instance("softmax", "softmax, N=5,000 C=20", 5_000, 584, 20, 2.5e-3, "softmax"),
    )
}
FEW_ROWS = Instance("few", "softmax, N=600 K=70 C=10", 600, 70, 10, 2.5e-3, "softmax")
"""As many rows and columns as a project of class folders."""


def objective(instance: Instance, X: Array, T: Array, weights: Array, bias: Array) -> Array:
    """Return the objective (C,), or (1,) for softmax, in float64 at standardized weights (C, K)."""
    mean, scale = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
    raw = weights.astype(np.float64) / scale
    offset = bias.astype(np.float64) - raw @ mean
    C = len(raw)
    total = np.zeros(C if instance.link == "sigmoid" else 1)
    for low in range(0, instance.N, 4096):
        E = X[low : low + 4096] @ raw.T + offset
        t = T[low : low + 4096]
        if instance.link == "sigmoid":
            total += (np.logaddexp(0, E) - t * E).sum(0)
        else:
            top = E.max(1, keepdims=True)
            total += ((np.log(np.exp(E - top).sum(1)) + top[:, 0]) * t.sum(1) - (t * E).sum(1)).sum()
    penalty = instance.lam * np.abs(weights).sum(1, dtype=np.float64)
    return total / instance.N + (penalty if instance.link == "sigmoid" else penalty.sum())
