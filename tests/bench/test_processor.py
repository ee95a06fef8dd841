"""Processor time of a task, without threads of earlier tasks."""

import threading
import time

from inficond.core.bench.processor import processor_time


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_timing_waits_until_earlier_threads_are_idle() -> None:
    left = threading.Thread(target=burn, args=(0.3,))
    left.start()
    seconds, found = processor_time(lambda: "done")
    assert found == "done"
    assert not left.is_alive()
    assert seconds < 0.1


def test_threads_of_the_task_are_included() -> None:
    def work() -> None:
        threads = [threading.Thread(target=burn, args=(0.1,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert processor_time(work)[0] >= 0.2
