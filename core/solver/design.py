"""Design matrix: rows, standardization and the Gram matrix that all classes share.

Standardized columns are not stored. With z = (x - m) / d, a weight v on z is the weight v / d on x plus an
offset -m.v/d, and gradients are converted by the same rule. This is exact because the intercept is free.
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
from inficond.core.solver.copies import strided_rows, transposed
from inficond.core.solver.kernels.fused_passes import BLOCK
from inficond.core.solver.kernels.moments import add_moments

Array = NDArray[np.floating]

GRAM_ROWS = 2048  # rows of the Gram matrix; the corrections of the model learn what these rows miss
GROUPS = 16  # fixed, so that sums are added in the same order with any number of threads
EVEN = 4  # the number of chunks is a multiple of this
CHUNK_BYTES = 1 << 21  # rows per chunk: they stay in the cache between the two products of a pass
COVARIANCE_SPLITS = 2  # recursive splits of the columns, to use the symmetry of the Gram matrix
COLUMNS_PER_TASK = 128
TRANSPOSED_BYTES = 1 << 30  # largest matrix that is also stored column by column
MAX_CENTRE = 64.0  # |mean| / spread above which implicit centring loses too many digits
EXTREME = 1e15  # spreads beyond this (or its inverse) would overflow in products of raw columns
CONSTANT, CONSTANT_64 = 1e-6, 1e-12  # spread / |mean| up to which a column is constant; second: float64


@dataclass
class Design:
    """Rows X (N, K) with their standardization; shared by all fits on these rows.

    Two sets of units are distinguished. Users see weights of z = (x - mean) / scale; the solver works with
    (x - centre) / spread, which is standardized whatever the user asked for.

    Attributes
    ----------
    X : (N, K) float32 or float64, C-contiguous; may be memory-mapped
    mean, scale : (K,) float64, units of the user
    centre, spread : (K,) float64, units of the solver
    multiplier : (K,) float64, 1 / spread, and 0 for constant columns
    source : the array passed by the user
    kept : (all rows,) bool, the rows of `source` that X consists of; None for all
    checksum : of some rows of X, to notice changes in place
    precise : whether passes compute in float64 although X is float32
    grams : Gram matrices by their number of rows
    """

    X: Array
    mean: Array
    scale: Array
    centre: Array
    spread: Array
    multiplier: Array
    source: Any = field(default=None, repr=False)
    kept: NDArray[np.bool_] | None = field(default=None, repr=False)
    checksum: int = 0
    precise: bool = False
    grams: dict[int, Array] = field(default_factory=dict, repr=False)

    @classmethod
    def build(
        cls,
        source: Any,
        X: Array,
        standardize: bool,
        mean: Array | None = None,
        scale: Array | None = None,
        workers: int = 1,
        row_weight: Array | None = None,
        kept: NDArray[np.bool_] | None = None,
        moments: tuple[Array, Array] | None = None,
    ) -> "Design":
        """Measure the columns.

        Parameters
        ----------
        source, X, kept : see the attributes
        standardize : whether the user's weights are in units of each column's standard deviation
        mean, scale : (K,) units of the user, if they are given
        workers : number of threads
        row_weight : (N,) weights of the rows in mean and standard deviation; None for equal weights
        moments : (K,) and (K,) mean and standard deviation of the columns, if they are known; X may then be a
            sample that begins with the first row

        Raises
        ------
        ValueError
            If X has a NaN or an infinite entry (the first one is named).
        """
        K = X.shape[1]
        centre, spread = moments or column_moments(X, workers, row_weight)
        limit = CONSTANT_64 if _is_float64(source, X) else CONSTANT
        constant = spread <= limit * np.abs(centre)
        centre = np.where(constant, np.asarray(X[0], np.float64), centre)
        spread = np.where(constant, 1.0, spread)
        if not standardize:
            mean, scale = np.zeros(K), np.ones(K)
        elif mean is None or scale is None:
            mean, scale = centre, spread
        multiplier = np.where(constant, 0.0, 1.0 / spread)
        return cls(X, mean, scale, centre, spread, multiplier, source, kept, row_checksum(X))  # pyright: ignore[reportArgumentType]

    def matches(self, source: Any, X: Array, kept: NDArray[np.bool_] | None) -> bool:
        """Whether this design was built from the same memory, as far as a checksum of some rows shows.

        Parameters
        ----------
        source : the array passed by the user
        X : (N, K) all its rows
        kept : (N,) the rows in use; None for all
        """
        if self.kept is not None:
            if kept is None or not np.array_equal(kept, self.kept):
                return False
            X = X[kept]
        same = (
            source is self.source
            or _memory_layout(source) == _memory_layout(self.source)
            or _memory_layout(X) == _memory_layout(self.X)
        )
        return (
            same and X.shape == self.X.shape and X.dtype == self.X.dtype and row_checksum(X) == self.checksum
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K)."""
        return self.X.shape[0], self.X.shape[1]

    def as_float64(self) -> "Design":
        """Return the same rows with passes that compute in float64, chunk by chunk."""
        return replace(self, precise=True)

    @cached_property
    def unit_ratio(self) -> Array:
        """(K,) weight in units of the user / weight in units of the solver."""
        return np.where(self.multiplier > 0, self.scale / self.spread, 1.0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the passes."""
        return np.dtype(np.float64) if self.precise else self.X.dtype

    @cached_property
    def explicit(self) -> bool:
        """Whether chunks of rows are standardized before the products."""
        m = self.multiplier[self.multiplier > 0]
        extreme = bool(np.any((m > EXTREME) | (m < 1 / EXTREME)))
        return self.precise or extreme or bool(np.any(np.abs(self.centre) * self.multiplier > MAX_CENTRE))

    @cached_property
    def amplification(self) -> Array:
        """(K,) factor by which rounding errors of raw columns exceed those of standardized ones."""
        return np.ones(self.shape[1]) if self.explicit else 1.0 + np.abs(self.centre) * self.multiplier

    @cached_property
    def chunk(self) -> int:
        """Rows per chunk."""
        return int(np.clip(CHUNK_BYTES // (self.X.itemsize * self.shape[1]), 64, 2048))

    @cached_property
    def groups(self) -> list[list[tuple[int, int]]]:
        """Row ranges (chunks) in groups; one thread processes a group."""
        N = self.shape[0]
        unit = min(BLOCK, self.chunk)
        units = -(-N // unit)
        count = -(-units // (self.chunk // unit))
        even = GROUPS if count > GROUPS else EVEN
        if units >= 2 * EVEN:
            count = min(units, -(-count // even) * even)
        edges = [min(N, round(i * units / count) * unit) for i in range(count + 1)]
        chunks = list(pairwise(edges))
        per_group = -(-count // GROUPS)
        return [chunks[i : i + per_group] for i in range(0, count, per_group)]

    def rows(self, low: int, high: int, scratch: list[Array]) -> Array:
        """Return the rows low to high, standardized if `explicit`; `scratch` holds the buffer for them."""
        X = np.asarray(self.X[low:high])
        if not self.explicit:
            return X
        if not scratch:
            scratch.append(np.empty((self.chunk, X.shape[1]), self.dtype))
        out = scratch[0][: high - low]
        # The difference is formed in float64: that is where digits are lost.
        np.multiply(X - self.centre, self.multiplier, out=out, casting="same_kind")
        return out

    def raw_weights(self, weights: Array) -> tuple[Array, Array]:
        """Convert weights (C, K) to weights of what `rows` returns, (C, K), and offsets (C,)."""
        if self.explicit:
            return weights, np.zeros(len(weights))
        raw = weights * self.multiplier
        return raw, -(raw @ self.centre)

    @cached_property
    def gradient_units(self) -> tuple[Array, Array]:
        """(K,) and (K,): centre and multiplier that convert products with `rows` to gradients."""
        if self.explicit:
            return np.zeros(self.shape[1]), np.ones(self.shape[1])
        return self.centre, self.multiplier

    @property
    def nbytes(self) -> int:
        """Memory of the matrices derived from the rows."""
        kept = [self.__dict__.get("columns"), *self.__dict__.get("standardized", ())]
        derived = sum(array.nbytes for array in kept if array is not None)
        return sum(gram.nbytes for gram in self.grams.values()) + derived

    @property
    def gram_rows(self) -> int:
        """Largest number of rows of the Gram matrix."""
        return max(GRAM_ROWS, 2 * self.shape[1])

    def gram(self, workers: int = 1) -> Array:
        """Return the mean of z z^T over at most `gram_rows` rows, the intercept last, (K+1, K+1)."""
        N, K = self.shape
        limit = self.gram_rows
        if limit not in self.grams:
            step = -(-N // limit)
            X = strided_rows(self.X, step, workers)
            G = np.zeros((K + 1, K + 1), X.dtype)
            m = self.multiplier
            if self.explicit:
                Z = ((X - self.centre) * m).astype(X.dtype)
                G[:K, :K] = Z.T @ Z / len(Z)
            else:
                # About the mean of the sample, so that the matrix stays positive semi-definite.
                covariance(X, m.astype(X.dtype), workers, G[:K, :K])
            G[K, K] = 1.0
            # Every coordinate keeps some curvature, whatever rounding does.
            diagonal = np.einsum("ii->i", G)
            diagonal[:K] = np.maximum(diagonal[:K], 1e-4)
            self.grams[limit] = G
        return self.grams[limit]

    def sample(self, step: int, workers: int) -> "Design":
        """Return every `step`-th row in the same units and with the same Gram matrix."""
        rows, grams = strided_rows(self.X, step, workers), {self.gram_rows: self.gram(workers)}
        return replace(self, X=rows, source=rows, kept=None, checksum=row_checksum(rows), grams=grams)

    @cached_property
    def columns(self) -> Array | None:
        """(K, N) transposed raw rows; None if they are too large, memory-mapped or standardized by chunk."""
        if self.explicit or self.X.nbytes > TRANSPOSED_BYTES or is_memory_mapped(self.X):
            return None
        return transposed(self.X, self.X.dtype)

    @cached_property
    def standardized(self) -> tuple[Array, Array]:
        """(K+1, N) float64 standardized columns and a row of ones, (N, K+1) float32 rows; for few rows."""
        Z = np.ones((self.shape[1] + 1, self.shape[0]))
        np.multiply(self.X.T - self.centre[:, None], self.multiplier[:, None], out=Z[:-1])
        return Z, np.ascontiguousarray(Z.T, np.float32)

    def for_each_group(self, task: Callable[[int], None], workers: int) -> None:
        """Call `task` with the index of every group of rows, on `workers` threads."""
        threads.run(task, range(len(self.groups)), workers)


def to_solver_units(design: Design, weights: Array, bias: Array) -> Array:
    """Convert weights (C, K) and bias (C,) of the user to coefficients (C, K+1)."""
    out = np.empty((len(weights), weights.shape[1] + 1))
    out[:, :-1] = weights / design.unit_ratio
    out[:, -1] = bias + (weights / design.scale) @ (design.centre - design.mean)
    return out


def to_user_units(design: Design, coefficients: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Convert coefficients (C, K+1) to weights (C, K), exactly within their bounds, and bias (C,)."""
    weights = np.clip(coefficients[:, :-1] * design.unit_ratio, lower, upper) + 0.0  # no negative zero
    return weights, coefficients[:, -1] - (weights / design.scale) @ (design.centre - design.mean)


def covariance(X: Array, multiplier: Array, workers: int, out: Array) -> None:
    """Fill `out` (K, K) with the covariance of the columns of X times `multiplier` (K,).

    Off-diagonal blocks are computed once; diagonal blocks are symmetric products, which BLAS computes at half
    cost.
    """
    N, K = X.shape
    mean = np.empty(K, X.dtype)

    def measure(part: slice) -> None:
        mean[part] = X[:, part].mean(0, dtype=np.float64)

    threads.run(measure, threads.slices(K, COLUMNS_PER_TASK), workers)
    blocks: list[tuple[slice, slice]] = []

    def split(low: int, high: int, depth: int) -> None:
        if depth == 0:
            blocks.append((slice(low, high), slice(low, high)))
            return
        middle = (low + high) // 2
        blocks.append((slice(low, middle), slice(middle, high)))
        split(low, middle, depth - 1)
        split(middle, high, depth - 1)

    def multiply(block: tuple[slice, slice]) -> None:
        rows, columns = block
        product = X[:, rows].T @ X[:, columns]
        product /= N
        product -= mean[rows, None] * mean[columns]
        product *= multiplier[rows, None] * multiplier[columns]
        out[block] = product
        if rows != columns:
            out[columns, rows] = product.T

    split(0, K, COVARIANCE_SPLITS if K >= 64 else 0)
    threads.run(multiply, sorted(blocks, key=lambda block: block[0] == block[1]), workers)


def is_memory_mapped(X: Array) -> bool:
    """Whether an array is backed by a memory-mapped file."""
    base: Any = X
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False


def row_checksum(X: Array) -> int:
    """Return a checksum of about 16 rows, which shows most changes of an array in place."""
    return zlib.crc32(np.ascontiguousarray(X[:: max(1, len(X) // 16)]).tobytes())


def _is_float64(source: Any, X: Array) -> bool:
    """Whether the values were given in float64 or as integers; small float32 arrays are only converted."""
    dtype = getattr(source, "dtype", np.dtype(np.float64))
    name = str(getattr(dtype, "name", dtype))  # dtypes of torch have no name
    return X.dtype == np.float64 and (name.endswith("float64") or "int" in name)


def _memory_layout(X: Any) -> tuple[Any, ...]:
    """Return address, shape, strides and dtype; a unique value for anything but an array."""
    if not isinstance(X, np.ndarray):
        return (object(),)
    return X.__array_interface__["data"][0], X.shape, X.strides, X.dtype.str


def column_moments(X: Array, workers: int, row_weight: Array | None = None) -> tuple[Array, Array]:
    """Return mean and standard deviation of each column, (K,) each, in float64.

    Parameters
    ----------
    X : (N, K)
    workers : number of threads
    row_weight : (N,) positive weights of the rows; None for equal weights

    Raises
    ------
    ValueError
        If X has a NaN or an infinite entry.
    """
    N, K = X.shape
    step = max(1, (1 << 22) // max(1, K * X.itemsize))
    edges = [*range(0, N, step), N]
    if row_weight is None:
        parts = np.zeros((len(edges) - 1, 2, K))

        def measure(i: int) -> None:
            add_moments(X, edges[i], edges[i + 1], parts[i, 0], parts[i, 1])

        threads.run(measure, range(len(edges) - 1), workers)
        total, squares = parts.sum(0) / N
    else:
        total, squares = _weighted_moments(X, edges, row_weight, np.arange(K))
    bad = ~np.isfinite(squares)
    if bad.any():
        _raise_not_finite(X, edges)
    # Sums of squares in float32 overflow above 1e19 and underflow below 1e-19.
    imprecise = np.flatnonzero(bad | ((squares < 1e-30) & ((total != 0) | (squares > 0))))
    if len(imprecise):
        equal = np.ones(N) if row_weight is None else row_weight
        total[imprecise], squares[imprecise] = _weighted_moments(X, edges, equal, imprecise)
        if not np.all(np.isfinite(squares)):
            raise ValueError(
                "X has columns whose variance exceeds the range of float64; divide X by a constant"
            )
    mean = np.asarray(X[0], np.float64) + total
    return mean, np.sqrt(np.maximum(squares - total * total, 0.0))


def _weighted_moments(
    X: Array, edges: list[int], row_weight: Array, columns: NDArray[np.intp]
) -> tuple[Array, Array]:
    """Return weighted means of X - X[0] and of its square, in float64, for some columns."""
    sums = np.zeros((2, len(columns)))
    share = row_weight / row_weight.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        for low, high in pairwise(edges):
            difference = X[low:high, columns].astype(np.float64) - X[0, columns]
            sums[0] += share[low:high] @ difference
            sums[1] += share[low:high] @ np.square(difference, out=difference)
    return sums[0], sums[1]


def _raise_not_finite(X: Array, edges: list[int]) -> None:
    """Name the first entry of X that is not finite, if there is one."""
    for low, high in pairwise(edges):
        bad = np.argwhere(~np.isfinite(X[low:high]))
        if len(bad):
            i, k = bad[0]
            raise ValueError(
                f"X must be finite: X[{low + i}, {k}] is {X[low + i, k]}; remove or replace such entries"
            )
