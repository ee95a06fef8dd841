"""Fits of rows that lie in several processes: each holds a block of rows, and only sums are exchanged.

Moments, losses and gradients are sums over rows. One process runs the iteration of `fit`, and asks every
block for its sums once for each pass. Objective, bounds and certificate are therefore those of all rows. The
Hessian model comes from a sample of the rows, which affects the number of passes and not the result.

`RowBlock` holds rows, `RowBlocks` is what a cluster implements, `LocalBlocks` is one process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.solver import newton, threads, validation
from inficond.core.solver.api import make_problem, null_weights, unconverged
from inficond.core.solver.datafits import DATAFITS, Datafit, Evaluation
from inficond.core.solver.datafits.sigmoid import Sigmoid
from inficond.core.solver.datafits.softmax import KeptRows, Softmax, SoftmaxSums
from inficond.core.solver.design import Design, column_moments, to_user_units
from inficond.core.solver.problem import Problem
from inficond.core.solver.quadratic_model import QuadraticModel
from inficond.core.solver.result import FitResult
from inficond.core.solver.targets import Targets
from inficond.core.solver.wide import WIDE

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

SAMPLE_ROWS = 1 << 14
"""Rows of the sample at least, if there are as many; it has fewer than twice as many."""


@dataclass(frozen=True, eq=False)
class Units:
    """Standardization of the columns, and the number of all rows.

    Attributes
    ----------
    mean, scale, centre, spread, multiplier : (K,) see `Design`
    rows : number of rows of all blocks
    """

    mean: Array
    scale: Array
    centre: Array
    spread: Array
    multiplier: Array
    rows: int

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array, Array]:
        """The standardization."""
        return self.mean, self.scale, self.centre, self.spread, self.multiplier


@dataclass(frozen=True, eq=False)
class BlockMeasures:
    """What a fit has to know of a block before its first pass.

    Attributes
    ----------
    rows, columns, classes : numbers of the block
    dtype : of its rows
    mean, spread : (K,) of its columns
    targets : (C,) sums over its rows of the targets
    entropy : (B,) sums over its rows of the entropy of the targets, for each block of classes
    """

    rows: int
    columns: int
    classes: int
    dtype: str
    mean: Array
    spread: Array
    targets: Array
    entropy: Array


class RowBlock:
    """Rows of a distributed fit that one process holds.

    Parameters
    ----------
    X : (n, K) array
        Concept vectors, float32 or float64; other types are converted to float32. May be memory-mapped.
    T : (n, C) array
        Target probabilities.
    link : {"sigmoid", "softmax"}
    n_threads : int
        Of the passes over these rows.

    Raises
    ------
    ValueError
        The arrays are not rows and targets of a fit; see `fit`.
    """

    def __init__(self, X: Any, T: Any, link: str = "sigmoid", n_threads: int = 1) -> None:
        self._link = validation.choice("link", link, tuple(DATAFITS))
        X = validation.matrix("X", X, "(N, K)")
        if 0 in X.shape:
            raise ValueError(f"X has shape {X.shape}: every block needs rows and columns")
        dtype = np.float64 if X.dtype == np.float64 else np.float32
        self._X: Array = np.ascontiguousarray(X, dtype)
        self._T: Array = np.ascontiguousarray(
            validation.targets(T, len(X), None, DATAFITS[link].joint), dtype
        )
        self._targets = Targets.build(self._T, None, dtype)
        self._workers = n_threads
        self._units: Units | None = None
        self._datafit: Datafit | None = None
        self._kept: tuple[bytes, KeptRows] | None = None

    def measure(self) -> BlockMeasures:
        """Return sizes, moments and sums of the targets.

        Raises
        ------
        ValueError
            X has a NaN or an infinite entry; its row is counted within the block.
        """
        (n, K), C = self._X.shape, self._T.shape[1]
        with threads.single_threaded_blas():
            mean, spread = column_moments(self._X, self._workers)
            unused = np.zeros(K)
            design = Design(self._X, unused, unused, unused, unused, unused)
            entropy = DATAFITS[self._link](design, self._targets).entropy(self._workers)
        sums = self._targets.mean * n, entropy * n
        return BlockMeasures(n, K, C, self._X.dtype.name, mean, spread, *sums)

    def sample(self, first: int, step: int) -> tuple[Array, Array]:
        """Return every `step`-th row from `first` on, (m, K), and the targets, (m, C)."""
        return self._X[first::step].copy(), self._T[first::step].copy()

    def row_sums(
        self, units: Units, blocks: Indices, weights: Array, precise: bool
    ) -> tuple[Array, Array, Array]:
        """Make one pass over the rows of this block.

        Parameters
        ----------
        units : Units
        blocks : (b,) classes, ascending
        weights : (b, K+1)
        precise : bool
            Whether to compute in float64.

        Returns
        -------
        gradients, shifts, sums : (b, K), (b, K) and (b, losses.N_SUMS) float64
            As from `Sigmoid.row_sums`, added.
        """
        datafit = self._loss(units, precise)
        assert isinstance(datafit, Sigmoid)
        with threads.single_threaded_blas():
            parts = datafit.row_sums(np.array(blocks), np.array(weights), self._workers)
        gradients, shifts, sums = (part.sum(0, dtype=np.float64) for part in parts)
        return gradients, shifts, sums

    def softmax_sums(self, units: Units, weights: Array, precise: bool) -> SoftmaxSums:
        """Make one pass over the rows of this block; see `Softmax.row_sums`.

        Parameters
        ----------
        units : Units
        weights : (1, C (K+1))
        precise : bool
            Whether to compute in float64.
        """
        datafit = self._loss(units, precise)
        assert isinstance(datafit, Softmax)
        with threads.single_threaded_blas():
            sums, kept = datafit.row_sums(np.asarray(weights), self._workers)
        self._kept = _key(weights, precise), kept
        return replace(sums, gradients=sums.gradients.sum(0, dtype=np.float64, keepdims=True))

    def softmax_shifts(
        self, units: Units, weights: Array, precise: bool, delta: Array
    ) -> tuple[Array, Array]:
        """Return the sums that correct the dual point; see `Softmax.dual_sums`.

        The pass at these weights is repeated if it was not the last one, such as after a restart.

        Parameters
        ----------
        units, weights, precise
            As for `softmax_sums`.
        delta : (C,)

        Returns
        -------
        products, change : (C, K) and (C,) float64
        """
        if self._kept is None or self._kept[0] != _key(weights, precise):
            self.softmax_sums(units, weights, precise)
        datafit, kept, self._kept = self._loss(units, precise), self._kept, None
        assert isinstance(datafit, Softmax)
        assert kept is not None
        with threads.single_threaded_blas():
            products, change = datafit.dual_sums(kept[1], np.asarray(delta))
        return products.sum(0, dtype=np.float64), change

    def _loss(self, units: Units, precise: bool) -> Datafit:
        """Return the loss of these rows in given units."""
        known = self._units
        if known is None or not all(map(np.array_equal, known.arrays, units.arrays)):
            self._datafit = DATAFITS[self._link](Design(self._X, *units.arrays, self._X), self._targets)
            self._units = units
        assert self._datafit is not None
        return self._datafit.as_float64() if precise else self._datafit


def _key(weights: Array, precise: bool) -> bytes:
    """Return what identifies a pass."""
    return bytes([precise]) + np.asarray(weights).tobytes()


class RowBlocks(Protocol):
    """Blocks of rows, wherever they are, in a fixed order."""

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]] | tuple[Any, ...]) -> list[Any]:
        """Call a method of every `RowBlock` and return the answers in the order of the blocks.

        Parameters
        ----------
        method : str
            A method of `RowBlock`.
        arguments : tuple, or list of tuples
            The same for all blocks, or one tuple for each.

        Raises
        ------
        ValueError
            A block refuses; the message begins with its number.
        """
        ...


class LocalBlocks:
    """Blocks in this process.

    Parameters
    ----------
    blocks : sequence of RowBlock

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.solver.row_blocks import LocalBlocks, RowBlock, fit_blocks
    >>> X = np.random.default_rng(0).random((200, 6), np.float32)
    >>> T = 1 / (1 + np.exp(4 - 8 * X[:, :1]))
    >>> blocks = LocalBlocks([RowBlock(X[:120], T[:120]), RowBlock(X[120:], T[120:])])
    >>> result = fit_blocks(blocks, lam=0.01)
    >>> np.flatnonzero(result.weights[0]).tolist(), bool(result.converged[0])
    ([0], True)
    """

    def __init__(self, blocks: Sequence[RowBlock]) -> None:
        self._blocks = list(blocks)

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]] | tuple[Any, ...]) -> list[Any]:
        """See `RowBlocks`."""
        each = arguments if isinstance(arguments, list) else [arguments] * len(self._blocks)
        answers = []
        for number, (block, given) in enumerate(zip(self._blocks, each, strict=True)):
            try:
                answers.append(getattr(block, method)(*given))
            except ValueError as error:
                raise ValueError(f"block {number}: {error}") from error
        return answers


@dataclass
class _BlockLoss(Datafit):
    """A loss over all rows of all blocks.

    `design` holds the sample, `targets` the means of all rows.
    """

    rows: RowBlocks
    units: Units
    mean_entropy: Array

    def entropy(self, workers: int) -> Array:
        """See `Datafit.entropy`."""
        return self.mean_entropy

    def asked(self, method: str, *arguments: Any) -> list[Any]:
        """Return the answers of all blocks in the units of this fit."""
        return self.rows.call(method, (self.units, *arguments))


@dataclass
class _BlockSigmoid(_BlockLoss, Sigmoid):
    """Cross-entropy of sigmoids over all blocks."""

    def evaluate(self, blocks: Indices, weights: Array, workers: int) -> Evaluation:
        """See `Datafit.evaluate`."""
        answers = self.asked("row_sums", blocks, weights, self.design.precise)
        gradients, shifts, sums = (np.stack(parts) for parts in zip(*answers, strict=True))
        return self.evaluation(blocks, gradients, shifts, sums, workers)


@dataclass
class _BlockSoftmax(_BlockLoss, Softmax):
    """Cross-entropy of the softmax over all blocks."""

    def evaluate(self, blocks: Indices, weights: Array, workers: int) -> Evaluation:
        """See `Datafit.evaluate`."""
        given = weights, self.design.precise
        answers: list[SoftmaxSums] = self.asked("softmax_sums", *given)
        sums = SoftmaxSums(
            np.concatenate([a.gradients for a in answers]),
            np.sum([a.residual for a in answers], axis=0),
            np.sum([a.hessian for a in answers], axis=0),
            sum(a.weight_seen for a in answers),
            np.sum([a.losses for a in answers], axis=0),
            np.sum([a.variance for a in answers], axis=0),
        )
        delta = self.dual_direction(sums)
        if delta is None:
            return self.evaluation(sums, None, None)
        products, changes = zip(*self.asked("softmax_shifts", *given, delta), strict=True)
        return self.evaluation(sums, delta, (np.stack(products), np.sum(changes, axis=0)))


DISTRIBUTED: dict[str, type[_BlockSigmoid] | type[_BlockSoftmax]] = {
    "sigmoid": _BlockSigmoid,
    "softmax": _BlockSoftmax,
}


def fit_blocks(
    rows: RowBlocks,
    lam: float = 2.5e-3,
    link: str = "sigmoid",
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    standardize: bool = True,
    tol: float = 1e-4,
    *,
    penalty: ArrayLike | None = None,
    max_iter: int = 300,
    n_threads: int | None = None,
    warn: bool = True,
) -> FitResult:
    """Fit students to rows that several processes hold, with the certificate of `fit`.

    Parameters
    ----------
    rows : RowBlocks
        The first row of the first block is the first row of the fit.
    lam, link, lower, upper, standardize, tol, penalty, max_iter, warn
        As for `fit`; `link` is that of the blocks, and every weight needs a penalty or two finite bounds.
    n_threads : int, optional
        Of this process; the blocks have their own.

    Returns
    -------
    FitResult
        Without `model`. Weights differ from those of `fit` within the tolerance.

    Raises
    ------
    ValueError
        An argument or a block is invalid, or there are more than 4,096 columns.

    Warns
    -----
    NotConverged
        As for `fit`.

    Examples
    --------
    See `LocalBlocks`.
    """
    validation.choice("link", link, tuple(DATAFITS))
    lam, tol = validation.non_negative("lam", lam), validation.positive("tol", tol)
    max_iter, warn = validation.count("max_iter", max_iter), validation.flag("warn", warn)
    workers = threads.available() if n_threads is None else validation.count("n_threads", n_threads)
    measures: list[BlockMeasures] = rows.call("measure", ())
    K, C, N = _common(measures)
    lower, upper = validation.box(lower, upper, C, K)
    penalty = validation.multipliers(penalty, C, K, lower, upper)
    X, T = _sample(rows, [m.rows for m in measures])
    with threads.single_threaded_blas():
        design = Design.build(X, X, standardize, workers=workers, moments=_moments(measures))
        units = Units(design.mean, design.scale, design.centre, design.spread, design.multiplier, N)
        sample_targets = Targets.build(T, None, X.dtype, workers=workers)
        total = np.full(C, float(N))
        means = np.sum([m.targets for m in measures], axis=0) / N
        targets = Targets(sample_targets.T, sample_targets.S, total, means)
        sampled = make_problem(design, sample_targets, link, lam, penalty, lower, upper)
        if sampled.penalty.unpenalized is not None:
            raise ValueError("rows in blocks need lam > 0, and penalty > 0 or two finite bounds everywhere")
        entropy = np.sum([m.entropy for m in measures], axis=0) / N
        problem = Problem(DISTRIBUTED[link](design, targets, rows, units, entropy), sampled.penalty)
        datafit = problem.datafit
        model = QuadraticModel.initial(
            design, sample_targets, null_weights(problem, tol), datafit.width, datafit.memory,
            datafit.subspace_entries,
        )  # fmt: skip
        start = newton.solve(sampled, model, newton.SAMPLE_TOL, newton.SAMPLE_PASSES, workers)
        model.weights[:] = start.weights
        outcome = newton.solve(problem, model, tol, max_iter, workers)
        outcome = newton.refine_float64(problem, outcome, tol, max_iter, workers)
    if penalty is not None:
        excluded = np.isinf(penalty)
        lower, upper = np.where(excluded, 0.0, lower), np.where(excluded, 0.0, upper)
    weights, bias = to_user_units(design, datafit.unpack(outcome.weights), lower, upper)
    result = FitResult(
        weights, bias, outcome.objective, outcome.gap, outcome.n_iter, outcome.converged,
        design.mean, design.scale, lam, link, penalty,
    )  # fmt: skip
    if warn:
        unconverged(result, tol)
    return result


def _common(measures: Sequence[BlockMeasures]) -> tuple[int, int, int]:
    """Return the numbers of columns, classes and rows of all blocks."""
    if not measures:
        raise ValueError("the list of row blocks is empty: give at least one block")
    first = measures[0]
    for number, one in enumerate(measures):
        if (one.columns, one.classes, one.dtype) != (first.columns, first.classes, first.dtype):
            raise ValueError(
                f"block {number} has {one.columns} columns, {one.classes} classes and {one.dtype} rows; "
                f"block 0 has {first.columns}, {first.classes} and {first.dtype}"
            )
    if first.columns > WIDE:
        raise ValueError(f"rows in blocks have at most {WIDE:,} columns, not {first.columns:,}")
    return first.columns, first.classes, sum(one.rows for one in measures)


def _moments(measures: Sequence[BlockMeasures]) -> tuple[Array, Array]:
    """Return mean and standard deviation of the columns of all blocks, (K,) each."""
    share = np.array([m.rows for m in measures], float)
    share /= share.sum()
    mean = share @ np.stack([m.mean for m in measures])
    squares = [m.spread**2 + (m.mean - mean) ** 2 for m in measures]
    return mean, np.sqrt(share @ np.stack(squares))


def _sample(rows: RowBlocks, counts: Sequence[int]) -> tuple[Array, Array]:
    """Return rows at equal distances, the first row included, and their targets."""
    step = max(1, sum(counts) // SAMPLE_ROWS)
    starts = np.cumsum([0, *counts[:-1]])
    X, T = zip(*rows.call("sample", [(int(-start % step), step) for start in starts]), strict=True)
    return np.concatenate(X), np.concatenate(T)
