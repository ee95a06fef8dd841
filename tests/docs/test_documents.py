"""Links of the documents are valid, and their commands exist."""

import re
import tomllib
from pathlib import Path

import pytest
from tests.docs.documents import LANGUAGES, ROOT, blocks, commands, documents

from inficond.core.cli.main import build_parser

NAMES = [str(d.relative_to(ROOT)) for d in documents()]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS = set(PROJECT["entry-points"]["inficond.commands"])
TARGETS = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def anchors(document: Path) -> set[str]:
    """Return GitHub's anchors of the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links_are_valid(name: str) -> None:
    document = ROOT / name
    text = document.read_text(encoding="utf-8")
    missing = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([\w-]+))?[^)]*\)", text):
        if "://" in target:
            continue
        file = document.parent / target if target else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            missing.append(f"{target}#{anchor}")
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_every_block_has_a_known_language(name: str) -> None:
    """No block is skipped because its language or its mark is misspelt."""
    found = list(blocks(ROOT / name))
    text = (ROOT / name).read_text(encoding="utf-8")
    assert 2 * len(found) == len(re.findall(r"^ *```", text, re.M)), "a fence that the tests cannot read"
    assert not [f"{b.document}:{b.line} {b.language!r}" for b in found if b.language not in LANGUAGES]
    hidden = [
        b for b in found if b.language == "text" and re.search(r"^\$? ?(inficond|make|pip) ", b.body, re.M)
    ]
    assert not hidden, "commands belong in a `sh` fence"


@pytest.mark.parametrize("name", NAMES)
def test_every_inficond_line_parses(name: str) -> None:
    wrong = []
    for command in commands(ROOT / name):
        if command.language == "python":
            compile(command.text, str(command).split("\n")[0], "exec")
            continue
        words = command.words
        if not words or words[0].split("/")[-1] != "inficond":
            continue
        for stop in ("|", ">", "&&", "&"):
            if stop in words:
                words = words[: words.index(stop)]
        try:
            build_parser(words[1] if len(words) > 1 else None).parse_args(words[1:])
        except SystemExit as stop_:
            if stop_.code not in (0, None):
                wrong.append(str(command))
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_running_text_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"`inficond ([a-z]\w*)", text))
    assert named <= COMMANDS
    parser = build_parser("bench")
    for benchmark in set(re.findall(r"`inficond bench (\w+)", text)):
        with pytest.raises(SystemExit) as stop:
            parser.parse_args(["bench", benchmark, "--help"])
        assert stop.value.code == 0, benchmark
    made = re.findall(r"^(?:- )?make ([a-z][\w-]*)|`make ([a-z][\w-]*)", text, re.M)
    assert {a or b for a, b in made} <= TARGETS
    extras = {e for group in re.findall(r"inficond\[([\w,]+)\]", text) for e in group.split(",")}
    assert extras <= set(PROJECT["optional-dependencies"])
