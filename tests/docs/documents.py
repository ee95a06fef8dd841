"""Reads the commands out of the documents, so that what they say can be run.

In README.md and docs/*.md, a fence ```` ```sh ```` holds commands that a test runs, in order, in one folder
per document. A fence ```` ```sh (not run: WHY) ```` is not run, for the reason it gives; its `inficond` lines
must still parse.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```sh(?: \(not run: (?P<why>[^)]+)\))?\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Command:
    """One line of a document that a reader would type."""

    document: str
    line: int
    text: str
    not_run: str | None

    @property
    def words(self) -> list[str]:
        """The line as a shell splits it, comments dropped."""
        return shlex.split(self.text, comments=True)

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"


def documents() -> list[Path]:
    """Every document that a reader meets."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(document: Path) -> Iterator[Command]:
    """The commands of one document, continuation lines joined."""
    text = document.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        start = text.count("\n", 0, match.start("body")) + 1
        joined, first = "", 0
        for offset, raw in enumerate(match["body"].split("\n")):
            if not joined:
                first = start + offset
            joined += raw.rstrip("\\") if raw.endswith("\\") else raw
            if raw.endswith("\\"):
                continue
            if joined.strip() and not joined.lstrip().startswith("#"):
                yield Command(document.name, first, joined.strip(), match["why"])
            joined = ""
