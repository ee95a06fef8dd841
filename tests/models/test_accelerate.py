"""Calls of an accelerator, run on the CPU provider: fixed sizes, bound buffers, many threads."""

from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.models.accelerate import SIZES, BoundCalls, pad_batch, split_batch, tensorrt_settings
from inficond.core.models.encoder import load_encoder


@given(st.integers(1, 500), st.sets(st.integers(1, 64), min_size=1).map(sorted))
def test_calls_cover_the_batch_in_allowed_sizes(n, sizes):
    found = split_batch(n, sizes)
    assert [start for start, _, _ in found] == [0, *(stop for _, stop, _ in found[:-1])]
    assert found[-1][1] == n
    assert all(size in sizes and 0 < stop - start <= size for start, stop, size in found)


def test_a_batch_is_padded_with_its_last_row():
    batch = np.arange(6).reshape(3, 2)
    assert pad_batch(batch, 5).tolist() == [[0, 1], [2, 3], [4, 5], [4, 5], [4, 5]]
    assert pad_batch(batch, 3) is batch


def test_one_profile_covers_every_size_and_a_text_tower_gets_none(tmp_path):
    options = tensorrt_settings(tmp_path / "cache", {"pixels": (0, 224, 224, 3)})
    assert options["trt_profile_min_shapes"] == "pixels:1x224x224x3"
    assert options["trt_profile_max_shapes"] == f"pixels:{SIZES['tensorrt'][-1]}x224x224x3"
    assert options["trt_engine_cache_path"] == str(tmp_path / "cache")
    assert (tmp_path / "cache").is_dir()
    assert "trt_profile_min_shapes" not in tensorrt_settings(tmp_path, {"input_ids": (0, 0)})
    assert "trt_profile_min_shapes" not in tensorrt_settings(tmp_path, {})


@pytest.fixture(scope="module")
def session():
    return load_encoder("embedded", "cpu", threads=1).session


def pixels(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 224, 224, 3), dtype=np.uint8)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_bound_calls_equal_plain_calls(session, n):
    calls = BoundCalls(session.runner.ort, "cpu", sizes=(1, 4))
    batch = {"pixels": pixels(n, n)}
    names = ("image", "regions")
    for got, want in zip(calls.run(batch, names), session.run(batch, names)):
        assert got.shape == want.shape
        assert abs(got - want).max() < 1e-5


def test_reused_buffers_contain_the_new_batch(session):
    calls = BoundCalls(session.runner.ort, "cpu", sizes=(2,))
    first = [calls.run({"pixels": pixels(2, seed)}, ("image",))[0] for seed in (1, 2, 3, 4, 5)]
    for seed, got in zip((1, 2, 3, 4, 5), first):
        want = session.run({"pixels": pixels(2, seed)}, ("image",))[0]
        assert abs(got - want).max() < 1e-5


def test_threads_do_not_mix_their_batches(session):
    calls = BoundCalls(session.runner.ort, "cpu", sizes=(1, 2))
    want = {seed: session.run({"pixels": pixels(2, seed)}, ("image",))[0] for seed in range(6)}
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda i: calls.run({"pixels": pixels(2, i % 6)}, ("image",))[0], range(24)))
    assert all(abs(g - want[i % 6]).max() < 1e-5 for i, g in enumerate(got))


class Recording:
    """A session of ONNX Runtime that records batch sizes, and has memory for `most` images."""

    def __init__(self, session, most=8):
        self.session, self.most, self.sizes = session, most, []

    def __getattr__(self, name):
        return getattr(self.session, name)

    def run_with_iobinding(self, binding):
        self.session.run_with_iobinding(binding)
        self.sizes.append(binding.get_outputs()[0].shape()[0])
        if self.sizes[-1] > self.most:
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory")


def test_warming_up_runs_every_size(session):
    recording = Recording(session.runner.ort)
    calls = BoundCalls(recording, "cpu", sizes=(1, 2))
    calls.warm_up({"pixels": (0, 224, 224, 3)}, {"pixels": np.dtype(np.uint8)})
    assert set(recording.sizes) == {1, 2}


def test_out_of_memory_reduces_the_size_of_calls_and_loses_nothing(session):
    recording = Recording(session.runner.ort, most=2)
    calls, tried = BoundCalls(recording, "cpu", sizes=(1, 2, 4, 8)), recording.sizes
    batch = {"pixels": pixels(7)}
    (got,) = calls.run(batch, ("image",))
    assert abs(got - session.run(batch, ("image",))[0]).max() < 1e-5
    assert tried == [8, 4, 2, 2, 2, 1]
    calls.run(batch, ("image",))
    assert max(tried[6:]) == 2, "what did not fit is not tried again"


def test_a_batch_that_exceeds_memory_is_run_in_halves(session):
    class Limited:
        def __init__(self, most):
            self.most = most

        def run(self, feeds, outputs):
            if len(feeds["pixels"]) > self.most:
                raise RuntimeError("std::bad_alloc")
            return session.runner.run(feeds, outputs)

    def limited(most):
        changed = copy(session)
        changed.runner = Limited(most)
        return changed

    batch = {"pixels": pixels(10)}
    (got,) = limited(3).run(batch, ("image",))
    assert abs(got - session.run(batch, ("image",))[0]).max() < 1e-5
    with pytest.raises(InputError, match="smaller batch"):
        limited(0).run(batch, ("image",))
