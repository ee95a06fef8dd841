"""The tables of SECURITY.md are those that the page enforces, and it names tests that exist."""

import re
from pathlib import Path

from inficond.gradio_app.routes import ROUTES, with_tables

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "SECURITY.md"


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
