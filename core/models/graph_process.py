"""Graphs from elsewhere, run in a child process with limits of memory and time.

An ONNX file of a few kilobytes can expand to gigabytes or loop without end, depending on its input; no check
of the file alone finds all of these. The child process (`graph_worker`) is limited by the operating system,
and is killed if a call takes too long.
"""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.child_process import Channel, ChildProcess
from inficond.core.models.graph_file import GraphFile
from inficond.core.models.hardware import available_cores

WORKER = "inficond.core.models.graph_worker"
BASE_MEMORY = 1 << 30
"""Bytes that a graph on the CPU may allocate besides its weights."""
ACCELERATOR_MEMORY = 8 << 30
"""Bytes in addition for an accelerator's libraries."""
WEIGHT_COPIES = 4
"""Copies of the file that loading it may need: ONNX Runtime parses, converts and packs the weights."""
THREAD_MEMORY = 16 << 20
LOAD_SECONDS, ACCELERATOR_LOAD_SECONDS = 30.0, 600.0
SECONDS_PER_BYTE = 1e-7
CALL_SECONDS, ROW_SECONDS = 20.0, 2.0
"""Seconds for one call, and in addition for each row of its batch."""


UNLIMITED = "comes from elsewhere, and this system cannot limit the memory of the process that would run it"


class GraphProcess:
    """A graph in a child process, with the interface of `LocalSession`. Thread-safe.

    Parameters
    ----------
    graph : GraphFile
    provider : str
        A key of `PROVIDERS`.
    threads : int or None
        CPU threads inside one call; every available core by default.

    Raises
    ------
    InputError
        The system cannot limit a process, the graph exceeds a limit while it is loaded, or ONNX Runtime
        cannot load it.
    """

    def __init__(self, graph: GraphFile, provider: str, threads: int | None) -> None:
        self._path = graph.path
        cores = available_cores()
        self._memory = _memory(len(graph.content), provider, (threads or cores) + cores)
        self._process = ChildProcess(WORKER)
        self._channel = self._process.channel
        self._failure = ""
        request = {
            "path": str(graph.path.resolve()),
            "sha256": graph.sha256,
            "provider": provider,
            "threads": threads,
            "calls": 2 * cores,
            "memory": self._memory,
            "inputs": {name: list(shape) for name, shape in graph.facts.inputs.items()},
        }
        seconds = LOAD_SECONDS if provider == "cpu" else ACCELERATOR_LOAD_SECONDS
        opened = self._handshake(request, seconds + SECONDS_PER_BYTE * len(graph.content))
        self.provider, self.threads = str(opened["provider"]), int(opened["threads"])
        self.inputs = {str(n): (str(kind), tuple(shape)) for n, (kind, shape) in opened["inputs"].items()}
        self.outputs = tuple(str(name) for name in opened["outputs"])
        self._numbers = itertools.count()
        self._calls = _Calls()
        threading.Thread(
            target=self._calls.receive, args=(self._channel,), name="graph-process", daemon=True
        ).start()

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def run(self, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None) -> list[np.ndarray]:
        """Run the graph.

        Raises
        ------
        MemoryError
            The call needs more memory than the limit.
        RuntimeError
            The graph failed.
        InputError
            The call took too long, or the process has ended.
        """
        if self._failure:
            raise InputError(self._failure)
        names = list(outputs) if outputs is not None else list(self.outputs)
        number = next(self._numbers)
        answer = self._calls.add(number)
        rows = max((len(array) for array in feeds.values() if array.ndim), default=1)
        seconds = CALL_SECONDS + ROW_SECONDS * rows
        try:
            self._channel.send({"id": number, "outputs": names}, feeds)
            header, arrays = answer.result(seconds)
        except TimeoutError:
            raise self._failed(f"did not answer within {seconds:.0f} s and was stopped") from None
        except (OSError, EOFError):
            raise self._failed(f"ended the process that ran it, or {self._exceeded()}") from None
        if header.get("memory"):
            if rows > 1:
                raise MemoryError(str(header["error"]))
            raise InputError(f"{self._path} {self._exceeded()}: {_advice(self._path)}")
        if "error" in header:
            raise RuntimeError(str(header["error"]))
        return [arrays[name] for name in names]

    def _handshake(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send the first message and wait for its answer."""
        with self._process.deadline(seconds) as expired:
            try:
                self._channel.send(request)
                opened, _ = self._channel.receive()
            except (OSError, EOFError):
                if expired.is_set():
                    raise self._failed(f"was not loaded within {seconds:.0f} s and was stopped") from None
                raise self._failed(f"ended the process that loaded it, or {self._exceeded()}") from None
        if "unlimited" in opened:
            raise self._failed(UNLIMITED)
        if opened.get("memory"):
            raise self._failed(self._exceeded())
        if "error" in opened:
            raise InputError(str(opened["error"]))
        return opened

    def _failed(self, reason: str) -> InputError:
        """End the process; return the error of this and every later call."""
        self._process.stop()
        self._failure = self._failure or f"{self._path} {reason}: {_advice(self._path)}"
        return InputError(self._failure)

    def _exceeded(self) -> str:
        return f"needs more than {self._memory / 2**30:.1f} GiB of memory, the limit for a graph of its size"


class _Calls:
    """Calls without an answer, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, Future[tuple[dict[str, Any], dict[str, np.ndarray]]]] = {}
        self._closed = False

    def add(self, number: int) -> "Future[tuple[dict[str, Any], dict[str, np.ndarray]]]":
        """Register a call."""
        answer: Future[tuple[dict[str, Any], dict[str, np.ndarray]]] = Future()
        with self._lock:
            if self._closed:
                answer.set_exception(EOFError())
            else:
                self._open[number] = answer
        return answer

    def receive(self, channel: Channel) -> None:
        """Pass results to the calls that wait for them, until the channel ends."""
        try:
            while True:
                header, arrays = channel.receive()
                with self._lock:
                    answer = self._open.pop(header["id"], None)
                if answer is not None:
                    answer.set_result((header, arrays))
        except (EOFError, KeyError):
            with self._lock:
                self._closed = True
                left, self._open = list(self._open.values()), {}
            for answer in left:
                answer.set_exception(EOFError())


def _memory(size: int, provider: str, threads: int) -> int:
    """Return the memory limit for a file of `size` bytes, in bytes."""
    more = 0 if provider == "cpu" else ACCELERATOR_MEMORY
    return BASE_MEMORY + WEIGHT_COPIES * size + THREAD_MEMORY * threads + more


def _advice(path: Path) -> str:
    return f"if you trust its author, run `inficond trust {path}`"
