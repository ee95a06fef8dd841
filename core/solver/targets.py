"""Targets and sample weights in the layout of the passes: one contiguous row per class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.copies import transposed

Array = NDArray[np.floating]
ENTRIES_PER_TASK = 1 << 16


@dataclass
class Targets:
    """Soft targets with their sample weights.

    Attributes
    ----------
    T : (C, N) in the precision of the rows
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
        cls, T: Array, sample_weight: Array | None, dtype: Any, joint: bool = False, workers: int = 1
    ) -> "Targets":
        """Transpose valid targets and weights.

        Parameters
        ----------
        T : (N, C)
        sample_weight : (N,) or (N, C), None for equal weights
        dtype : of the result
        joint : whether all classes share one loss (softmax); weights per class then multiply the targets, in
            which the cross-entropy is linear
        workers : number of threads

        Raises
        ------
        ValueError
            If every weighted target is 0.
        """
        N, C = T.shape
        rows = transposed(T, dtype, workers)
        if sample_weight is None:
            return cls(rows, np.empty((0, N), dtype), np.full(C, float(N)), rows.mean(1, dtype=np.float64))
        sample_weight = _representable(sample_weight)
        if joint and sample_weight.ndim == 2:
            before = T.sum(1, dtype=np.float64)
            rows = np.ascontiguousarray((T * sample_weight).T, dtype=dtype)
            after = rows.sum(0, dtype=np.float64)
            total_weight = float(np.divide(after, before, out=np.zeros_like(after), where=before > 0).sum())
            if not total_weight > 0:
                raise ValueError(
                    "sample_weight must be positive for some class where T is positive: all products are 0"
                )
            total, mean = np.full(C, total_weight), rows.sum(1, dtype=np.float64) / total_weight
            return cls(rows, np.empty((0, N), dtype), total, mean)
        weights = np.array(np.atleast_2d(sample_weight.T), dtype, order="C")
        if len(weights) == 1 and np.all(weights == 1):
            return cls.build(T, None, dtype, workers=workers)
        total = np.broadcast_to(weights.sum(1, dtype=np.float64), (C,)).copy()
        return cls(rows, weights, total, _weighted_mean(rows, weights, total))

    def select(self, classes: NDArray[np.int64]) -> "Targets":
        """Return the targets of some classes."""
        S = self.S[classes] if len(self.S) > 1 else self.S
        return Targets(self.T[classes], S, self.total[classes], self.mean[classes])

    def as_float64(self) -> "Targets":
        """Return the same targets in float64."""
        return Targets(self.T.astype(np.float64), self.S.astype(np.float64), self.total, self.mean)

    def sample(self, step: int) -> "Targets | None":
        """Return the targets of every `step`-th row, or None if a class has no weight there."""
        T = np.ascontiguousarray(self.T[:, ::step])
        S = np.ascontiguousarray(self.S[:, ::step])
        C, N = T.shape
        if not len(S):
            return Targets(T, S, np.full(C, float(N)), T.mean(1, dtype=np.float64))
        total = np.broadcast_to(S.sum(1, dtype=np.float64), (C,)).copy()
        if np.any(total <= 0):
            return None
        return Targets(T, S, total, _weighted_mean(T, S, total))

    def equals(self, other: "Targets") -> bool:
        """Whether targets and weights are equal, entry by entry."""
        return (
            self.T.dtype == other.T.dtype
            and self.S.shape == other.S.shape
            and np.array_equal(self.T, other.T)
            and np.array_equal(self.S, other.S)
        )

    def mean_of(self, function: Callable[[Array, Array], None], workers: int = 1) -> Array:
        """Return the weighted mean (C,) of a function of the targets, which writes its second argument."""
        out = np.empty(len(self.T))

        def add(part: slice) -> None:
            value = np.empty_like(self.T[part])
            function(self.T[part].reshape(-1), value.reshape(-1))
            if len(self.S):
                value *= self.S[part] if len(self.S) > 1 else self.S
            out[part] = np.sum(value, axis=1, dtype=np.float64) / self.total[part]

        per_task = max(1, ENTRIES_PER_TASK // self.T.shape[1])
        threads.run(add, threads.slices(len(self.T), per_task), workers)
        return out


def _weighted_mean(T: Array, S: Array, total: Array) -> Array:
    return np.einsum("cn,cn->c", np.broadcast_to(S, T.shape), T, dtype=np.float64) / total


def _representable(sample_weight: Array) -> Array:
    """Return the weights times a power of two that brings the largest of each class into float32 range.

    The objective does not depend on the scale of the weights.
    """
    largest = sample_weight.max(axis=0).astype(np.float64)
    if np.all((largest < 1e20) & (largest > 1e-20)):
        return sample_weight
    return np.ldexp(np.asarray(sample_weight, np.float64), -np.frexp(largest)[1])
