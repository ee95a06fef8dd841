"""The benchmark of growth builds, uses and removes its projects."""

import json
from pathlib import Path

import pytest

from inficond.core.bench.recorded import markers
from inficond.core.bench.scale import TABLE, table_of
from inficond.core.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
MOST = 1.1
"""Exponent of every step over all sizes, at most."""
STEPS = {
    "build", "open", "first preview", "preview", "suggestions", "slices of a class", "add a concept",
    "preview after it", "report", "add a concept, empty cache",
}  # fmt: skip


@pytest.mark.nightly
def test_small_projects_are_measured_in_every_step(tmp_path, capsys) -> None:
    page, folder = tmp_path / "page.md", tmp_path / "projects"
    page.write_text("\n".join(markers(TABLE)), encoding="utf-8")
    folder.mkdir()
    command = ["bench", "scale", "--images", "1000", "3000", "--events", "2", "--folder", str(folder)]
    assert main([*command, "--write", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [size["images"] for size in told["sizes"]] == [1000, 3000]
    assert all(set(size["seconds"]) == STEPS for size in told["sizes"])
    assert all(size["files"] < 40 for size in told["sizes"])
    assert set(told["exponents"]) == STEPS
    assert not list(folder.iterdir())
    written = page.read_text(encoding="utf-8")
    assert all(f"| {step} | " in written for step in STEPS)


@pytest.mark.parametrize("given", [["--images", "5000"], ["--images", "9000", "5000"], ["--steps", "5", "9"]])
def test_bad_sizes_are_one_line(given, capsys) -> None:
    assert main(["bench", "scale", *given]) == 2
    assert "ascending numbers from 1,000" in capsys.readouterr().err


def test_a_table_is_written_for_sizes_only(tmp_path, capsys) -> None:
    page = tmp_path / "page.md"
    page.write_text("no markers", encoding="utf-8")
    assert main(["bench", "scale", "--write", str(page)]) == 2
    assert "has no markers of the table" in capsys.readouterr().err
    assert main(["bench", "scale", "--steps", "1000", "2000", "--write", str(page)]) == 2
    assert "--write needs --images" in capsys.readouterr().err


def test_the_table_has_a_row_for_each_step_memory_and_files() -> None:
    sizes = [
        {
            "images": n,
            "files": n // 100,
            "peak memory of the build": n * 1e4,
            "peak memory of the rest": n * 2e4,
        }
        for n in (20_000, 300_000)
    ]
    lines = table_of(sizes, {"open": [0.0123, 1.2345]}, {"open": (0.5, 1.25)}, "a" * 40 + " with changes")
    assert lines[:3] == [
        "| | 20,000 images | 300,000 | exponent | of the last |".replace("| |", "|  |"),
        "|---|---|---|---|---|",
        "| open | 0.012 | 1.23 | 0.50 | 1.25 |",
    ]
    assert "| files of the project | 200 | 3,000 |  |  |" in lines
    assert lines[-1] == "Measured on commit `aaaaaaaaaa` with changes."


def test_the_recorded_growth_is_at_most_that_of_the_issue() -> None:
    """Every step from 20,000 to 300,000 images, and the files of 100,000 images."""
    begin, end = markers(TABLE)
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").split(begin)[1].split(end)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    assert (rows[0][1], rows[0][-3]) == ("20,000 images", "300,000")
    found = {row[0]: row[1:] for row in rows[2:]}
    assert found.keys() >= STEPS
    assert all(float(found[step][-2]) <= MOST for step in STEPS)
    assert int(found["files of the project"][rows[0][1:].index("100,000")].replace(",", "")) <= 1000
