"""The part of a distributed fit that runs in a worker; it does not depend on the cluster's software."""

import os
import socket
from dataclasses import dataclass
from typing import Any, Protocol

from inficond.core.errors import first_line
from inficond.core.pipeline.row_fits import ArrayRows
from inficond.core.solver.row_blocks import RowBlock
from inficond.core.version import __version__

__all__ = ["Answer", "ArrayRows", "RowActor", "RowSource"]


class RowSource(Protocol):
    """Names the rows of a block; it is sent to the worker that loads them, and to one that replaces it."""

    def load(self) -> tuple[Any, Any]:
        """Return concept vectors (n, K) and target probabilities (n, C)."""
        ...


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
