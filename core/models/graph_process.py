"""Graphs from elsewhere, run in a child process with limits of memory and time.

An ONNX file of a few kilobytes can expand to gigabytes or loop without end, depending on its input; no check
of the file alone finds all of these. The child process (`graph_worker`) is limited by the operating system,
and is killed if a call takes too long.
"""

import itertools
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import inficond
from inficond.core.errors import InputError
from inficond.core.models.array_messages import decode, encode
from inficond.core.models.graph_file import GraphFile
from inficond.core.models.hardware import available_cores

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
    """A graph in a process of its own; the same interface as `LocalSession`. Safe for several threads.

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
        self._connection, self._process = _start(graph.path)
        self._failure = ""
        self._end = weakref.finalize(self, _stop, self._process, os.getpid())
        request = {
            "path": str(graph.path.resolve()),
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
        self._sending = threading.Lock()
        threading.Thread(
            target=self._calls.receive, args=(self._connection,), name="graph-process", daemon=True
        ).start()

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
            with self._sending:
                self._connection.send_bytes(encode({"id": number, "outputs": names}, feeds))
            header, arrays = answer.result(seconds)
        except TimeoutError:
            raise self._failed(f"did not answer within {seconds:.0f} s and was stopped") from None
        except (OSError, EOFError, ValueError):
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
        try:
            self._connection.send_bytes(encode(request))
            if not self._connection.poll(seconds):
                raise self._failed(f"was not loaded within {seconds:.0f} s and was stopped")
            opened, _ = decode(self._connection.recv_bytes())
        except (OSError, EOFError, ValueError) as error:
            if isinstance(error, InputError):
                raise
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
        self._end()
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

    def receive(self, connection: Connection) -> None:
        """Pass answers to the calls that wait for them, until the connection ends."""
        try:
            while True:
                header, arrays = decode(connection.recv_bytes())
                with self._lock:
                    answer = self._open.pop(header["id"], None)
                if answer is not None:
                    answer.set_result((header, arrays))
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            with self._lock:
                self._closed = True
                left, self._open = list(self._open.values()), {}
            for answer in left:
                answer.set_exception(EOFError())
        finally:
            connection.close()


def _memory(size: int, provider: str, threads: int) -> int:
    """Return the memory limit for a file of `size` bytes, in bytes."""
    more = 0 if provider == "cpu" else ACCELERATOR_MEMORY
    return BASE_MEMORY + WEIGHT_COPIES * size + THREAD_MEMORY * threads + more


def _advice(path: Path) -> str:
    return f"if you trust its author, run `inficond trust {path}`"


def _start(path: Path) -> tuple[Connection, "subprocess.Popen[bytes]"]:
    """Start the child process; return the connection to it."""
    if os.name != "posix":
        raise InputError(f"{path} {UNLIMITED}: {_advice(path)}")
    ours, theirs = socket.socketpair()
    # The child finds this package even if the parent found it through its working directory or sys.path.
    root = str(Path(next(iter(inficond.__path__))).parent)
    search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "inficond.core.models.graph_worker", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": search},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
    except OSError as error:
        ours.close()
        raise InputError(f"cannot start the process that runs {path}: {error.strerror or error}") from None
    return Connection(ours.detach()), process


def _stop(process: "subprocess.Popen[bytes]", owner: int) -> None:
    """End the child process, unless this process is a fork of the one that started it."""
    if os.getpid() == owner:
        process.kill()
        process.wait()
