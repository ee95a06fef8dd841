"""A save beside other work, in a thread that may fail to start."""

import _thread
import threading
from collections.abc import Callable
from contextlib import suppress


class Saver:
    """Calls a function once: in a thread of its own, or in the thread that waits for it.

    Where memory is short, a new thread can end before it runs anything, and `threading.Thread.start` then
    waits for it for ever. Whichever thread takes the turn first calls the function.

    Parameters
    ----------
    save : callable
        Must not raise an exception, except for `MemoryError`, which ends its thread.

    Examples
    --------
    >>> from inficond.core.sessions.saver import Saver
    >>> saved = []
    >>> saver = Saver(lambda: saved.append("step"))
    >>> saver.start()
    >>> saver.wait()
    >>> saved
    ['step']
    """

    def __init__(self, save: Callable[[], None]) -> None:
        self._save = save
        self._turn, self._ended = threading.Lock(), threading.Event()

    def start(self) -> None:
        """Start the thread; without one, `wait` calls the function."""
        with suppress(RuntimeError, MemoryError):
            _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        if self._turn.acquire(blocking=False):
            try:
                self._save()
            finally:
                self._ended.set()

    def wait(self) -> None:
        """Wait until the function has ended; call it here if no thread has begun to."""
        self._run()
        self._ended.wait()
