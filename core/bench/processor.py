"""Processor time of one piece of work, without what threads of earlier work still use up."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE, IDLE, PATIENCE = 0.02, 0.002, 2.0
"""Seconds: how long is looked, how much of that counts as rest, and how long is waited for it."""


def settle() -> None:
    """Wait until this process rests: after a product, the threads of a BLAS look for the next for a while."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        start = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - start < IDLE:
            return


def processor_time(work: Callable[[], T]) -> tuple[float, T]:
    """Processor time of all threads of this process, in seconds, and what `work` returned."""
    settle()
    start = time.process_time()
    found = work()
    return time.process_time() - start, found
