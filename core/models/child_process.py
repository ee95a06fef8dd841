"""Child processes that answer messages of JSON and arrays over their standard streams.

Work on files from elsewhere (graphs, pictures) runs in such processes, with limits that the operating system
enforces. Messages need no pickle: a child process that was taken over cannot run code in its parent.
"""

import contextlib
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from inficond.core.errors import InputError, system_reason
from inficond.core.models.array_messages import decode, encode

LARGEST_MESSAGE = 1 << 30
_LENGTH = struct.Struct("<Q")


class Channel:
    """Messages over two streams. Several threads may send; one may receive.

    Parameters
    ----------
    reader, writer : binary streams
    """

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader, self._writer = reader, writer
        self._sending = threading.Lock()

    def send(self, header: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
        """Send a message.

        Raises
        ------
        OSError
            The other process has ended.
        """
        message = encode(header, arrays)
        with self._sending:
            try:
                self._writer.write(_LENGTH.pack(len(message)))
                self._writer.write(message)
                self._writer.flush()
            except ValueError as error:  # the stream is closed
                raise BrokenPipeError(str(error)) from None

    def receive(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Wait for a message.

        Raises
        ------
        EOFError
            The other process has ended, or sent something else.
        """
        try:
            (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
            if length > LARGEST_MESSAGE:
                raise EOFError
            return decode(self._exactly(length))
        except (OSError, ValueError, TypeError, struct.error):
            raise EOFError from None

    def _exactly(self, count: int) -> bytes:
        block = self._reader.read(count)
        if len(block) != count:
            raise EOFError
        return block


class ChildProcess:
    """A process that runs a module of this package and serves a `Channel`.

    Parameters
    ----------
    module : str
        Full name; its `main` is expected to call `serve_parent`.

    Raises
    ------
    InputError
        The process cannot be started.
    """

    def __init__(self, module: str) -> None:
        # The child finds this package even if the parent found it through its working directory or sys.path.
        root = str(Path(__file__).parents[3])  # the folder that holds the package
        search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                env={**os.environ, "PYTHONPATH": search},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise InputError(f"cannot start another process of Python: {system_reason(error)}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.channel = Channel(self._process.stdout, self._process.stdin)  # type: ignore[arg-type]
        self.stop = weakref.finalize(self, _stop, self._process, os.getpid())

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[threading.Event]:
        """End the process if a block takes longer than `seconds`; the event is set if that happened."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self.stop()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield expired
        finally:
            timer.cancel()


def _stop(process: "subprocess.Popen[bytes]", owner: int) -> None:
    """End a process, unless this process is a fork of the one that started it."""
    if os.getpid() == owner:
        process.kill()
        process.wait()


def parent_channel() -> Channel:
    """Return the channel to the parent, in a child process.

    Standard output then leads nowhere, so that nothing printed by a library can become part of a message.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return Channel(reader, writer)  # type: ignore[arg-type]


def limit_memory(limit: int) -> bool:
    """Limit the memory that this process can allocate; return whether the limit works.

    Linux counts private writable memory against RLIMIT_DATA. Where that has no effect, the limit is set on
    the address space. macOS accepts both and enforces neither; Windows has no `resource` module.

    Parameters
    ----------
    limit : int
        Bytes.
    """
    try:
        import resource
    except ImportError:
        return False
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError):
            continue
        try:
            mmap.mmap(-1, limit, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        except OSError:
            return True
    return False
