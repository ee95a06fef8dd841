"""Targets and sample weights as the passes want them: one contiguous row per class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass
class Targets:
    """Soft targets with their weights.

    Attributes
    ----------
    T : (C, N) in the data's precision
    S : (0, N) unweighted, (1, N) per row, or (C, N) per row and class
    total : (C,) float64, sum of the weights of each class
    mean : (C,) float64, weighted mean of the targets
    """

    T: Array
    S: Array
    total: Array
    mean: Array

    @classmethod
    def build(cls, T: Array, sample_weight: Array | None, dtype: np.dtype) -> "Targets":
        """Transpose T (N, C) and sample_weight (N,) or (N, C), both checked before."""
        N, C = T.shape
        rows = np.ascontiguousarray(T.T, dtype=dtype)
        if sample_weight is None:
            return cls(rows, np.empty((0, N), dtype), np.full(C, float(N)), rows.mean(1, dtype=np.float64))
        weights = np.ascontiguousarray(np.atleast_2d(np.asarray(sample_weight).T), dtype=dtype)
        if len(weights) == 1 and np.all(weights == 1):
            return cls.build(T, None, dtype)
        total = np.broadcast_to(weights.sum(1, dtype=np.float64), (C,)).copy()
        mean = np.einsum("cn,cn->c", np.broadcast_to(weights, rows.shape), rows, dtype=np.float64) / total
        return cls(rows, weights, total, mean)

    def select(self, classes: NDArray[np.int64]) -> "Targets":
        """The targets of some classes."""
        S = self.S[classes] if len(self.S) > 1 else self.S
        return Targets(self.T[classes], S, self.total[classes], self.mean[classes])

    def same(self, other: "Targets") -> bool:
        """Whether targets and weights are equal, entry by entry."""
        return (
            self.T.dtype == other.T.dtype
            and self.S.shape == other.S.shape
            and np.array_equal(self.T, other.T)
            and np.array_equal(self.S, other.S)
        )

    def entropy(self) -> Array:
        """(C,) weighted mean of the binary entropy of the targets: no student's loss is below it."""
        C = len(self.T)
        out = np.empty(C)
        for c in range(C):
            t = self.T[c].astype(np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                h = -np.where(t > 0, t * np.log(t), 0.0) - np.where(t < 1, (1 - t) * np.log1p(-t), 0.0)
            if len(self.S):
                h = h * self.S[min(c, len(self.S) - 1)]
            out[c] = h.sum() / self.total[c]
        return out
