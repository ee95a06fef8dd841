"""The benchmark of growth builds, uses and removes its projects."""

import json

import pytest

from inficond.core.cli.main import main

STEPS = {
    "build", "open", "first preview", "preview", "suggestions", "slices of a class", "add a concept",
    "preview after it", "report",
}  # fmt: skip


@pytest.mark.nightly
def test_small_projects_are_measured_in_every_step(tmp_path, capsys) -> None:
    command = ["bench", "scale", "--images", "1000", "3000", "--events", "2", "--folder", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [size["images"] for size in told["sizes"]] == [1000, 3000]
    assert all(set(size["seconds"]) == STEPS for size in told["sizes"])
    assert all(size["files"] < 40 for size in told["sizes"])
    assert set(told["exponents"]) == STEPS
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [["--images", "5000"], ["--images", "9000", "5000"], ["--steps", "5", "9"]])
def test_bad_sizes_are_one_line(given, capsys) -> None:
    assert main(["bench", "scale", *given]) == 2
    assert "ascending numbers from 1,000" in capsys.readouterr().err
