"""Threads over groups of rows and classes, each calling a single-threaded BLAS.

Threads of OpenBLAS under a parallel loop wait for each other, so they are switched off while a fit runs and
restored when the last concurrent fit has ended. A forked child starts with fresh threads and locks.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from inficond.core.processors import available_processors as available

__all__ = ["available", "run", "single_threaded_blas", "slices"]

T = TypeVar("T")
_lock = threading.Lock()
_running = 0
_limiter: Any = None
_running_tasks = threading.local()
"""`here` is true in a thread that runs tasks."""


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _take_control() -> None:
    """Let this thread change the number of BLAS threads.

    threadpoolctl 3.8 ignores changes by any thread but the one that made the first. The lock of this module
    orders the changes instead.
    """
    for library in _controller().lib_controllers:
        clear = getattr(type(library), "clear_controlling_thread", None)
        if clear is not None:
            clear(force=True)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread inside the block; blocks of several threads may overlap."""
    global _running, _limiter
    with _lock:
        if _running == 0:
            _take_control()
            _limiter = _controller().limit(limits=1, user_api="blas")
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                _take_control()
                _limiter.restore_original_limits()
                _limiter = None
                _take_control()  # leaves the next change to any thread


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="inficond-solver")


def _reset_after_fork() -> None:
    """Drop threads and locks of the parent, since only the forking thread exists in the child."""
    global _lock, _running, _limiter
    _pool.cache_clear()
    _lock = threading.Lock()
    if _limiter is not None:
        _take_control()
        _limiter.restore_original_limits()
    _running, _limiter = 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def slices(count: int, size: int) -> list[slice]:
    """Split range(count) into slices of `size`; results do not depend on the number of threads."""
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def run(task: Callable[[T], None], items: Sequence[T], threads: int) -> None:
    """Call `task` on every item with up to `threads` threads, the calling thread included.

    A call inside a task uses the thread of the task alone: the others are busy.

    Raises
    ------
    Exception
        Of the first task that failed, after all threads have stopped.
    """
    if threads <= 1 or len(items) <= 1 or getattr(_running_tasks, "here", False):
        for item in items:
            task(item)
        return
    waiting = iter(items)
    take = threading.Lock()

    def work() -> None:
        _running_tasks.here = True
        try:
            while True:
                with take:
                    item = next(waiting, None)
                if item is None:
                    return
                task(item)
        finally:
            _running_tasks.here = False

    others = [_pool(threads - 1).submit(work) for _ in range(min(threads, len(items)) - 1)]
    try:
        work()
    finally:
        for other in others:
            other.result()
