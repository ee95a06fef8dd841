"""Links of the documents are valid, and their commands exist and run."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.docs.documents import LANGUAGES, ROOT, blocks, commands, documents

from inficond.core import Project
from inficond.core.cli.main import build_parser
from inficond.core.demo import demo_project
from inficond.core.tuning.actions import Action

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


def copy_of_demo(folder: Path) -> Project:
    """Copy the demo's project without its history."""
    shutil.copytree(demo_project(), folder, ignore=shutil.ignore_patterns("history.sqlite*"))
    return Project.open(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if any(c.not_run is None for c in commands(ROOT / n))])
def test_commands_run(name: str, tmp_path: Path) -> None:
    """They run in a folder with `photos/`, which contains 60 collages of the demo, and two projects.

    `birds` and `other-birds` are copies of the demo; `birds` has the steps "without sea" and "without water".
    """
    demo = Project.open(demo_project())
    (tmp_path / "photos").mkdir()
    for row in range(0, len(demo.image_ids), max(1, len(demo.image_ids) // 60)):
        source = Path(demo.image_path(row))
        shutil.copy(source, tmp_path / "photos" / source.name)
    if any(word in c.text for c in commands(ROOT / name) for word in (" birds", '"birds')):
        copy_of_demo(tmp_path / "other-birds")
        session = copy_of_demo(tmp_path / "birds").session("main")
        for step, words in (("without sea", ["sea"]), ("without water", ["swimming pool", "boat"])):
            node = session.apply("water bird", [Action("mute", word) for word in words])
            session.name(node.id, step)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"}
    for command in commands(ROOT / name):
        if command.not_run is not None:
            continue
        shell = ["bash", "-euo", "pipefail", "-c", command.text]
        script = [sys.executable, "-c", command.text]
        done = subprocess.run(
            shell if command.language == "sh" else script,
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
