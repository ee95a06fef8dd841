"""Targets and sample weights as the passes want them: one contiguous row per class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.copies import transposed

Array = NDArray[np.floating]
TOGETHER = 1 << 16  # entries that one thread sums at a time


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
    def build(
        cls, T: Array, sample_weight: Array | None, dtype: Any, softmax: bool = False, workers: int = 1
    ) -> "Targets":
        """Transpose T (N, C) and sample_weight (N,) or (N, C), both checked before."""
        N, C = T.shape
        rows = transposed(T, dtype, workers)
        if sample_weight is None:
            return cls(rows, np.empty((0, N), dtype), np.full(C, float(N)), rows.mean(1, dtype=np.float64))
        if softmax and np.ndim(sample_weight) == 2:
            # Cross-entropy is linear in the targets, so weights per class are a factor of theirs.
            whole = T.sum(1, dtype=np.float64)
            rows = np.ascontiguousarray((T * sample_weight).T, dtype=dtype)
            mass = rows.sum(0, dtype=np.float64)
            all_of_it = float(np.divide(mass, whole, out=np.zeros_like(mass), where=whole > 0).sum())
            if not all_of_it > 0:
                raise ValueError(
                    "sample_weight must be positive for some class where T is: all products are 0"
                )
            return cls(
                rows,
                np.empty((0, N), dtype),
                np.full(C, all_of_it),
                rows.sum(1, dtype=np.float64) / all_of_it,
            )
        weights = np.array(np.atleast_2d(np.asarray(sample_weight).T), dtype, order="C")
        if len(weights) == 1 and np.all(weights == 1):
            return cls.build(T, None, dtype, workers=workers)
        total = np.broadcast_to(weights.sum(1, dtype=np.float64), (C,)).copy()
        mean = np.einsum("cn,cn->c", np.broadcast_to(weights, rows.shape), rows, dtype=np.float64) / total
        return cls(rows, weights, total, mean)

    def select(self, classes: NDArray[np.int64]) -> "Targets":
        """The targets of some classes."""
        S = self.S[classes] if len(self.S) > 1 else self.S
        return Targets(self.T[classes], S, self.total[classes], self.mean[classes])

    def in_double(self) -> "Targets":
        """The same in float64."""
        return Targets(self.T.astype(np.float64), self.S.astype(np.float64), self.total, self.mean)

    def sample(self, step: int) -> "Targets | None":
        """Those of every `step`-th row, or None where a class would be left without weight."""
        T = np.ascontiguousarray(self.T[:, ::step])
        S = np.ascontiguousarray(self.S[:, ::step])
        C, N = T.shape
        if not len(S):
            return Targets(T, S, np.full(C, float(N)), T.mean(1, dtype=np.float64))
        total = np.broadcast_to(S.sum(1, dtype=np.float64), (C,)).copy()
        if np.any(total <= 0):
            return None
        return Targets(
            T, S, total, np.einsum("cn,cn->c", np.broadcast_to(S, T.shape), T, dtype=np.float64) / total
        )

    def same(self, other: "Targets") -> bool:
        """Whether targets and weights are equal, entry by entry."""
        return (
            self.T.dtype == other.T.dtype
            and self.S.shape == other.S.shape
            and np.array_equal(self.T, other.T)
            and np.array_equal(self.S, other.S)
        )

    def mean_of(self, function: Callable[[Array, Array], None], workers: int = 1) -> Array:
        """(C,) weighted mean of a function of the targets; it fills its second argument."""
        out = np.empty(len(self.T))

        def add(part: slice) -> None:
            value = np.empty_like(self.T[part])
            function(self.T[part].reshape(-1), value.reshape(-1))
            if len(self.S):
                value *= self.S[part] if len(self.S) > 1 else self.S
            out[part] = np.sum(value, axis=1, dtype=np.float64) / self.total[part]

        threads.run(add, threads.slices(len(self.T), max(1, TOGETHER // self.T.shape[1])), workers)
        return out
