"""Retraining with group labels, and both benchmarks on real photographs."""

import json
from pathlib import Path

import numpy as np
import pytest

from inficond.core.bench.correction import Figure
from inficond.core.bench.correction_plot import plot
from inficond.core.bench.robust import group_dro, last_layer_retraining, worst_group
from inficond.core.cli.main import main


def groups(n: int, follows: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vectors, labels and attributes; the attribute is clearer in the vectors than the label."""
    truth = rng.random(n) < 0.5
    attribute = np.where(rng.random(n) < follows, truth, ~truth)
    X = rng.normal(size=(n, 12)).astype(np.float32)
    X[:, 0] += 4.0 * attribute - 2.0
    X[:, 1] += 2.4 * truth - 1.2
    return X, truth, attribute


def test_retraining_with_group_labels_raises_the_worst_group() -> None:
    rng = np.random.default_rng(0)
    fit, tune, exam = groups(600, 0.95, rng), groups(300, 0.5, rng), groups(600, 0.5, rng)

    def measured(w: np.ndarray, b: float) -> float:
        return worst_group((exam[0] @ w + b >= 0) == exam[1], exam[1], exam[2])

    only_attribute = np.zeros(12)
    only_attribute[0] = 1.0
    assert measured(only_attribute, 0.0) < 0.2
    assert measured(*last_layer_retraining(*tune)) > 0.75
    assert measured(*group_dro(*fit, *tune)) > 0.7


def test_a_figure_has_the_interval_of_student_t() -> None:
    one = Figure.of([0.1, 0.2, 0.3, 0.4])
    assert one.mean == pytest.approx(0.25)
    assert one.high - one.mean == pytest.approx(3.18 * np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2)
    assert np.isnan(Figure.of([0.5]).low)


def test_the_plot_escapes_names_and_has_a_mark_for_each_figure() -> None:
    entry = {"mean": 0.4, "low": 0.3, "high": 0.5}
    svg = plot({"<a>": {"as fitted": entry, "three actions": entry}})
    assert "<a>" not in svg
    assert svg.count("<circle") == 4


def test_photographs_without_labels_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    for i in range(3):
        Image.new("RGB", (40, 30), (i, 9, 9)).save(tmp_path / f"{i}.png")
    assert main(["bench", "audit", "--data", str(tmp_path), "--each", "60"]) == 2
    assert "have no labels" in capsys.readouterr().err


@pytest.mark.nightly
def test_both_benchmarks_run_on_real_photographs(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(shared_data / "own" / "flowers"), "--seeds", "2", "--kinds", "background"]
    assert main(["bench", "audit", *common, "--shuffles", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quiet"] == 2
    assert told["shortcuts"][0]["seeds"] == 2
    assert main(["bench", "correction", *common, "--demo", "1", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["shortcuts"]
    assert set(table) == {"background", "demo"}
    assert table["demo"]["three actions"]["gain"]["mean"] > 0.2
