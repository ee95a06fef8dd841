"""Batching of requests of many visitors: batches, errors of single images, cancellation and health."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.models import scheduler as scheduling
from inficond.core.models.scheduler import Busy, Closed, Scheduler

POISON = 255


class Answer(NamedTuple):
    mean: np.ndarray
    first: np.ndarray


def picture(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, np.uint8)


class Model:
    """A model that averages pixels, raises an error for a batch with a bad image, and records its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.sizes = seconds, []

    def __call__(self, pixels: np.ndarray) -> Answer:
        self.sizes.append(len(pixels))
        if self.seconds:
            time.sleep(self.seconds)
        if (pixels == POISON).all(axis=(1, 2, 3)).any():
            raise InputError("poisoned")
        return Answer(pixels.mean((1, 2, 3)), pixels[:, 0, 0])


class Gate:
    """A model that returns only while it is open."""

    def __init__(self) -> None:
        self.open, self.entered = threading.Event(), threading.Event()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        self.entered.set()
        self.open.wait(10)
        return pixels.mean((1, 2, 3))


def test_each_request_gets_its_own_row():
    with Scheduler(Model(), batch_size=4) as scheduler:
        futures = [scheduler.submit(picture(i)) for i in range(50)]
        answers = [f.result(5) for f in futures]
    assert [a.mean for a in answers] == list(range(50))
    assert isinstance(answers[0], Answer)
    assert answers[7].first.base is None, "a kept answer must not keep its whole batch"


def test_simultaneous_requests_run_in_one_batch():
    model = Model(seconds=0.02)
    with Scheduler(model, batch_size=8) as scheduler, ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda i: scheduler.ask(picture(i)), range(64)))
    assert max(model.sizes) == 8
    assert len(model.sizes) < 32


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=24), st.integers(1, 9))
def test_a_failing_image_fails_only_its_own_request(poisoned, batch_size):
    with Scheduler(Model(), batch_size=batch_size) as scheduler:
        futures = [scheduler.submit(picture(POISON if bad else 10)) for bad in poisoned]
        for bad, future in zip(poisoned, futures):
            if bad:
                with pytest.raises(InputError, match="poisoned"):
                    future.result(5)
            else:
                assert future.result(5).mean == 10
        health = scheduler.health()
    assert (health.answered, health.failed) == (poisoned.count(False), poisoned.count(True))
    assert health.ok


def test_pixels_of_another_shape_fail_only_their_own_request():
    with Scheduler(Model(), batch_size=8, latency=0.05) as scheduler:
        good = [scheduler.submit(picture(1)) for _ in range(3)]
        bad = scheduler.submit(np.zeros((9, 4, 3), np.uint8))
        more = scheduler.submit(picture(2))
        assert [f.result(5).mean for f in (*good, more)] == [1, 1, 1, 2]
        assert bad.result(5).mean == 0  # alone it is a batch like any other
        assert scheduler.health().ok


def test_errors_of_prepare_reach_only_their_caller():
    def prepare(path):
        if path == "broken.jpg":
            raise InputError("broken.jpg cannot be read")
        return picture(3)

    with Scheduler(Model(), prepare) as scheduler:
        with pytest.raises(InputError, match="cannot be read"):
            scheduler.ask("broken.jpg")
        assert scheduler.ask("good.jpg").mean == 3


def test_a_full_queue_raises_busy():
    gate = Gate()
    with Scheduler(gate, batch_size=1, queue=2) as scheduler:
        first = scheduler.submit(picture(0))
        assert gate.entered.wait(5)
        waiting = [scheduler.submit(picture(i)) for i in (1, 2)]
        with pytest.raises(Busy, match="busy"):
            scheduler.submit(picture(3), patience=0.05)
        assert scheduler.health().refused == 1
        gate.open.set()
        assert [f.result(5) for f in (first, *waiting)] == [0, 1, 2]


def test_a_request_waits_for_a_place_in_the_queue():
    gate = Gate()
    with Scheduler(gate, batch_size=1, queue=1, patience=10) as scheduler:
        scheduler.submit(picture(0))
        assert gate.entered.wait(5)
        scheduler.submit(picture(1))
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(scheduler.submit, picture(2))
            gate.open.set()
            assert late.result(5).result(5) == 2


def test_a_cancelled_request_frees_its_place_and_is_not_run():
    gate, seen = Gate(), []

    def run(pixels):
        seen.extend(pixels[:, 0, 0, 0].tolist())
        return gate(pixels)

    with Scheduler(run, batch_size=1, queue=1) as scheduler:
        first = scheduler.submit(picture(0))
        assert gate.entered.wait(5)
        dropped = scheduler.submit(picture(1))
        assert dropped.cancel()
        kept = scheduler.submit(picture(2), patience=1)
        gate.open.set()
        assert [first.result(5), kept.result(5)] == [0, 2]
        assert scheduler.health().cancelled == 1
    assert seen == [0, 2]


def test_a_timeout_cancels_the_request():
    gate = Gate()
    with Scheduler(gate, batch_size=1) as scheduler:
        scheduler.submit(picture(0))
        assert gate.entered.wait(5)
        with pytest.raises(TimeoutError):
            scheduler.ask(picture(1), timeout=0.05)
        gate.open.set()
        assert scheduler.ask(picture(2), timeout=5) == 2
        assert scheduler.health().cancelled == 1


def test_health_reports_requests_without_a_response(monkeypatch):
    gate = Gate()
    with Scheduler(gate, batch_size=1, stall=30) as scheduler:
        assert scheduler.health().ok
        future = scheduler.submit(picture(0))
        assert gate.entered.wait(5)
        with monkeypatch.context() as patch:
            now = time.monotonic() + 60
            patch.setattr(scheduling, "time", SimpleNamespace(monotonic=lambda: now))
            health = scheduler.health()
        assert not health.ok
        assert "no answer for" in health.reason
        assert health.oldest > 30
        gate.open.set()
        assert future.result(5) == 0
        assert scheduler.health().ok


def test_a_worker_that_has_ended_fails_all_waiting_requests():
    class Unplugged(BaseException):
        """An exception that `except Exception` does not catch."""

    entered, go = threading.Event(), threading.Event()

    def run(pixels):
        entered.set()
        go.wait(5)
        raise Unplugged

    hook, threading.excepthook = threading.excepthook, lambda args: None
    try:
        others = threading.enumerate()
        scheduler = Scheduler(run, batch_size=1)
        [worker] = [t for t in threading.enumerate() if t not in others]
        running = scheduler.submit(picture(0))
        assert entered.wait(5)
        waiting = scheduler.submit(picture(1))
        go.set()
        with pytest.raises(Closed):
            running.result(5)
        assert waiting.cancelled() or isinstance(waiting.exception(5), Closed)
        worker.join(5)
        assert not scheduler.health().ok
        assert "has ended" in scheduler.health().reason
        with pytest.raises(Closed):
            scheduler.submit(picture(2))
    finally:
        threading.excepthook = hook


def test_out_of_memory_halves_the_batch_and_loses_nothing():
    sizes = []

    def run(pixels):
        sizes.append(len(pixels))
        if len(pixels) > 3:
            raise InputError("Failed to allocate memory for requested buffer of size 123456")
        return pixels.mean((1, 2, 3))

    with Scheduler(run, batch_size=16, latency=0.05) as scheduler:
        futures = [scheduler.submit(picture(i)) for i in range(48)]
        assert [f.result(5) for f in futures] == list(range(48))
        assert scheduler.health().batch_size <= 4
    assert max(sizes[-6:]) <= 4


def test_closing_ends_the_worker_and_cancels_waiting_requests():
    gate = Gate()
    scheduler = Scheduler(gate, batch_size=1)
    running = scheduler.submit(picture(0))
    assert gate.entered.wait(5)
    waiting = scheduler.submit(picture(1))
    threading.Timer(0.1, gate.open.set).start()
    scheduler.close()
    assert running.result(5) == 0
    assert waiting.cancelled()
    with pytest.raises(Closed):
        scheduler.submit(picture(2))


def test_many_clients_get_their_own_results_and_errors():
    """32 clients send 10,000 requests, of which one in a hundred fails."""
    with Scheduler(Model(), batch_size=16, queue=64, latency=0.001) as scheduler:

        def client(number):
            outcome = Counter()
            for i in range(number, 10_000, 32):
                value = POISON if i % 100 == 0 else i % 250
                try:
                    outcome[
                        "right" if scheduler.ask(picture(value), timeout=60).mean == value else "wrong"
                    ] += 1
                except InputError:
                    outcome["failed" if value == POISON else "lost"] += 1
            return outcome

        with ThreadPoolExecutor(32) as pool:
            total = sum(pool.map(client, range(32)), Counter())
        health = scheduler.health()
    assert total == Counter(right=9_900, failed=100)
    assert (health.answered, health.failed, health.waiting, health.running) == (9_900, 100, 0, 0)
    assert health.ok
    assert health.p95 >= health.p50 > 0
