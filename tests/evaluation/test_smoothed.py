"""Smoothed paired bootstrap: coverage of the true gain, equal students, groups, undefined metrics."""

import numpy as np
import pytest

from inficond.core.errors import InputError
from inficond.core.evaluation import paired_bootstrap
from inficond.core.evaluation.bootstrap import resampled
from inficond.core.evaluation.metrics import METRICS
from inficond.core.evaluation.smoothed import smoothed_differences, smoothed_interval

AT = (0.5, 0.5)
NAMES = ("agreement", "balanced_agreement", "ap", "f1")


def students(n: int, seed: int, apart: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets and the probabilities of two students; `apart` is how much their logits differ."""
    rng = np.random.default_rng(seed)
    t = (rng.random(n) < 0.15).astype(float)
    first = 4 * t - 2.5 + rng.normal(size=n)
    second = first + apart * (rng.normal(size=n) + 0.5 * t)
    return t, 1 / (1 + np.exp(-first)), 1 / (1 + np.exp(-second))


@pytest.mark.parametrize("apart", [0.03, 0.3])
def test_intervals_contain_the_true_difference_at_their_level(apart: float) -> None:
    runs = 80
    true = np.diff(
        [
            resampled(students(200_000, 0, apart)[0], s, replicates=0)[0]
            for s in students(200_000, 0, apart)[1:]
        ],
        axis=0,
    )[0]
    smoothed, plain = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for seed in range(1, runs + 1):
        t, first, second = students(200, seed, apart)
        table = smoothed_differences(t, first, second, AT, seed=seed)
        other = paired_bootstrap(t, first, second, replicates=400, seed=seed)
        for name in NAMES:
            j = METRICS.index(name)
            interval = smoothed_interval(table[:, j], 0.95)
            smoothed[name] += interval.low <= true[j] <= interval.high
            plain[name] += other[name].delta.low <= true[j] <= other[name].delta.high
    for name in NAMES:  # 0.95 of 80 runs are 76; fewer than 70 have probability 0.002
        assert smoothed[name] >= 70, (name, smoothed, plain)
    if apart < 0.1:  # resamples of the images alone often find no difference
        assert plain["f1"] < 70


def test_equal_students_have_no_difference() -> None:
    t, first, _ = students(100, 0, 0.1)
    table = smoothed_differences(t, first, first, AT)
    assert (table == 0).all()
    assert smoothed_interval(table[:, 2], 0.95).to_dict() == {"value": 0, "low": 0, "high": 0}


def test_students_of_equal_rank_on_all_images_may_differ_elsewhere() -> None:
    t, first, second = students(120, 1, 0.001)
    j = METRICS.index("ap")
    table = smoothed_differences(t, first, second, AT)
    assert table[0, j] == 0
    interval = smoothed_interval(table[:, j], 0.95)
    assert interval.low < 0 < interval.high
    assert interval.high - interval.low < 0.02


def test_the_first_row_is_of_the_images_and_the_seed_decides_the_others() -> None:
    t, first, second = students(150, 2, 0.3)
    tables = [smoothed_differences(t, first, second, AT, seed=seed) for seed in (4, 4, 5)]
    expected = resampled(t, second, replicates=0) - resampled(t, first, replicates=0)
    assert np.array_equal(tables[0][:1], expected)
    assert np.array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[0][1:], tables[2][1:])


def test_images_of_one_source_count_as_one() -> None:
    t, first, second = (np.repeat(x, 5) for x in students(100, 3, 0.5))
    groups = np.repeat(np.arange(100), 5)
    j = METRICS.index("ap")
    alone, grouped = (
        np.nanstd(smoothed_differences(t, first, second, AT, groups=g)[1:, j]) for g in (None, groups)
    )
    assert grouped > 1.4 * alone


@pytest.mark.parametrize(("positives", "n"), [(0, 20), (1, 20), (20, 20), (0, 0), (1, 1)])
def test_undefined_metrics_have_no_interval(positives: int, n: int) -> None:
    t = (np.arange(n) < positives).astype(float)
    rng = np.random.default_rng(0)
    table = smoothed_differences(t, rng.random(n), rng.random(n), AT)
    interval = smoothed_interval(table[:, METRICS.index("balanced_agreement")], 0.95)
    if 0 < positives < n:
        assert interval.low <= interval.value <= interval.high
    else:
        assert interval.to_dict() == {"value": None, "low": None, "high": None}


def test_constant_probabilities_and_certain_ones_are_valid() -> None:
    t = (np.arange(60) % 3 == 0).astype(float)
    for first, second in ((np.full(60, 0.2), t), (t, 1 - t), (np.zeros(60), np.ones(60))):
        table = smoothed_differences(t, first, second, AT)
        for j in range(4):
            interval = smoothed_interval(table[:, j], 0.95)
            assert -1 <= interval.low <= interval.value <= interval.high <= 1


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="same length"):
        smoothed_differences(np.zeros(3), np.zeros(3), np.zeros(4), AT)
