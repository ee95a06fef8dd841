"""The part of a distributed fit that runs in a worker; it does not depend on the cluster's software."""

import os
import socket
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from inficond.core.errors import first_line
from inficond.core.solver.row_blocks import RowBlock
from inficond.core.version import __version__


class RowSource(Protocol):
    """Names the rows of a block; it is sent to the worker that loads them, and to one that replaces it."""

    def load(self) -> tuple[Any, Any]:
        """Return concept vectors (n, K) and target probabilities (n, C)."""
        ...


@dataclass(frozen=True)
class ArrayRows:
    """A range of rows of two ``.npy`` files, which every machine sees under the same paths.

    Parameters
    ----------
    X, T : str
        Absolute paths of the concept vectors (N, K) and the target probabilities (N, C).
    start, stop : int
        Range of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.cluster.row_actor import ArrayRows
    >>> np.save("X.npy", np.eye(4, dtype=np.float32))
    >>> np.save("T.npy", np.full((4, 1), 0.5, np.float32))
    >>> X, T = ArrayRows("X.npy", "T.npy", 1, 3).load()
    >>> X.tolist(), T.shape
    ([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]], (2, 1))
    """

    X: str
    T: str
    start: int
    stop: int

    def load(self) -> tuple[Any, Any]:
        """Map the files into memory.

        Raises
        ------
        ValueError
            A file is missing, not an array, or has fewer rows.
        """
        found = []
        for path in (self.X, self.T):
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except OSError as error:
                raise ValueError(f"cannot read {path}: {first_line(error)}") from error
            except ValueError as error:
                raise ValueError(f"{path} is not an array of numbers: {first_line(error)}") from error
            if not 0 <= self.start < self.stop <= len(array):
                raise ValueError(f"{path} has {len(array):,} rows, not rows {self.start:,} to {self.stop:,}")
            found.append(array[self.start : self.stop])
        return found[0], found[1]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer of a worker.

    Parameters
    ----------
    value : Any
        What the method of the block returned.
    refused : str
        Why the rows or the arguments are refused; empty where all is well.
    """

    value: Any = None
    refused: str = ""


class RowActor:
    """One process that holds a block of rows.

    Parameters
    ----------
    source : RowSource
    link : {"sigmoid", "softmax"}
    threads : int
    """

    def __init__(self, source: RowSource, link: str, threads: int) -> None:
        self._source, self._link, self._threads = source, link, threads
        self._block: RowBlock | None = None

    def version(self) -> tuple[str, str]:
        """Return the version of InFiConD in this process, and its machine and number."""
        return __version__, f"{socket.gethostname()}, process {os.getpid()}"

    def call(self, method: str, arguments: tuple[Any, ...]) -> Answer:
        """Call a method of the block, which is loaded at the first call."""
        try:
            if self._block is None:
                self._block = RowBlock(*self._source.load(), self._link, self._threads)
            return Answer(value=getattr(self._block, method)(*arguments))
        except ValueError as error:
            return Answer(refused=first_line(error, 400))
