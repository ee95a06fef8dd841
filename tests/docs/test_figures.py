"""Figures in the tables of benchmarks are those of the documents that they cite."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)(?![\w])")


def rows() -> list[tuple[str, str, Path]]:
    """Return the rows of both tables that cite a document."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("## Benchmarks")[1].split("\n## ")[0]
    full = ROOT / "docs" / "benchmarks.md"
    return rows_of(readme, ROOT) + rows_of(full.read_text(encoding="utf-8"), full.parent)


def rows_of(text: str, folder: Path) -> list[tuple[str, str, Path]]:
    """Return the rows of a table that cite a document; ″ stands for that of the row above."""
    table = [[c.strip() for c in line.strip("|").split("|")] for line in text.split("\n") if line[:1] == "|"]
    found, block = [], []
    for what, figure, by in table[2:]:
        if not by.startswith("″"):
            block = []
        block.append((what, figure))
        cited = re.search(r"\]\(([^)]+\.md)\)", by)
        if cited:
            found += [(w, f, folder / cited[1]) for w, f in block]
            block = []
    return found


def numbers(text: str) -> list[tuple[float, float]]:
    """Return every number with half a unit of its last digit."""
    found = []
    for said in NUMBER.findall(text):
        plain = said.replace(",", "")
        digits = len(plain.split(".")[1]) if "." in plain else 0
        found.append((float(plain), 0.5 * 10**-digits))
    return found


def test_the_rows_of_the_readme_are_rows_of_the_full_table() -> None:
    full = {what: figure for what, figure, _ in rows_of_file(ROOT / "docs" / "benchmarks.md")}
    for what, figure, _ in rows_of_file(ROOT / "README.md"):
        assert full[what] == figure, what


def rows_of_file(path: Path) -> list[tuple[str, ...]]:
    """Return the cells of the rows of a document's table of measurements."""
    text = path.read_text(encoding="utf-8").split("| measurement |")[1].split("\n\n")[0]
    return [tuple(c.strip() for c in line.strip("|").split("|")) for line in text.split("\n")[2:] if line]


def test_the_benchmark_table_cites_documents() -> None:
    assert len({document for _, _, document in rows()}) >= 2


@pytest.mark.parametrize(("what", "figure", "document"), rows(), ids=lambda x: str(x)[:40])
def test_a_cited_figure_is_in_its_document(what: str, figure: str, document: Path) -> None:
    """Figures may be rounded, given in seconds instead of milliseconds, and in per cent instead of shares."""
    there = [n for n, _ in numbers(document.read_text(encoding="utf-8"))]
    missing = [
        n
        for n, half in numbers(figure)
        if not any(abs(x / unit - n) <= half * 1.0001 for x in there for unit in (1, 100, 1000))
    ]
    assert not missing, f"{what}: {missing} not in {document.name}"
