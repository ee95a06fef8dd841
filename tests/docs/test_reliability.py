"""docs/reliability.md is written from measurements, and no measured part is removed from it."""

from pathlib import Path
from typing import Any

from tests.tools import reliability

ROOT = Path(__file__).resolve().parents[2]

FUZZ: dict[str, Any] = {
    "cases": 1000, "accepted": 250, "sessions": 20, "steps": 400, "bugs": [], "failed": False,
    "date": "2026-11-25", "commit": "abc", "machine": "m",
    "parsers": [{"name": "recipe", "cases": 1000, "accepted": 250, "steps": 0, "seconds": 7.4},
                {"name": "sessions, sigmoid", "cases": 20, "accepted": 0, "steps": 400, "seconds": 2}],
}  # fmt: skip


def test_the_document_has_the_figures_of_fuzzing() -> None:
    text = reliability.page({"fuzz": FUZZ})
    row = next(line for line in text.split("\n") if line.startswith(reliability.ROWS["fuzz"]))
    assert "1,000 inputs to 1 parsers, 400 steps of 20 pairs of sessions" in row
    assert "0 bugs" in row
    assert "2026-11-25, `abc`" in row
    assert "| recipe | 1,000 | 250 |  | 7 |" in text


def test_a_bug_or_a_failure_is_in_the_document() -> None:
    assert "1 bugs" in reliability.page({"fuzz": {**FUZZ, "bugs": ["recipe: KeyError"]}})
    assert "- recipe: KeyError" in reliability.page({"fuzz": {**FUZZ, "bugs": ["recipe: KeyError"]}})
    assert "the tests failed" in reliability.page({"fuzz": {**FUZZ, "failed": True}})


def test_parts_that_are_not_measured_keep_their_text() -> None:
    document = reliability.PAGE.read_text(encoding="utf-8")
    assert reliability.page({}, document) == document
    renewed = reliability.page({"fuzz": FUZZ}, document).splitlines()
    titles = (*reliability.TITLES.values(), *reliability.ROWS.values())
    assert all(any(line.startswith(title) for line in renewed) for title in titles)
    lost = set(document.splitlines()) - set(renewed)
    assert all(line.startswith(("| fuzzing", "| ", "fuzz:")) for line in lost), lost
    assert set(reliability.ROWS) == set(reliability.PARTS)
