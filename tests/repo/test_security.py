"""The tables of SECURITY.md are those that the page enforces, and it names tests that exist."""

import re
from pathlib import Path

from inficond.gradio_app.routes import ROUTES, with_tables

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "SECURITY.md"
REVIEW = ROOT / "docs" / "security-review.md"


def test_the_tables_are_the_generated_ones() -> None:
    """`python -m inficond.gradio_app.routes --write SECURITY.md` renews them."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(text) == text
    assert all(f"`{route.path}`" in text for route in ROUTES)


def test_every_path_in_the_document_exists() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:core|gradio_app|tests|docs)/[\w./]+)`", text))
    assert len(named) > 15
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_test_in_the_security_review_exists() -> None:
    rows = [
        line.split("|") for line in REVIEW.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    numbers = [row[1].strip() for row in rows if row[1].strip().isdigit()]
    assert numbers == [str(i) for i in range(1, 32)]
    missing, count = [], 0
    for row in rows:
        for file, names in re.findall(r"`(\w+/test_\w+\.py)`: ([^`|]+)", row[-2]):
            text = (ROOT / "tests" / file).read_text(encoding="utf-8")
            for name in filter(None, (n.strip() for n in names.split(";"))):
                count += 1
                if f"def test_{name.replace(' ', '_')}(" not in text:
                    missing.append(f"{file}: {name}")
    assert count > 60
    assert missing == []
