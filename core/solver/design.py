"""The rows of a fit: standardisation, the shared Gram matrix, and passes over the data.

Columns are never copied in standardised form where implicit centring is accurate: with z = (x - m) / d,
a weight v on z is the weight v / d on x and an offset -m.v/d, and the gradient comes back by the same rule.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.copies import every, transposed
from inficond.core.solver.kernels.losses import moments
from inficond.core.solver.kernels.passes import BLOCK

Array = NDArray[np.floating]

GRAM_ROWS = 2048  # enough rows for the shape of the curvature; what they miss, the corrections learn
GROUPS = 16  # fixed, so that sums are added in the same order whatever the number of threads
EVEN = 4  # a multiple of which their number is
CHUNK_BYTES = 1 << 21  # rows read together: they stay in the cache between the two products of a pass
HALVED = 2  # times that the Gram matrix is cut for its symmetry
MEASURED = 128  # columns that one thread takes the mean of at a time
COLUMN_BYTES = 1 << 28  # of rows that are also kept column by column
FAR_FROM_ZERO = 64.0  # |mean| / spread from which implicit centring would lose too many digits


@dataclass
class Design:
    """Concept vectors X (N, K) with their standardisation; what fits on the same rows share.

    Attributes
    ----------
    X : (N, K) float32 or float64, C-contiguous; may be memory-mapped
    mean, scale : (K,) float64, of the standardised units in which users see weights
    centre, spread : (K,) float64, of the units in which the solver works
    multiplier : (K,) float64, 1 / spread, and 0 for constant columns
    source, seal : the array that the user gave, and a checksum of some of its rows
    precise : whether passes compute in float64 though X is float32
    grams : Gram matrices by their number of rows
    """

    X: Array
    mean: Array
    scale: Array
    centre: Array
    spread: Array
    multiplier: Array
    source: Any = field(default=None, repr=False)
    seal: int = 0
    precise: bool = False
    grams: dict[int, Array] = field(default_factory=dict, repr=False)

    @classmethod
    def build(
        cls, source: Any, X: Array, standardize: bool, mean: Array | None, scale: Array | None, workers: int
    ) -> "Design":
        """Measure the columns; `mean` and `scale` (K,) are used instead where they are given.

        Raises
        ------
        ValueError
            If X holds NaN or infinity (the first is named).
        """
        K = X.shape[1]
        centre, spread = column_moments(X, workers)
        constant = spread <= 1e-6 * np.abs(centre)
        centre = np.where(constant, np.asarray(X[0], np.float64), centre)
        spread = np.where(constant, 1.0, spread)
        if not standardize:
            mean, scale = np.zeros(K), np.ones(K)
        elif mean is None or scale is None:
            mean, scale = centre, spread
        multiplier = np.where(constant, 0.0, 1.0 / spread)
        return cls(X, mean, scale, centre, spread, multiplier, source, fingerprint(X))

    def about(self, source: Any, X: Array) -> bool:
        """Whether this is the design of the rows X, made of `source`: the same memory, unchanged as far as
        a few rows tell."""
        same = (
            source is self.source or _memory(source) == _memory(self.source) or _memory(X) == _memory(self.X)
        )
        return same and X.shape == self.X.shape and X.dtype == self.X.dtype and fingerprint(X) == self.seal

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)."""
        return self.X.shape[0], self.X.shape[1]

    def in_double(self) -> "Design":
        """The same rows, whose passes compute in float64, chunk by chunk."""
        return replace(self, precise=True)

    @cached_property
    def ratio(self) -> Array:
        """(K,) user's weight = ratio x solver's weight."""
        return np.where(self.multiplier > 0, self.scale / self.spread, 1.0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """In which passes compute."""
        return np.dtype(np.float64) if self.precise else self.X.dtype

    @cached_property
    def explicit(self) -> bool:
        """Whether chunks are centred one by one before the products."""
        return self.precise or bool(np.any(np.abs(self.centre) * self.multiplier > FAR_FROM_ZERO))

    @cached_property
    def amplification(self) -> Array:
        """(K,) how much larger the raw column is than its spread: what rounding is multiplied by."""
        return np.ones(self.shape[1]) if self.explicit else 1.0 + np.abs(self.centre) * self.multiplier

    @cached_property
    def chunk(self) -> int:
        """Rows per chunk."""
        return int(np.clip(CHUNK_BYTES // (self.X.itemsize * self.shape[1]), 64, 2048))

    @cached_property
    def groups(self) -> list[list[tuple[int, int]]]:
        """Row ranges, in groups that one thread works through, as even as may be for two threads or four."""
        N = self.shape[0]
        unit = min(BLOCK, self.chunk)
        units = -(-N // unit)
        count = -(-units // (self.chunk // unit))
        even = GROUPS if count > GROUPS else EVEN
        if units >= 2 * EVEN:
            count = min(units, -(-count // even) * even)
        edges = [min(N, round(i * units / count) * unit) for i in range(count + 1)]
        chunks = list(pairwise(edges))
        share = -(-count // GROUPS)
        return [chunks[i : i + share] for i in range(0, count, share)]

    def rows(self, low: int, high: int, scratch: list[Array]) -> Array:
        """The rows low to high, centred and scaled where that must be explicit."""
        X = np.asarray(self.X[low:high])
        if not self.explicit:
            return X
        if not scratch:
            scratch.append(np.empty((self.chunk, X.shape[1]), self.dtype))
        out = scratch[0][: high - low]
        # In float64 until the difference is formed, for that is where the digits go.
        np.multiply(X - self.centre, self.multiplier, out=out, casting="same_kind")
        return out

    def encode(self, weights: Array) -> tuple[Array, Array]:
        """Solver's weights (C, K) as multipliers of the rows (C, K) and offsets (C,)."""
        if self.explicit:
            return weights, np.zeros(len(weights))
        raw = weights * self.multiplier
        return raw, -(raw @ self.centre)

    @cached_property
    def units(self) -> tuple[Array, Array]:
        """(K,) and (K,): by what `kernels.sums` decodes products with the rows; the inverse of `encode`."""
        if self.explicit:
            return np.zeros(self.shape[1]), np.ones(self.shape[1])
        return self.centre, self.multiplier

    @property
    def nbytes(self) -> int:
        """Memory of what was made of the rows, not counting those themselves."""
        by_column = self.__dict__.get("columns")
        return sum(g.nbytes for g in self.grams.values()) + (0 if by_column is None else by_column.nbytes)

    @property
    def gram_rows(self) -> int:
        """Rows that the Gram matrix is of, at most."""
        return max(GRAM_ROWS, 2 * self.shape[1])

    def gram(self, workers: int = 1) -> Array:
        """(K+1, K+1) mean of z z^T over at most `gram_rows` even rows, the intercept's entry last."""
        N, K = self.shape
        limit = self.gram_rows
        if limit not in self.grams:
            step = -(-N // limit)
            X = every(self.X, step, workers)
            G = np.zeros((K + 1, K + 1), X.dtype)
            m = self.multiplier
            if self.explicit:
                Z = ((X - self.centre) * m).astype(X.dtype)
                G[:K, :K] = Z.T @ Z / len(Z)
            else:
                # About the sample's own mean, so that the matrix stays positive semi-definite.
                covariance(X, m.astype(X.dtype), workers, G[:K, :K])
            G[K, K] = 1.0
            # Every direction keeps some curvature: rounding must not make it negative.
            diagonal = np.einsum("ii->i", G)
            diagonal[:K] = np.maximum(diagonal[:K], 1e-4)
            self.grams[limit] = G
        return self.grams[limit]

    def sample(self, step: int, workers: int) -> "Design":
        """Every `step`-th row, in the same units and with the same Gram matrix."""
        rows, grams = every(self.X, step, workers), {self.gram_rows: self.gram(workers)}
        return replace(self, X=rows, source=rows, seal=fingerprint(rows), grams=grams)

    @cached_property
    def columns(self) -> Array | None:
        """(K, N) the raw rows transposed, for a class that needs few of them; None where that is too much.

        Not of memory maps, whose rows are more than what memory should hold.
        """
        if self.explicit or self.X.nbytes > COLUMN_BYTES or mapped(self.X):
            return None
        return transposed(self.X, self.X.dtype)

    def each_group(self, task: Callable[[int], None], workers: int) -> None:
        """Call `task` on the number of every group of rows, `workers` at a time."""
        threads.run(task, range(len(self.groups)), workers)


def inward(design: Design, weights: Array, bias: Array) -> Array:
    """User's weights (C, K) and bias (C,) in solver's units, (C, K+1)."""
    out = np.empty((len(weights), weights.shape[1] + 1))
    out[:, :-1] = weights / design.ratio
    out[:, -1] = bias + (weights / design.scale) @ (design.centre - design.mean)
    return out


def outward(design: Design, weights: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Solver's weights (C, K+1) in user's units, (C, K) and (C,); bounds hold exactly."""
    w = np.clip(weights[:, :-1] * design.ratio, lower, upper) + 0.0  # no negative zero
    return w, weights[:, -1] - (w / design.scale) @ (design.centre - design.mean)


def covariance(X: Array, multiplier: Array, workers: int, out: Array) -> None:
    """out (K, K) = that of the columns of X times `multiplier` (K,).

    One of each two blocks off the diagonal is worked out; those on it cost half by their symmetry.
    """
    N, K = X.shape
    mean = np.empty(K, X.dtype)

    def measure(part: slice) -> None:
        mean[part] = X[:, part].mean(0, dtype=np.float64)

    threads.run(measure, threads.slices(K, MEASURED), workers)
    blocks: list[tuple[slice, slice]] = []

    def divide(low: int, high: int, depth: int) -> None:
        if depth == 0:
            blocks.append((slice(low, high), slice(low, high)))
            return
        middle = (low + high) // 2
        blocks.append((slice(low, middle), slice(middle, high)))
        divide(low, middle, depth - 1)
        divide(middle, high, depth - 1)

    def multiply(block: tuple[slice, slice]) -> None:
        rows, columns = block
        product = X[:, rows].T @ X[:, columns]
        product /= N
        product -= mean[rows, None] * mean[columns]
        product *= multiplier[rows, None] * multiplier[columns]
        out[block] = product
        if rows != columns:
            out[columns, rows] = product.T

    divide(0, K, HALVED if K >= 64 else 0)
    threads.run(multiply, sorted(blocks, key=lambda block: block[0] == block[1]), workers)


def mapped(X: Array) -> bool:
    """Whether an array lies in a file that is mapped into memory."""
    at: Any = X
    while isinstance(at, np.ndarray):
        if isinstance(at, np.memmap):
            return True
        at = at.base
    return False


def fingerprint(X: Array) -> int:
    """A checksum of a few rows: tells most changes of an array in place, at no cost."""
    return zlib.crc32(np.ascontiguousarray(X[:: max(1, len(X) // 16)]).tobytes())


def _memory(X: Any) -> tuple[Any, ...]:
    """Where an array lies; what is no array lies nowhere."""
    if not isinstance(X, np.ndarray):
        return (object(),)
    return X.__array_interface__["data"][0], X.shape, X.strides, X.dtype.str


def column_moments(X: Array, workers: int) -> tuple[Array, Array]:
    """Mean and standard deviation of each column, (K,) each, in float64.

    Raises
    ------
    ValueError
        If X holds NaN or infinity.
    """
    N, K = X.shape
    step = max(1, (1 << 22) // max(1, K * X.itemsize))
    edges = [*range(0, N, step), N]
    parts = np.zeros((len(edges) - 1, 2, K))

    def measure(i: int) -> None:
        moments(X, edges[i], edges[i + 1], parts[i, 0], parts[i, 1])

    threads.run(measure, range(len(edges) - 1), workers)
    total, squares = parts.sum(0) / N
    if not np.all(np.isfinite(squares)):
        _refuse(X, edges)
        raise ValueError(
            "X holds values too large to standardise (above 1e18 in float32); rescale its columns"
        )
    mean = np.asarray(X[0], np.float64) + total
    return mean, np.sqrt(np.maximum(squares - total * total, 0.0))


def _refuse(X: Array, edges: list[int]) -> None:
    """Name the first entry of X that is not finite, if there is one."""
    for low, high in pairwise(edges):
        bad = np.argwhere(~np.isfinite(X[low:high]))
        if len(bad):
            i, k = bad[0]
            raise ValueError(f"X must be finite: X[{low + i}, {k}] is {X[low + i, k]}")
