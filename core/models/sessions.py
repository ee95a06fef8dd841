"""Sessions of ONNX Runtime, in this process for trusted graphs and in a limited process for others."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inficond.core.errors import InputError, unknown
from inficond.core.models.batching import is_out_of_memory
from inficond.core.models.graph_file import GraphFile, read_graph
from inficond.core.models.graph_process import GraphProcess
from inficond.core.models.hardware import available_cores
from inficond.core.models.load_failure import load_failure
from inficond.core.models.local_session import LocalSession
from inficond.core.models.providers import AUTOMATIC, PROVIDERS, may_work
from inficond.core.models.trust import is_shipped, is_trusted


class Runner(Protocol):
    """Implementation that runs the graph: `LocalSession` or `GraphProcess`."""

    provider: str
    threads: int
    inputs: dict[str, tuple[str, tuple[Any, ...]]]
    outputs: tuple[str, ...]

    def run(self, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None) -> list[np.ndarray]:
        """Run the graph."""
        ...


class GraphSession:
    """An open graph. Safe to call from several threads, and after a fork.

    Parameters
    ----------
    graph : GraphFile
    provider : str
        A key of `PROVIDERS`.
    threads : int or None
        CPU threads inside one call.

    Attributes
    ----------
    path : Path
    sha256 : str
        Of the file.
    trusted : bool
        Whether the graph runs in this process.
    shipped : bool
        Whether it is part of this package. Such a graph is opened on first use, unless it runs on an
        accelerator that may be absent.
    runner : Runner
        What runs the graph.
    provider : str
        The provider in use.
    threads : int
        CPU threads inside one call.
    inputs : dict
        Name to (type, shape).
    outputs : tuple of str

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.models import load_encoder
    >>> encoder = load_encoder("embedded", provider="cpu")
    >>> session = encoder.session
    >>> feeds = {"pixels": encoder.preprocess.graph_input(np.zeros((1, *encoder.size, 3), np.uint8))}
    >>> (image,) = session.run(feeds, ("image",))
    >>> image.shape == (1, encoder.dim)
    True
    """

    def __init__(self, graph: GraphFile, provider: str, threads: int | None) -> None:
        self.path, self.sha256 = graph.path, graph.sha256
        self._provider, self._threads = provider, threads
        self.trusted, self.shipped = is_trusted(graph.sha256), is_shipped(graph.sha256)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._unopened: GraphFile | None = graph if self.shipped and provider == "cpu" else None
        self._runner: Runner | None = None if self._unopened is not None else self._open(graph)
        if self._runner is None:
            self.provider, self.threads = provider, threads or available_cores()
        else:
            self.provider, self.threads = self._runner.provider, self._runner.threads

    @property
    def runner(self) -> Runner:
        """What runs the graph."""
        if self._runner is None:
            with self._lock:
                if self._runner is None:
                    assert self._unopened is not None
                    self._runner, self._unopened = self._open(self._unopened), None
        return self._runner

    @runner.setter
    def runner(self, runner: Runner) -> None:
        self._runner = runner

    @property
    def inputs(self) -> dict[str, tuple[str, tuple[Any, ...]]]:
        """Name to (type, shape)."""
        return self.runner.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.runner.outputs

    def run(self, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """Run the graph.

        Parameters
        ----------
        feeds : dict
            Arrays by input name.
        outputs : sequence of str, optional
            All by default.

        Raises
        ------
        InputError
            The provider failed (out of memory, device lost), or a limit was exceeded.
        """
        if self._pid != os.getpid():
            self._reopen()
        try:
            return self.runner.run(feeds, outputs)
        except InputError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            if is_out_of_memory(error) and _rows(feeds) > 1:
                return self._halves(feeds, outputs)
            raise InputError(
                f"{self.path.name} failed on {self.provider}: {load_failure(error)}; try a smaller batch or "
                "provider `cpu`"
            ) from error

    def read_file(self) -> GraphFile:
        """Read the graph's file again, for graphs that are made from it.

        Raises
        ------
        InputError
            The file is not the one that this session runs.
        """
        graph = read_graph(self.path)
        if graph.sha256 != self.sha256:
            raise InputError(f"{self.path} has changed since it was opened: start again")
        return graph

    def _open(self, graph: GraphFile) -> Runner:
        self._pid = os.getpid()
        if not self.trusted:
            return GraphProcess(graph, self._provider, self._threads)
        return LocalSession(
            graph.checked_content(), str(graph.path), self._provider, self._threads, graph.facts.inputs
        )

    def _reopen(self) -> None:
        """Open the graph again in a forked process, which does not have the threads of its parent."""
        with self._lock:
            if self._pid != os.getpid():
                self._runner = self._open(self.read_file())

    def _halves(self, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None) -> list[np.ndarray]:
        """Run a batch that does not fit into memory as two; rows do not depend on one another."""
        middle = _rows(feeds) // 2
        first = self.run({name: array[:middle] for name, array in feeds.items()}, outputs)
        rest = self.run({name: array[middle:] for name, array in feeds.items()}, outputs)
        return [np.concatenate(pair) for pair in zip(first, rest)]


def _rows(feeds: dict[str, np.ndarray]) -> int:
    """Return the batch size if every input has the same, else 0."""
    lengths = {len(array) if array.ndim else 0 for array in feeds.values()}
    return lengths.pop() if len(lengths) == 1 else 0


def open_session(
    source: GraphFile | Path, provider: str = "auto", threads: int | None = None
) -> GraphSession:
    """Open a graph.

    Parameters
    ----------
    source : GraphFile or Path
    provider : str
        A key of `PROVIDERS`, or ``auto``: the first of `AUTOMATIC` that works here.
    threads : int, optional
        CPU threads inside one call; every available core by default. Callers that run many batches side by
        side use 1, so that no core waits for another.

    Returns
    -------
    GraphSession

    Raises
    ------
    InputError
        The provider does not work here, or the graph cannot be loaded.

    Examples
    --------
    >>> from inficond.core.models import load_encoder, open_session
    >>> manifest = load_encoder("embedded").manifest
    >>> session = open_session(manifest.graph(manifest.image.file), provider="cpu", threads=1)
    >>> session.provider, list(session.inputs)
    ('cpu', ['pixels'])
    """
    graph = source if isinstance(source, GraphFile) else read_graph(source)
    if provider != "auto":
        if provider not in PROVIDERS:
            raise unknown("provider", provider, ["auto", *PROVIDERS])
        return GraphSession(graph, provider, threads)
    for name in AUTOMATIC[:-1]:
        if may_work(name):
            try:
                return GraphSession(graph, name, threads)
            except InputError:
                continue
    return GraphSession(graph, AUTOMATIC[-1], threads)
