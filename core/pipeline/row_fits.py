"""Fits of a build whose training rows are held by the workers of an engine, because they exceed one machine.

Iteration and certificate are those of `inficond.core.solver.row_blocks`. λ, the name prior and thresholds are
chosen from a sample of the rows, which this machine holds.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError, first_line
from inficond.core.models.hardware import available_memory
from inficond.core.project.arrays import ArrayWriter
from inficond.core.solver import FitResult
from inficond.core.solver.row_blocks import RowBlocks, fit_blocks
from inficond.core.solver.wide import WIDE
from inficond.core.students.distil import RowFit
from inficond.core.students.relaxed import selected_penalty

MIN_SAMPLE = 1 << 14
"""Rows of the sample at least."""
SAMPLE_SHARE = 4
"""The sample takes at most one part in so many of the limit."""


@dataclass(frozen=True)
class ArrayRows:
    """A range of rows of two ``.npy`` files, which every machine sees under the same paths.

    Parameters
    ----------
    X, T : str
        Absolute paths of the concept vectors (N, K) and the target probabilities (N, C).
    start, stop : int
        Range of rows.
    index : str
        Absolute path of the row numbers (n,) of X that are used; T then has n rows, and the range counts
        them. By default all rows of X are used.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.pipeline.row_fits import ArrayRows
    >>> np.save("X.npy", np.eye(4, dtype=np.float32))
    >>> np.save("T.npy", np.full((4, 1), 0.5, np.float32))
    >>> X, T = ArrayRows("X.npy", "T.npy", 1, 3).load()
    >>> X.tolist(), T.shape
    ([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]], (2, 1))
    >>> [(rows.start, rows.stop) for rows in ArrayRows("X.npy", "T.npy", 0, 4).divided(3)]
    [(0, 1), (1, 2), (2, 4)]
    """

    X: str
    T: str
    start: int
    stop: int
    index: str = ""

    def load(self) -> tuple[Any, Any]:
        """Map the files into memory, or read the rows of an index.

        Raises
        ------
        ValueError
            A file is missing, not an array, or has fewer rows.
        """
        X = self._mapped(self.X, not self.index)
        if self.index:
            X = X[self._mapped(self.index)]
        return X, self._mapped(self.T)

    def divided(self, count: int) -> list["ArrayRows"]:
        """Divide the range into at most `count` ranges of nearly the same size."""
        edges = np.linspace(self.start, self.stop, min(count, self.stop - self.start) + 1).astype(int)
        return [replace(self, start=int(a), stop=int(b)) for a, b in pairwise(edges)]

    def _mapped(self, path: str, ranged: bool = True) -> Any:
        """Map the rows of a file in the range, or all of them."""
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise ValueError(f"cannot read {path}: {first_line(error)}") from error
        except ValueError as error:
            raise ValueError(f"{path} is not an array of numbers: {first_line(error)}") from error
        if not ranged:
            return array
        if not 0 <= self.start < self.stop <= len(array):
            raise ValueError(f"{path} has {len(array):,} rows, not rows {self.start:,} to {self.stop:,}")
        return array[self.start : self.stop]


@runtime_checkable
class RowEngine(Protocol):
    """An engine whose workers can hold rows."""

    def hold(self, rows: ArrayRows, link: str) -> AbstractContextManager[RowBlocks]:
        """Divide rows among workers, which hold them until the context ends.

        Raises
        ------
        InputError
            No worker can be started.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RowFits:
    """Where and when training rows are held by workers.

    Parameters
    ----------
    engine : RowEngine
    limit : float
        Largest size in bytes of training rows that are fitted on this machine.
    """

    engine: RowEngine
    limit: float

    def needed(self, n: int, K: int) -> bool:
        """Whether `n` training rows of `K` words exceed the limit."""
        return 4.0 * n * K > self.limit

    def sample(self, n: int, K: int) -> NDArray[np.int64]:
        """Return positions among `n` training rows that are held on this machine, at equal distances."""
        count = min(n, max(MIN_SAMPLE, int(self.limit / (4.0 * K * SAMPLE_SHARE))))
        return np.linspace(0, n - 1, count).round().astype(np.int64)

    @contextmanager
    def open(
        self, X: Path, T: NDArray[np.floating], index: NDArray[np.int64], link: str, scratch: Path
    ) -> Iterator[RowFit]:
        """Write targets and row numbers, and start workers that hold the rows.

        Parameters
        ----------
        X : Path
            Concept vectors (N, K).
        T : (n, C)
            Targets of the training rows.
        index : (n,)
            Their rows of X.
        link : {"sigmoid", "softmax"}
        scratch : Path
            Folder for the two files.

        Yields
        ------
        RowFit

        Raises
        ------
        InputError
            Workers cannot be started or do not see the files.
        """
        targets, rows = scratch / "fit-targets.npy", scratch / "fit-rows.npy"
        for path, array in ((targets, np.asarray(T, np.float32)), (rows, np.asarray(index, np.int64))):
            with ArrayWriter(path, array.shape, array.dtype.name) as writer:
                writer.append(array)
        whole = ArrayRows(str(X.absolute()), str(targets.absolute()), 0, len(index), str(rows.absolute()))
        with self.engine.hold(whole, link) as blocks:
            yield _fit_on(blocks)


def fit_limit(gigabytes: float | None) -> float:
    """Return the bytes of training rows that this machine may hold; by default half of the free memory.

    Raises
    ------
    InputError
        The number is negative or not finite.
    """
    if gigabytes is None:
        free = available_memory()
        return np.inf if free is None else free / 2
    if not (np.isfinite(gigabytes) and gigabytes >= 0):
        raise InputError(f"--fit-memory must be a finite number of at least 0, not {gigabytes!r}")
    return gigabytes * 1e9


def refusal(K: int, lam: float | None) -> str:
    """Return why rows in blocks cannot be fitted; empty if they can."""
    if K > WIDE:
        return f"fits on workers have at most {WIDE:,} words, not {K:,}"
    return "fits on workers need λ above 0" if lam == 0 else ""


def _fit_on(blocks: RowBlocks) -> RowFit:
    def fitted(
        lam: float, link: str, penalty: NDArray[np.floating] | None, relax: float, tol: float
    ) -> FitResult:
        def once(lam: float, penalty: NDArray[np.floating] | None, tol: float) -> FitResult:
            try:
                return fit_blocks(blocks, lam, link, penalty=penalty, tol=tol)
            except InputError:
                raise
            except ValueError as error:
                raise InputError(
                    f"the fit on workers stopped: {first_line(error)}; --out must be in a folder that all "
                    "workers see under the same path"
                ) from error

        if relax == 1.0:
            return once(lam, penalty, tol)
        first = once(lam, penalty, max(tol, 1e-3))
        return once(relax * lam, selected_penalty(first, penalty, relax), tol)

    return fitted
