"""Compression of region embeddings: error, size and damage."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inficond.core.demo.packed import pack_bytes, pack_regions, unpack_bytes, unpack_regions
from inficond.core.errors import InputError


def unit(rng: np.random.Generator, n: int, count: int, dim: int) -> np.ndarray:
    vectors = rng.normal(size=(n, count, dim)) * np.geomspace(1, 0.02, dim)
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 4), st.integers(2, 40))
@settings(max_examples=25, deadline=None)
def test_unpacked_vectors_have_unit_length_and_are_close(seed, n, count, dim):
    step = 0.01
    vectors = unit(np.random.default_rng(seed), n, count, dim)
    back = unpack_regions(pack_regions(vectors, step))
    assert back.dtype == np.float16
    assert back.shape == vectors.shape
    error = back.astype(float) - vectors
    # At worst half a step along each axis, doubled by the return to unit length; float16 on top.
    assert np.abs(np.linalg.norm(back.astype(float), axis=2) - 1).max() < 2e-3
    assert np.linalg.norm(error, axis=2).max() <= step * np.sqrt(dim) + 2e-3


def test_the_error_corresponds_to_the_step():
    vectors = unit(np.random.default_rng(0), 200, 8, 64)
    for step in (0.004, 0.016):
        error = unpack_regions(pack_regions(vectors, step)).astype(float) - vectors
        assert np.sqrt((error**2).mean()) == pytest.approx(step / np.sqrt(12), rel=0.25)


def test_packing_is_idempotent():
    vectors = unit(np.random.default_rng(1), 50, 4, 32)
    once = unpack_regions(pack_regions(vectors, 0.01))
    assert np.array_equal(once, unpack_regions(pack_regions(vectors, 0.01)))


def test_it_is_much_smaller_than_float16():
    vectors = unit(np.random.default_rng(2), 300, 8, 64)
    packed = pack_regions(vectors, 0.01)
    assert sum(part.nbytes for part in packed.values()) < 0.4 * vectors.size * 2


def test_damage_is_refused_in_one_line():
    packed = pack_regions(unit(np.random.default_rng(3), 20, 4, 16), 0.01)
    cut = {**packed, "codes": packed["codes"][: len(packed["codes"]) // 2]}
    with pytest.raises(InputError, match="install InFiConD again"):
        unpack_regions(cut)
    with pytest.raises(InputError, match="cut short"):
        unpack_bytes(pack_bytes(np.arange(10, dtype=np.uint8)), 11)
