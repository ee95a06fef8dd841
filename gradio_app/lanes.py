"""Two lanes for the page's requests: what a person waits for never queues behind what they do not.

A search for suggestions takes as long as ten switches of the class, and every tab asks for one after each
step. With one queue for all, thirty visitors would wait for each other's searches. Searches therefore run in
a few threads of their own, at a lower priority where the system knows one for threads; everything else runs
in others. Neither blocks the server's own threads while it waits for its turn.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

BEHIND = 10
"""How much nicer slow threads are than quick ones, in Unix's scale."""


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _step_back() -> None:
    """Let other threads go first; only Linux gives a priority to a thread."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BEHIND)


class Lanes:
    """The threads that answer a page.

    Parameters
    ----------
    is_slow : callable
        ``(function's name, request) -> bool``.
    """

    def __init__(self, is_slow: Callable[[str, Mapping[str, Any]], bool]) -> None:
        n = processors()
        self._is_slow = is_slow
        self._quick = ThreadPoolExecutor(max(4, 2 * n), "inficond-quick")
        self._slow = ThreadPoolExecutor(max(1, n // 2), "inficond-slow", _step_back)

    async def run(self, name: str, method: Callable[[Any], str], request: Any) -> str:
        """The method's answer, when its lane came to it."""
        slow = isinstance(request, Mapping) and self._is_slow(name, request)
        lane = self._slow if slow else self._quick
        return await asyncio.get_running_loop().run_in_executor(lane, method, request)

    def close(self) -> None:
        """Drop what waits."""
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._slow.shutdown(wait=False, cancel_futures=True)
