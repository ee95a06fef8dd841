"""Background threads of a page, which end before it does."""

import threading
import time
from collections.abc import Callable

from inficond.core.errors import Cancelled

CLOSE_SECONDS = 15.0
"""Seconds for which the end of all threads is awaited."""


class BackgroundThreads:
    """Threads that are asked to stop and awaited when the page closes.

    A thread that runs compiled code (numba, ONNX Runtime, Pillow) while the interpreter exits can abort the
    process, so no such thread is left behind.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        """Whether the page is closing: a thread returns as soon as it reads true."""
        return self._stop.is_set()

    @property
    def progress(self) -> "UntilClosed":
        """Progress of long work, which is cancelled when the page closes."""
        return UntilClosed(self._stop)

    def stop(self) -> None:
        """Ask all threads to stop, and cancel work that reports to `progress`."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait; return whether the page is closing."""
        return self._stop.wait(seconds)

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread; no effect if the page is closing.

        Parameters
        ----------
        name : str
            Name of the thread.
        work : callable
            Reads `stopped` between steps of at most a few seconds.
        """
        with self._lock:
            if self.stopped:
                return
            self._threads = [t for t in self._threads if t.is_alive()]
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Ask all threads to stop and wait for them; return whether all have ended.

        Parameters
        ----------
        seconds : float
            Longest wait for all threads together.
        """
        self._stop.set()
        end = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)


class UntilClosed:
    """Progress that shows nothing and cancels the work when the page closes.

    Parameters
    ----------
    closing : Event
        Set when the page closes.
    """

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self.advance(0)

    def advance(self, n: int = 1) -> None:
        """Raise `Cancelled` if the page is closing."""
        if self._closing.is_set():
            raise Cancelled("the page is closing")

    def note(self, message: str) -> None:
        """Ignore a line."""
