"""The batch size is found within a budget, and memory running out loses nothing."""

from types import SimpleNamespace

import numpy as np
import pytest

from inficond.core.errors import InputError
from inficond.core.models import batching
from inficond.core.models.batching import Halving, find_batch_size, is_out_of_memory, rows_of


def test_out_of_memory_is_recognised_in_every_form():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(
        RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 9")
    )
    assert is_out_of_memory(RuntimeError("CUDA failure 2: out of memory"))
    outer = InputError("image.onnx failed on cuda")
    outer.__cause__ = RuntimeError("std::bad_alloc")
    assert is_out_of_memory(outer)
    assert not is_out_of_memory(InputError("poisoned"))


def test_halving_answers_all_and_repeats_nothing_finished():
    seen: list[int] = []

    def run(pixels):
        if len(pixels) > 5:
            raise MemoryError
        seen.extend(pixels[:, 0, 0, 0].tolist())
        return pixels[:, 0, 0, 0].astype(np.int64), pixels.mean((1, 2, 3))

    halving = Halving(run, 64)
    pixels = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    first, mean = halving(pixels)
    assert first.tolist() == list(range(50))
    assert mean.tolist() == list(range(50))
    assert seen == list(range(50))
    assert halving.size <= 5
    assert halving.halved >= 3
    before = halving.halved
    halving(pixels)
    assert halving.halved == before, "what was learnt is kept"


def test_halving_stops_at_one_image_and_lets_other_faults_through():
    def never(pixels):
        raise MemoryError

    with pytest.raises(InputError, match="single image"):
        Halving(never, 8)(np.zeros((3, 2, 2, 3), np.uint8))

    def poisoned(pixels):
        raise InputError("poisoned")

    with pytest.raises(InputError, match="poisoned"):
        Halving(poisoned, 8)(np.zeros((3, 2, 2, 3), np.uint8))


class Clock:
    """Time that only a batch's cost moves."""

    def __init__(self, monkeypatch, cost):
        self.now, self.cost = 0.0, cost
        monkeypatch.setattr(batching, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def __call__(self, pixels):
        self.now += self.cost(len(pixels))
        return (np.zeros(len(pixels)),)


def test_the_batch_grows_while_it_pays(monkeypatch):
    run = Clock(monkeypatch, lambda n: 0.01 + 0.001 * n)  # a fixed cost a call that larger batches share
    found = find_batch_size(run, (2, 2, 3), largest=64)
    assert found.size == 64
    assert found.images_per_second[1] == pytest.approx(1 / 0.011)
    assert found.stopped == "the largest size allowed"


def test_the_batch_stays_small_where_a_larger_one_gains_nothing(monkeypatch):
    found = find_batch_size(Clock(monkeypatch, lambda n: 0.004 * n), (2, 2, 3))
    assert found.size == 1
    assert found.stopped == "no gain"
    assert list(found.images_per_second) == [1, 2]


def test_memory_ends_the_search(monkeypatch):
    def cost(n):
        if n > 4:
            raise MemoryError
        return 0.01

    run = Clock(monkeypatch, cost)
    found = find_batch_size(run, (2, 2, 3))
    assert (found.size, found.stopped) == (4, "memory ran out")
    used = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(batching, "peak_memory", lambda: next(used))
    assert find_batch_size(run, (2, 2, 3), budget=2500).stopped == "the memory budget"


def test_rows_are_copies_of_the_same_kind():
    batch = np.arange(6.0).reshape(3, 2)
    rows = rows_of((batch, batch * 2), 3)
    assert [r[1].tolist() for r in rows] == [[0, 2], [4, 6], [8, 10]]
    assert all(r[0].base is None for r in rows)
    assert rows_of(batch, 3)[2].tolist() == [4, 5]
