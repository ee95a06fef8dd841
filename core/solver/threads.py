"""Threads of ours over rows and classes, each calling a single-threaded BLAS.

OpenBLAS's own threads under a parallel loop wait for each other, so they are switched off while a fit runs
and put back when the last fit has ended.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")
_lock = threading.Lock()
_running = 0
_limiter: Any = None


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """BLAS uses one thread inside; counted, so that fits of several visitors may overlap."""
    global _running, _limiter
    with _lock:
        if _running == 0:
            _limiter = _controller().limit(limits=1, user_api="blas")
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                _limiter.restore_original_limits()
                _limiter = None


def available() -> int:
    """Processors that this process may use; `OMP_NUM_THREADS` lowers it."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(count, int(asked))) if asked.isdigit() else count


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="inficond-solver")


def slices(count: int, size: int) -> list[slice]:
    """`count` items in runs of `size`: the same whatever the number of threads, so that results are too."""
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def run(task: Callable[[T], None], items: Sequence[T], threads: int) -> None:
    """Call `task` on every item, `threads` at a time; the caller's thread takes its share."""
    if threads <= 1 or len(items) <= 1:
        for item in items:
            task(item)
        return
    waiting = iter(items)
    take = threading.Lock()

    def work() -> None:
        while True:
            with take:
                item = next(waiting, None)
            if item is None:
                return
            task(item)

    others = [_pool(threads - 1).submit(work) for _ in range(min(threads, len(items)) - 1)]
    try:
        work()
    finally:
        for other in others:
            other.result()
