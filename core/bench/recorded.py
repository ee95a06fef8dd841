"""Recorded runs of benchmarks: the figures, the commit and the code that they were measured on.

A table in a document belongs to the code that was timed. A record names the commit and keeps a checksum of
that code without its comments and docstrings. So a test can tell a table of older code from a present one,
and an edit of prose needs no new run.
"""

import ast
import hashlib
import io
import subprocess
import tokenize
from collections.abc import Iterable, Sequence
from pathlib import Path

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError

CORE = Path(__file__).resolve().parents[1]
"""Folder of `inficond.core`."""


def code_digest(places: Iterable[str], root: Path = CORE) -> str:
    """Return a checksum of Python code, which comments, docstrings and white space do not change.

    Parameters
    ----------
    places : iterable of str
        Modules, or folders with all modules below them, relative to `root`.
    root : Path
        The folder of `inficond.core` by default.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits.

    Raises
    ------
    InputError
        A place has no module.
    """
    total = hashlib.sha256()
    for place in places:
        modules = [root / place] if place.endswith(".py") else sorted((root / place).rglob("*.py"))
        if not modules or not all(module.is_file() for module in modules):
            raise InputError(f"{place}: no Python module in {root}")
        for module in modules:
            code = " ".join(_without_prose(module.read_text(encoding="utf-8")).split())
            total.update(f"{module.relative_to(root).as_posix()}\n{code}\n".encode())
    return total.hexdigest()


def _without_prose(source: str) -> str:
    """Return a source without comments and without strings that stand alone."""
    lines = source.splitlines(keepends=True)
    spans = [
        (token.start, token.end)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        if isinstance(node.value.value, str) and node.end_lineno is not None:
            begin = _characters(lines[node.lineno - 1], node.col_offset)
            end = _characters(lines[node.end_lineno - 1], node.end_col_offset or 0)
            spans.append(((node.lineno, begin), (node.end_lineno, end)))
    for (first, begin), (last, end) in sorted(spans, reverse=True):
        head, tail = lines[first - 1][:begin], lines[last - 1][end:]
        lines[first - 1 : last] = [head + tail, *[""] * (last - first)]
    return "".join(lines)


def _characters(line: str, offset: int) -> int:
    """Return the number of characters in the first bytes of a line, as `ast` counts."""
    return len(line.encode()[:offset].decode())


def commit_of(folder: Path = CORE) -> str:
    """Return the commit of a checkout, "… with changes" if files differ from it; "unknown" elsewhere."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = bool(git("status", "--porcelain", "--untracked-files=no"))
        return git("rev-parse", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def markers(name: str) -> tuple[str, str]:
    """Return the lines of a Markdown file that stand around a table."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def replace_table(path: Path, around: tuple[str, str], lines: Sequence[str]) -> None:
    """Replace what stands between two markers of a Markdown file.

    Raises
    ------
    InputError
        The file cannot be read or written, or a marker is missing.
    """
    before, after = parts_around(path, around)
    with replacing(path) as file:
        file.write("\n".join([before + around[0], "", *lines, "", around[1] + after]).encode())


def parts_around(path: Path, around: tuple[str, str]) -> tuple[str, str]:
    """Return what precedes the first marker of a table in a Markdown file and what follows the second.

    Raises
    ------
    InputError
        The file cannot be read, or a marker is missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}: {error}; save it as UTF-8") from error
    begin, end = around
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise InputError(f"{path} has no markers of the table, or several: it needs {begin} once, then {end}")
    return text.partition(begin)[0], text.partition(end)[2]
