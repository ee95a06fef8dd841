"""Error messages of the packages: one line, without names of internal modules or exception types."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ERRORS = {"InputError", "StorageError", "StorageBusy", "UnreadableImage", "damaged", "unknown", "Cancelled"}
INTERNAL = re.compile(
    r"\binficond\.(core|export|gradio_app)\b|\b(core|gradio_app)/\w+|\w+\.py\b|Traceback|NoneType|KeyError|self\."
)
COMMAND = re.compile(r"python -m inficond\S*")
"""A command to be typed, which names a module on purpose."""


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and literal text of each message of an exception of this project."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in ERRORS:
            continue
        texts = [
            part.value
            for argument in node.args
            for part in ast.walk(argument)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        yield node.lineno, COMMAND.sub("", "".join(texts))


def sources() -> list[Path]:
    return sorted(
        p for root in ("cluster", "core", "export", "gradio_app") for p in (ROOT / root).rglob("*.py")
    )


def test_there_are_messages_to_check() -> None:
    assert sum(1 for path in sources() for _ in messages(path)) > 300


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_message_names_a_module_or_spans_lines(path: Path) -> None:
    wrong = [f"{line}: {text}" for line, text in messages(path) if "\n" in text or INTERNAL.search(text)]
    assert not wrong, wrong


def test_a_message_with_a_module_name_is_found(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text('raise InputError(f"{x}: see inficond.core.solver")\nraise InputError("fine: add one")\n')
    [(_, bad), (_, good)] = messages(file)
    assert INTERNAL.search(bad)
    assert not INTERNAL.search(good)
