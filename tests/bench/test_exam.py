"""Summary of the benchmark of exams: coverage, bias, and what the number of runs can tell."""

import pytest

from inficond.core.bench.exam import Run, summarise, wilson_interval
from inficond.core.cli.main import main


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


def test_the_summary_counts_sets_of_thirty_and_other_metrics() -> None:
    inside, outside = (0.0, -0.1, 0.1), (0.5, 0.4, 0.6)
    runs = [
        Run(inside, outside if i in (3, 31, 32) else inside, inside, 0.0, {"f1": i % 2 == 0})
        for i in range(64)
    ]
    runs[0] = Run(inside, inside, inside, 0.0)  # F1 is undefined in this run
    found = summarise(runs)
    assert found["sets"] == [29, 28]
    assert (found["metrics"]["f1"]["runs"], found["metrics"]["f1"]["covers"]) == (63, 31 / 63)


@pytest.mark.parametrize(
    ("option", "named"), [(["--first-seed", "-1"], "--first-seed"), (["--images", "49"], "--images")]
)
def test_impossible_options_are_named(
    option: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "exam", *option]) == 2
    assert named in capsys.readouterr().err
