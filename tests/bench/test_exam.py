"""Summary of the benchmark of exams: coverage, bias, and what the number of runs can tell."""

import pytest

from inficond.core.bench.exam import Run, summarise, wilson_interval


def test_the_summary_counts_where_the_true_gain_lies() -> None:
    narrow, wide = (0.03, 0.01, 0.05), (0.01, -0.04, 0.06)
    runs = [Run(narrow, wide, wide, true) for true in (0.0, 0.02, 0.04, 0.06)]
    found = summarise(runs)
    assert found["true"] == pytest.approx(0.03)
    assert (found["tune"]["covers"], found["exam"]["covers"]) == (0.5, 1.0)
    assert (found["tune"]["too_high"], found["tune"]["too_low"]) == (0.25, 0.25)
    assert (found["tune"]["above_zero"], found["exam"]["above_zero"]) == (1, 0)
    assert found["exam"]["bias"] == pytest.approx(-0.02)


def test_all_of_thirty_runs_do_not_exclude_the_nominal_level() -> None:
    low, high = wilson_interval(30, 30)
    assert low < 0.95 < high
    low, high = wilson_interval(200, 200)
    assert low > 0.95  # of 200 runs they do
    low, high = wilson_interval(193, 200)
    assert 0.90 < low < 0.965 < high < 0.99
    assert wilson_interval(1, 4)[0] > 0
    assert wilson_interval(0, 4)[0] == 0
