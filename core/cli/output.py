"""Output of a command: text, or one JSON object."""

import codecs
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from inficond.core.errors import InputError, printable
from inficond.core.progress import Progress, Silent, Terminal

PLAIN = str.maketrans(
    {"→": "->", "…": "...", "“": '"', "”": '"', "−": "-", "–": "-", "×": "x", "·": "-", "±": "+/-",
     "≥": ">=", "≤": "<=", "λ": "lambda", "φ": "phi", "°": " deg"}
)  # fmt: skip
"""Replacements of characters that the encoding of a stream lacks."""


def prepare_streams() -> None:
    """Let stdout and stderr take every character: those that their encoding lacks are replaced or escaped.

    A stream that was closed before the start becomes the null device.
    """
    _open_closed_streams()
    codecs.register_error("inficond", _replace)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="inficond")


def _open_closed_streams() -> None:
    for descriptor in range(3):  # so that no file of ours gets the number of a standard stream
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end


class Output:
    """Writer of a command's result: text, or one JSON object with `--json`.

    Raises
    ------
    InputError
        From `say` and `result`: stdout cannot be written, for instance because its disk is full. The command
        itself has been carried out.
    """

    def __init__(self, as_json: bool, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.as_json = as_json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    def progress(self) -> Progress:
        """Return a progress line on stderr; only its notes are shown where stderr is not a terminal."""
        return Silent() if self.as_json else Terminal(self._stderr)

    def say(self, line: str = "") -> None:
        """Print one line of text; nothing with `--json`. Control characters are escaped."""
        if not self.as_json:
            self._write(printable(line) + "\n")

    def warn(self, line: str) -> None:
        """Print a line on stderr, in either mode."""
        complain(printable(line), self._stderr)

    def result(self, data: Mapping[str, Any]) -> None:
        """Print the JSON object of `--json`; nothing in text mode."""
        if self.as_json:
            self._write(self._json(data, None) + "\n")

    def document(self, data: Mapping[str, Any]) -> None:
        """Print a JSON object in either mode, indented in text mode."""
        self._write(self._json(data, None if self.as_json else 1) + "\n")

    def flush(self) -> None:
        """Write what is buffered."""
        self._write("")

    def _json(self, data: Mapping[str, Any], indent: int | None) -> str:
        """Return JSON in which characters that stdout lacks, or that control a terminal, are escaped."""
        encoding = (getattr(self._stdout, "encoding", None) or "utf-8").lower().replace("-", "")
        text = json.dumps(data, indent=indent, ensure_ascii=encoding != "utf8", default=_plain)
        if text.replace("\n", "").isprintable():
            return text
        return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)

    def _write(self, text: str) -> None:
        try:
            self._stdout.write(text)
            if not text:
                self._stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            discard(self._stdout)
            raise InputError(
                f"cannot write the output ({error.strerror or error}); the command itself was carried out"
            ) from None


@contextmanager
def progress_line(out: Output) -> Iterator[Progress]:
    """Show the progress of a block of code in a line on stderr, which is removed at the end of the block."""
    progress = out.progress()
    try:
        yield progress
    finally:
        clear = getattr(progress, "clear", None)
        if clear is not None:
            clear()


def complain(line: str, stream: TextIO | None = None) -> None:
    """Print a line on stderr; a stderr that cannot be written is ignored."""
    stream = stream or sys.stderr
    try:
        print(line, file=stream, flush=True)
    except OSError:
        discard(stream)  # pyright: ignore[reportArgumentType]


def discard(stream: TextIO) -> None:
    """Send the rest of a stream to the null device, so that the interpreter's exit does not fail on it."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return


def _plain(value: Any) -> Any:
    """Return NumPy scalars and arrays, paths and the like as JSON values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
