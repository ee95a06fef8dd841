"""Fair scheduling of the page's work: addresses take turns, then visitors, by the time they have used.

Work is divided into four kinds with threads of their own, so that none delays another: ``quick`` requests,
for which a person waits; ``search`` requests, which the page makes in the background after each step;
``image`` requests, which decode and encode a visitor's image; and ``job`` requests, which take seconds or
minutes.

Within a kind, the caller with the least sum of the time used so far and the expected cost of the next
request is served next (fair queueing by virtual time; Golestani, INFOCOM 1994). A caller that is new, or
comes back, begins at the virtual time: what a caller with a fair share would have used by now, and at least
that sum for the request served last. It grows with each request, so a request waits for a limited number of
others, however cheap these are and however many arrive. The share is divided among addresses first, then
among the visitors of an address. A visitor has one request in progress, because the steps of one session run
one after another anyway. Requests without a visit count as one visitor, divided among their connections, so
a client that begins a new visit with each request gains nothing.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeVar

from inficond.core.errors import InputError
from inficond.core.processors import available_processors
from inficond.gradio_app.limits import WAITING, Caller, LimitExceeded

MAX_WAITING = WAITING.per_visit
"""Waiting requests of one visitor; the page has a few at most."""
SEARCH_SECONDS = 15.0
"""Seconds that a search waits for its turn; the page then asks again later."""
NICENESS = 10
"""Increase of the niceness (Unix) of threads that give way to others."""
JOB_THREADS = 2
LEAST_COST = 1e-3
"""Seconds that a request counts at least."""
KEPT_IDLE = 256
"""Idle shares of a node whose time is remembered, at most."""
Kind = Literal["quick", "search", "image", "job"]
T = TypeVar("T")


def lower_thread_priority() -> None:
    """Lower the priority of the current thread; only Linux has priorities of threads."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class QueueFull(LimitExceeded):
    """Too many requests wait; the new one was not begun."""


class RetryLater(InputError):
    """The turn of a search did not come in time; it was not begun."""


@dataclass(frozen=True, eq=False)
class _Request:
    """A request that waits; `cost` is its expected duration in seconds."""

    future: "Future[Any]"
    work: Callable[[], Any]
    cost: float
    weight: float

    def charge(self, seconds: float) -> float:
        """Return what a duration counts against the caller."""
        return self.weight * max(seconds, LEAST_COST)


@dataclass(eq=False)
class _Share:
    """A node of the tree of shares: all callers, an address, a visitor or a connection.

    `used` is the time that the node has used, in seconds, on the scale of its parent's `virtual_time`;
    `limit` the number of its requests in progress; `virtual_time` the time at which a new child begins.
    """

    limit: int
    used: float = 0.0
    virtual_time: float = 0.0
    running: int = 0
    waiting: int = 0
    children: "dict[str, _Share]" = field(default_factory=dict)
    requests: "deque[_Request]" = field(default_factory=deque)

    @property
    def finish(self) -> float:
        """The time that the share will have used after its next request."""
        return self.used + self.next_cost

    @property
    def next_cost(self) -> float:
        """Weighted cost of the next request of the share or of a share below it; 0 without requests."""
        if self.requests:
            return self.requests[0].charge(self.requests[0].cost)
        first = min((c for c in self.children.values() if c.waiting), key=lambda c: c.finish, default=None)
        return 0.0 if first is None else first.next_cost

    @property
    def is_idle(self) -> bool:
        """Whether no request of the share waits or runs."""
        return not self.running and not self.waiting


class FairQueue:
    """Threads that callers share fairly.

    Parameters
    ----------
    threads : int
    name : str
        Name of the threads.
    initializer : callable, optional
        Called in each thread when it starts.
    clock : callable
        Returns seconds; measures the time that requests use.
    """

    def __init__(
        self,
        threads: int,
        name: str,
        initializer: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, name, initializer)
        self._threads = threads
        self._clock = clock
        self._lock = threading.Lock()
        self._root = _Share(limit=threads)

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return self._root.waiting

    def submit(
        self,
        caller: Caller,
        visit: str | None,
        work: Callable[[], T],
        cost: float = 0.0,
        weight: float = 1.0,
    ) -> "Future[T]":
        """Queue a request.

        Parameters
        ----------
        caller : Caller
        visit : str or None
            Token of the visit; None for a request without a known visit.
        work : callable
            Called without arguments in a thread.
        cost : float
            Expected duration in seconds. Orders requests; the duration itself is measured.
        weight : float
            Factor on the expected and the measured duration in the caller's share.

        Raises
        ------
        QueueFull
            Too many requests of the visitor, the address or all callers wait.
        """
        future: Future[T] = Future()
        with self._lock:
            path = self._path(caller, visit)
            limits = (WAITING.total, WAITING.total if caller.is_local else WAITING.per_address)
            full = any(share.waiting >= limit for share, limit in zip(path, limits))
            if full or (path[-1].waiting >= MAX_WAITING):
                self._forget_idle(path)
                raise QueueFull("too many requests wait for their turn: wait for their responses")
            for share in path:
                share.waiting += 1
            path[-1].requests.append(_Request(future, work, cost, weight))
            self._start()
        return future

    def _path(self, caller: Caller, visit: str | None) -> list[_Share]:
        """Return the shares of a request from the root down, creating missing ones."""
        if visit is None:
            names = [caller.address, "no visit", f"connection {caller.connection}"]
            limits = [self._threads, max(1, self._threads // 2), self._threads]
        else:
            names, limits = [caller.address, f"visit {visit}"], [self._threads, 1]
        path = [self._root]
        for name, limit in zip(names, limits):
            parent = path[-1]
            share = parent.children.get(name)
            if share is None:
                share = parent.children[name] = _Share(limit)
            if share.is_idle:
                share.used = max(share.used, parent.virtual_time)
            path.append(share)
        return path

    def _forget_idle(self, path: list[_Share]) -> None:
        """Remove idle shares that have used no more than the virtual time, and those beyond `KEPT_IDLE`."""
        for parent, share in zip(reversed(path[:-1]), reversed(path[1:])):
            if not share.is_idle:
                continue
            share.children.clear()
            idle = sorted((c.used, name) for name, c in parent.children.items() if c.is_idle)
            surplus = len(idle) - KEPT_IDLE
            for i, (used, name) in enumerate(idle):
                if used <= parent.virtual_time or i < surplus:
                    del parent.children[name]

    def _start(self) -> None:
        """Start requests while threads are free. The caller holds the lock."""
        while (path := self._next()) is not None:
            for parent, share in pairwise(path):
                parent.virtual_time = max(parent.virtual_time, share.finish)
            request = path[-1].requests.popleft()
            for share in path:
                share.waiting -= 1
            if not request.future.set_running_or_notify_cancel():
                self._forget_idle(path)
                continue
            for share in path:
                share.running += 1
            self._pool.submit(self._run, path, request)

    def _next(self) -> list[_Share] | None:
        """Return the path to the share that is served next: at each level, the first to finish."""
        return self._descend(self._root) or None

    def _descend(self, share: _Share) -> list[_Share]:
        if not share.waiting or share.running >= share.limit:
            return []
        if share.requests:
            return [share]
        waiting = (child for child in share.children.values() if child.waiting)
        for child in sorted(waiting, key=lambda c: c.finish):
            path = self._descend(child)
            if path:
                return [share, *path]
        return []

    def _run(self, path: list[_Share], request: _Request) -> None:
        began = self._clock()
        try:
            result = request.work()
        except BaseException as error:
            self._finish(path, request.charge(self._clock() - began))
            request.future.set_exception(error)
            return
        self._finish(path, request.charge(self._clock() - began))
        request.future.set_result(result)

    def _finish(self, path: list[_Share], charged: float) -> None:
        with self._lock:
            for parent in path[:-1]:
                busy = sum(not child.is_idle for child in parent.children.values())
                parent.virtual_time += charged / busy
            for share in path:
                share.running -= 1
                share.used += charged
            self._forget_idle(path)
            with contextlib.suppress(RuntimeError):  # the pool was closed
                self._start()

    def close(self) -> None:
        """Cancel the waiting requests."""
        with self._lock:
            waiting = _collect(self._root)
        for future in waiting:
            future.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _collect(share: _Share) -> "list[Future[Any]]":
    """Remove and return all waiting requests below a share."""
    futures = [request.future for request in share.requests]
    share.requests.clear()
    share.waiting = 0
    for child in share.children.values():
        futures += _collect(child)
    return futures


class RequestQueue:
    """The threads that do the page's work, by kind.

    Parameters
    ----------
    search_seconds : float
        See `SEARCH_SECONDS`.
    """

    def __init__(self, search_seconds: float = SEARCH_SECONDS) -> None:
        n = available_processors()
        self.search_seconds = search_seconds
        self._queues = {
            "quick": FairQueue(max(4, 2 * n), "inficond-quick"),
            "search": FairQueue(max(1, n // 2), "inficond-search", lower_thread_priority),
            "image": FairQueue(1, "inficond-image"),
            "job": FairQueue(JOB_THREADS, "inficond-job", lower_thread_priority),
        }

    def submit(
        self,
        kind: Kind,
        caller: Caller,
        visit: str | None,
        work: Callable[[], T],
        cost: float = 0.0,
        weight: float = 1.0,
    ) -> "Future[T]":
        """Queue work of a kind; see `FairQueue.submit`."""
        return self._queues[kind].submit(caller, visit, work, cost, weight)

    async def run(
        self,
        kind: Kind,
        caller: Caller,
        visit: str | None,
        work: Callable[[], T],
        cost: float = 0.0,
        weight: float = 1.0,
    ) -> T:
        """Run work in a thread when its turn comes, and return its result.

        Parameters
        ----------
        kind : str
        caller : Caller
        visit : str or None
            Token of a known visit.
        work : callable
        cost, weight : float
            See `FairQueue.submit`.

        Raises
        ------
        QueueFull
            Too many requests wait.
        RetryLater
            The turn of a search did not come in time.
        """
        future = self.submit(kind, caller, visit, work, cost, weight)
        result = asyncio.wrap_future(future)
        if kind == "search":
            done, _ = await asyncio.wait([result], timeout=self.search_seconds)
            if not done and future.cancel():  # a search that has begun is waited for
                raise RetryLater("Many searches are waiting. This one is repeated in a moment.")
        return await result

    def waiting(self, kind: Kind) -> int:
        """Return the number of waiting requests of a kind."""
        return self._queues[kind].waiting

    def close(self) -> None:
        """Cancel the waiting requests."""
        for queue in self._queues.values():
            queue.close()
