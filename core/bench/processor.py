"""Processor time of a task, without the time that threads of earlier tasks still use."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE, IDLE, PATIENCE = 0.02, 0.002, 2.0
"""Seconds: length of an observation, processor time in it that counts as idle, and maximum wait."""
OBSERVATIONS = 3
"""Consecutive idle observations: on a busy machine a thread may get no processor during one."""


def wait_until_idle() -> None:
    """Wait until this process is idle: threads of a BLAS spin for a while after a product."""
    until, idle = time.monotonic() + PATIENCE, 0
    while idle < OBSERVATIONS and time.monotonic() < until:
        start = time.process_time()
        time.sleep(PAUSE)
        idle = idle + 1 if time.process_time() - start < IDLE else 0


def processor_time(work: Callable[[], T]) -> tuple[float, T]:
    """Return the processor time of all threads of this process, in seconds, and the result of `work`."""
    wait_until_idle()
    start = time.process_time()
    result = work()
    return time.process_time() - start, result
