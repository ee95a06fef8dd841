"""Paired differences: properties, agreement with the exact test, coverage of the true difference."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.evaluation.exam import SHOWN
from inficond.core.evaluation.paired import PairedBootstrap

SEEDS = st.integers(0, 2**32 - 1)


def sides(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets and the probabilities of two students."""
    rng = np.random.default_rng(seed)
    t = rng.random(n)
    first, second = (np.clip(t + 0.4 * rng.normal(size=n), 0, 1).round(2) for _ in range(2))
    return t, first, second


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 60), seed=SEEDS, grouped=st.booleans())
def test_exchanged_sides_have_the_negative_difference(n: int, seed: int, grouped: bool) -> None:
    t, a, b = sides(n, seed)
    groups = np.arange(n) // 3 if grouped else None
    forth = PairedBootstrap(groups, replicates=50).add((t, t), (a, b), (0.5, 0.4))
    back = PairedBootstrap(groups, replicates=50).add((t, t), (b, a), (0.4, 0.5))
    for name in SHOWN:
        one, other = forth[name], back[name]
        assert (one.before, one.after) == pytest.approx((other.after, other.before), nan_ok=True)
        expected = (-other.delta.value, -other.delta.high, -other.delta.low)
        assert (one.delta.value, one.delta.low, one.delta.high) == pytest.approx(expected, nan_ok=True)
        assert one.clear == other.clear


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 60), seed=SEEDS)
def test_equal_sides_have_no_difference(n: int, seed: int) -> None:
    t, a, _ = sides(n, seed)
    for change in PairedBootstrap(replicates=50).add((t, t), (a, a), (0.5, 0.5)).values():
        assert not change.clear
        if np.isfinite(change.delta.value):
            assert (change.delta.value, change.delta.low, change.delta.high) == (0, 0, 0)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 60), seed=SEEDS, unknown=st.integers(1, 20))
def test_images_without_a_target_do_not_count(n: int, seed: int, unknown: int) -> None:
    t, a, b = sides(n, seed)
    padded = [np.append(x, np.full(unknown, fill)) for x, fill in ((t, np.nan), (a, 0.9), (b, 0.1))]
    alone = PairedBootstrap(replicates=50).add((t, t), (a, b), (0.5, 0.5))
    among = PairedBootstrap(replicates=50).add(
        (padded[0], np.append(t, np.ones(unknown))), (padded[1], padded[2]), (0.5, 0.5)
    )
    for name in SHOWN:
        for part in ("value", "low", "high"):
            assert getattr(among[name].delta, part) == pytest.approx(
                getattr(alone[name].delta, part), nan_ok=True
            )


def test_the_seed_determines_the_interval() -> None:
    t, a, b = sides(200, 0)
    made = [PairedBootstrap(seed=seed).add((t, t), (a, b), (0.5, 0.5))["ap"].delta for seed in (3, 3, 4)]
    assert made[0] == made[1]
    assert made[0].value == made[2].value
    assert made[0] != made[2]


@pytest.mark.parametrize("discordant", range(1, 13))
def test_changes_in_one_direction_are_clear_where_the_exact_test_finds_them(discordant: int) -> None:
    # McNemar's exact test: under no difference, each changed image is as likely to change either way.
    exact = 2 * sum(comb(discordant, k) for k in range(discordant, discordant + 1)) / 2**discordant
    first = np.zeros(400, bool)
    second = np.arange(400) < discordant
    change = PairedBootstrap().share(first, second)
    assert change.delta.value == pytest.approx(discordant / 400)
    assert change.clear == (exact < 0.05)


@pytest.mark.parametrize("n", [120, 500])
def test_intervals_contain_the_true_difference_of_shares(n: int) -> None:
    def answers(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        hard = rng.random(size)
        return rng.random(size) > 0.5 * hard, rng.random(size) > 0.65 * hard

    true = -0.075
    covered = 0
    for seed in range(100):
        change = PairedBootstrap(replicates=400, seed=seed).share(*answers(np.random.default_rng(seed), n))
        covered += change.delta.low <= true <= change.delta.high
    assert 90 <= covered <= 99


def test_the_mean_over_classes_is_that_of_the_classes() -> None:
    paired = PairedBootstrap()
    changes = []
    for seed in range(4):
        t, a, b = sides(300, seed)
        changes.append(paired.add((t, t), (a, b), (0.5, 0.5)))
    mean = paired.mean()
    for name in SHOWN:
        assert mean[name].before == pytest.approx(np.mean([one[name].before for one in changes]))
        assert mean[name].after == pytest.approx(np.mean([one[name].after for one in changes]))
        lengths = [one[name].delta.high - one[name].delta.low for one in changes]
        assert mean[name].delta.high - mean[name].delta.low < np.mean(lengths)


def test_each_side_is_compared_with_its_own_target() -> None:
    t = np.linspace(0, 1, 100)
    change = PairedBootstrap().add((t, 1 - t), (t, 1 - t), (0.5, 0.5))["agreement"]
    assert (change.before, change.after, change.clear) == (1, 1, False)


def test_a_class_without_positives_has_no_interval_and_does_not_enter_the_mean() -> None:
    paired = PairedBootstrap()
    t, a, b = sides(100, 0)
    empty = paired.add((np.full(100, np.nan),) * 2, (a, b), (0.5, 0.5))
    assert np.isnan(empty["ap"].delta.value)
    one = paired.add((t, t), (a, b), (0.5, 0.5))
    assert paired.mean()["ap"].after == one["ap"].after
    assert PairedBootstrap().mean() == {}


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="both sides need a target and a probability"):
        PairedBootstrap().add((np.zeros(3), np.zeros(3)), (np.zeros(3), np.zeros(4)), (0.5, 0.5))
