"""Processor time of a task, without the time that threads of earlier tasks still use."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE, IDLE, PATIENCE = 0.02, 0.002, 2.0
"""Seconds: length of an observation, processor time in it that counts as idle, and maximum wait."""


def wait_until_idle() -> None:
    """Wait until this process is idle: threads of a BLAS spin for a while after a product."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        start = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - start < IDLE:
            return


def processor_time(work: Callable[[], T]) -> tuple[float, T]:
    """Return the processor time of all threads of this process, in seconds, and the result of `work`."""
    wait_until_idle()
    start = time.process_time()
    result = work()
    return time.process_time() - start, result
