"""The benchmark of both links: certified fits, and the table in the document."""

import json
from pathlib import Path

import pytest

from inficond.core.bench import solver_links
from inficond.core.bench.solver_data import Instance
from inficond.core.bench.solver_links import TOL, table_of
from inficond.core.bench.solver_report import AROUND, write
from inficond.core.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FITS = ("sigmoid", "softmax", "smaller")
MOST = 3.0
"""Time of a softmax relative to that of a sigmoid at the same λ, at most."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_links, "INSTANCE", Instance("links", "small", 800, 60, 12, 4e-3))


def between(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return text.split(AROUND[0])[1].split(AROUND[1])[0].strip().splitlines()


@pytest.mark.usefixtures("small")
def test_both_links_are_certified_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "solver", "--only", "links", "--repeats", "3"]
    assert main([*command, "--docs", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["links"]
    assert found["ratio"] == pytest.approx(found["softmax"]["seconds"] / found["sigmoid"]["seconds"])
    for name in FITS:
        one = found[name]
        assert one["certified"]
        assert 0 <= one["gap"] <= TOL
        assert min(one["seconds"], one["wall"], one["nec"], one["passes"]) > 0
    assert found["softmax"]["nec"] != found["sigmoid"]["nec"]
    assert found["softmax"]["nec"] < found["smaller"]["nec"]
    assert between(tmp_path / "bench-solver.md") == table_of(found)


def test_the_table_is_written_alone_and_kept_by_other_runs(tmp_path: Path) -> None:
    one = {
        "lam": 2.5e-3, "seconds": 2.0, "wall": 2.5, "passes": 9, "nec": 30.0, "gap": 5e-5, "certified": True,
    }  # fmt: skip
    links = {
        "title": "N=1", "repeats": 3, "date": "2026-01-01", "commit": "a" * 40,
        "ratio": 1.5, "wall_ratio": 1.2, **dict.fromkeys(FITS, one),
        "smaller": one | {"gap": 2e-4, "certified": False},
    }  # fmt: skip
    given = {"wanted": 1e-4, "repeats": 1, "turns": 1, "instances": {}}
    first, page = given | {"first": {"cold": 1.0, "warmed": 0.0}}, tmp_path / "bench-solver.md"
    write(first | {"links": links}, tmp_path)
    assert "| softmax | 0.0025 | 2.00 s | 2.50 s | 9 | 30.0 | 2.0e-04, not certified |" in between(page)
    before = page.read_text(encoding="utf-8")
    assert "takes 1.50 times the sigmoid's processor time" in before
    write(first, tmp_path)
    assert page.read_text(encoding="utf-8") == before
    write(given | {"links": links | {"ratio": 1.25}}, tmp_path)
    assert page.read_text(encoding="utf-8") == before.replace("takes 1.50", "takes 1.25")


def test_a_document_without_markers_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bench-solver.md").write_text("# Mine\n", encoding="utf-8")
    assert main(["bench", "solver", "--only", "links", "--docs", str(tmp_path)]) == 2
    assert "has no markers of the table" in capsys.readouterr().err


def test_the_recorded_softmax_takes_at_most_three_times_as_long() -> None:
    lines = between(ROOT / "docs" / "bench-solver.md")
    assert lines[0].startswith("| N=10,000 K=584 C=1,000 |")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:] if line.startswith("|")]
    assert [row[:2] for row in rows] == [["sigmoid", "0.0025"], ["softmax", "0.0025"], ["softmax", "0.0005"]]
    assert not any("not certified" in row[-1] for row in rows)
    sigmoid, softmax = (float(row[2].removesuffix(" s")) for row in rows[:2])
    assert softmax <= MOST * sigmoid
