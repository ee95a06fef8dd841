"""Parser of the code blocks of the documents, which tests run.

In README.md, CONTRIBUTING.md, SECURITY.md and docs/*.md every fence names its language. ```` ```sh ````
contains commands and ```` ```python ```` a script; a test runs them, in order, in one folder per document.
A note after the language says otherwise:

- ```` ```sh (nightly: NOTE) ```` runs in nightly tests, after the blocks before it;
- ```` ```sh (hub: NOTE) ```` runs in nightly tests, against a model hub on loopback;
- ```` ```sh (open-clip: NOTE) ```` runs in nightly tests, against this hub, where open_clip is installed;
- ```` ```sh (ray: NOTE) ```` runs in nightly tests where Ray is installed;
- ```` ```sh (slurm: NOTE) ```` runs in nightly tests where Slurm is installed;
- ```` ```sh (clone: NOTE) ```` runs in nightly tests, in a fresh clone with an empty home, and with
  `photographs/` where a command reads it;
- ```` ```js (file: PATH) ```` is a file that a test writes and uses.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"sh", "python", "json", "js", "css", "toml", "mermaid", "bibtex", "text"}
SETTINGS = ("daily", "nightly", "hub", "open-clip", "ray", "slurm", "clone")
_NOTES = "|".join(("file", *SETTINGS[1:]))
_FENCE = re.compile(
    rf"^```(?P<language>\w*)(?: \((?P<how>{_NOTES}): (?P<what>[^)]+)\))?\n(?P<body>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Parameters
    ----------
    document : str
        File name.
    line : int
        Number of its first line.
    language : str
    body : str
    file : str or None
        Path of the file that the block contains.
    setting : str
        Where it runs: one of `SETTINGS`.
    """

    document: str
    line: int
    language: str
    body: str
    file: str | None
    setting: str


@dataclass(frozen=True)
class Command:
    """A line of a shell, or a script."""

    document: str
    line: int
    text: str
    language: str = "sh"
    setting: str = "daily"

    @property
    def words(self) -> list[str]:
        """The words of the line, split like a shell does, without comments."""
        return shlex.split(self.text, comments=True)

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"


def documents() -> list[Path]:
    """Return the paths of the documents."""
    top = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
    return [*(ROOT / name for name in top), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path) -> Iterator[Block]:
    """Return the fenced blocks of a document."""
    text = document.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        said = {match["how"]: match["what"]}
        line = text.count("\n", 0, match.start("body")) + 1
        setting = match["how"] if match["how"] in SETTINGS else "daily"
        yield Block(document.name, line, match["language"], match["body"], said.get("file"), setting)


def commands(document: Path) -> Iterator[Command]:
    """Return the commands and scripts of a document, with continuation lines joined."""
    for block in blocks(document):
        if block.language == "python" and block.file is None:
            yield Command(block.document, block.line, block.body, "python", block.setting)
        if block.language != "sh":
            continue
        joined, first = "", 0
        for offset, raw in enumerate(block.body.split("\n")):
            if not joined:
                first = block.line + offset
            joined += raw.rstrip("\\") if raw.endswith("\\") else raw
            if raw.endswith("\\"):
                continue
            if joined.strip() and not joined.lstrip().startswith("#"):
                yield Command(block.document, first, joined.strip(), "sh", block.setting)
            joined = ""
