"""Two lanes for the page's requests: what a person waits for never queues behind what they do not.

A search for suggestions takes as long as ten switches of the class, and every tab asks for one after each
step. With one queue for all, thirty visitors would wait for each other's searches. Searches therefore run in
a few threads of their own, at a lower priority where the system knows one for threads; everything else runs
in others. Neither blocks the server's own threads while it waits for its turn.

Inside a lane visitors take turns. A session takes its steps one after another, so a second thread on the same
session would only wait for the first: each visitor has one request at work, and those who keep many in flight
queue behind themselves, up to `MAX_WAITING`. A search whose turn does not come in time is let go of: whoever
asks again later may have turned to something else by then.
"""

import asyncio
import contextlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from inficond.core.errors import InputError
from inficond.core.processors import available_processors

MAX_WAITING = 32
"""Requests of one visitor that may wait; a page has a handful in flight at most."""
PATIENCE = 15.0
"""Seconds that a search may wait for its turn; then it is refused, to be asked for again."""
NOBODY = ""
BEHIND = 10
"""How much nicer slow threads are than quick ones, in Unix's scale."""


def lower_thread_priority() -> None:
    """Let other threads go first; only Linux gives a priority to a thread."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BEHIND)


class QueueFull(InputError):
    """A visitor has more requests in flight than can be kept."""


class RetryLater(InputError):
    """A search whose turn did not come in time; nothing was begun."""


class FairQueue:
    """Threads that visitors share in turns.

    Parameters
    ----------
    threads : int
    name : str
        Of the threads.
    begin : callable, optional
        Run in each thread first.
    """

    def __init__(self, threads: int, name: str, begin: Callable[[], None] | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads, name, begin)
        self._free = threads
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str | None, deque[tuple[Future[str], Callable[[], str]]]] = OrderedDict()
        self._at_work: set[str] = set()

    def submit(self, who: str | None, work: Callable[[], str]) -> "Future[str]":
        """Queue a request of a visitor; None is one who has no session yet, of whom there may be many.

        Raises
        ------
        QueueFull
            So many of theirs wait already.
        """
        future: Future[str] = Future()
        with self._lock:
            queue = self._waiting.setdefault(who, deque())
            if who is not None and len(queue) >= MAX_WAITING:
                raise QueueFull("too many of your requests wait already: wait for their answers")
            queue.append((future, work))
            self._start()
        return future

    def _start(self) -> None:
        """Give free threads to the visitors who have waited longest for a turn; the lock is held."""
        while self._free:
            who = next((w for w in self._waiting if w is None or w not in self._at_work), NOBODY)
            if who is NOBODY:
                return
            queue = self._waiting.pop(who)
            future, work = queue.popleft()
            if queue:
                self._waiting[who] = queue  # at the end: everybody else first
            if not future.set_running_or_notify_cancel():
                continue
            if who is not None:
                self._at_work.add(who)
            self._free -= 1
            self._pool.submit(self._run, who, future, work)

    def _run(self, who: str | None, future: "Future[str]", work: Callable[[], str]) -> None:
        try:
            answer = work()
        except BaseException as error:
            self._done(who)
            future.set_exception(error)
            return
        self._done(who)
        future.set_result(answer)

    def _done(self, who: str | None) -> None:
        with self._lock:
            self._at_work.discard(who)  # type: ignore[arg-type]
            self._free += 1
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                self._start()

    def close(self) -> None:
        """Drop what waits."""
        with self._lock:
            left = [future for queue in self._waiting.values() for future, _ in queue]
            self._waiting.clear()
        for future in left:
            future.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


class RequestQueue:
    """The threads that answer a page.

    Parameters
    ----------
    is_slow : callable
        ``(function's name, request) -> bool``.
    patience : float
        Seconds that a slow request may wait for its turn.
    """

    def __init__(self, is_slow: Callable[[str, Mapping[str, Any]], bool], patience: float = PATIENCE) -> None:
        n = available_processors()
        self._is_slow = is_slow
        self._patience = patience
        self._quick = FairQueue(max(4, 2 * n), "inficond-quick")
        self._slow = FairQueue(max(1, n // 2), "inficond-slow", lower_thread_priority)

    async def run(self, name: str, method: Callable[[Any], str], request: Any) -> str:
        """The method's answer, when its lane came to it.

        Raises
        ------
        QueueFull
            Too many of this visitor's requests wait.
        RetryLater
            A search whose turn did not come in time.
        """
        slow = isinstance(request, Mapping) and self._is_slow(name, request)
        lane = self._slow if slow else self._quick
        token = request.get("token") if isinstance(request, Mapping) else None
        who = token if isinstance(token, str) and token else None
        future = lane.submit(who, lambda: method(request))
        answer = asyncio.wrap_future(future)
        if slow:
            done, _ = await asyncio.wait([answer], timeout=self._patience)
            if not done and future.cancel():  # what has begun is waited for
                raise RetryLater("Many people are searching just now: this is looked for again in a moment.")
        return await answer

    def close(self) -> None:
        """Drop what waits."""
        self._quick.close()
        self._slow.close()
