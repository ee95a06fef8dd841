"""Stratified split: seeds, shares per class and whole sources."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.evaluation import stratified_split


def responses(N: int, rates: list[float], seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((N, len(rates))) < rates).astype(np.float32)


def test_every_class_keeps_its_share_of_positives() -> None:
    T = responses(2000, [0.005, 0.02, 0.1, 0.4])
    held = stratified_split(T, fraction=0.3, seed=1)
    assert held.mean() == pytest.approx(0.3, abs=0.002)
    assert T[held].sum(axis=0) == pytest.approx(0.3 * T.sum(axis=0), abs=0.01 * 0.3 * len(T) * 0.4 + 1)


def test_the_split_is_determined_by_the_seed() -> None:
    T = responses(300, [0.1, 0.3])
    first = stratified_split(T, seed=5)
    np.testing.assert_array_equal(first, stratified_split(T, seed=5))
    assert (first != stratified_split(T, seed=6)).any()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999), N=st.integers(2, 60), sources=st.integers(2, 12), fraction=st.floats(0.1, 0.9)
)
def test_groups_stay_whole_and_both_parts_have_images(
    seed: int, N: int, sources: int, fraction: float
) -> None:
    rng = np.random.default_rng(seed)
    T = responses(N, [0.1, 0.5], seed)
    groups = [None if g == 0 else f"s{g}" for g in rng.integers(0, sources, N)]
    if len({i if g is None else g for i, g in enumerate(groups)}) < 2:
        return
    held = stratified_split(T, groups=groups, seed=seed, fraction=fraction)
    assert 0 < held.sum() < N
    for g in {g for g in groups if g is not None}:
        assert len(set(held[[i for i, x in enumerate(groups) if x == g]])) == 1


def test_a_class_with_two_sources_is_in_both_parts() -> None:
    """With few large sources, a plain draw often leaves one part without positives."""
    for seed in range(20):
        groups = [f"g{i // 10}" for i in range(100)]
        T = np.zeros((100, 1), np.float32)
        T[:20] = 1  # sources g0 and g1
        held = stratified_split(T, groups=groups, seed=seed, fraction=0.2)
        assert sorted({held[0], held[10]}) == [False, True]


def test_given_parts_are_kept() -> None:
    T = responses(50, [0.3])
    given_split = ["val"] * 5 + ["train"] * 5 + [None] * 40
    held = stratified_split(T, given=given_split, fraction=0.3)
    assert held[:5].all()
    assert not held[5:10].any()
    assert held.sum() == pytest.approx(15, abs=1)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_constant_teacher_is_split_too(rate: float) -> None:
    assert stratified_split(responses(40, [rate]), fraction=0.25).sum() == 10


def test_invalid_input_is_named() -> None:
    T = responses(4, [0.5])
    with pytest.raises(InputError, match="at least two"):
        stratified_split(T[:1])
    with pytest.raises(InputError, match="at least two"):
        stratified_split(T, groups=["a"] * 4)
    with pytest.raises(InputError, match="'a'"):
        stratified_split(T, groups=["a", "a", "b", "b"], given=["val", "train", None, None])
    with pytest.raises(InputError, match="test"):
        stratified_split(T, given=["test", None, None, None])
    with pytest.raises(InputError, match="groups must have one entry for each of 4 images"):
        stratified_split(T, groups=["a"])
    with pytest.raises(InputError, match="between 0 and 1"):
        stratified_split(T, fraction=1.0)
