"""What the documents say is true: links lead somewhere, commands exist, and those that can run do run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inficond.core.cli.main import build_parser

sys.path.insert(0, str(Path(__file__).parent))
from documents import ROOT, commands, documents

NAMES = [str(d.relative_to(ROOT)) for d in documents()]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    text = document.read_text(encoding="utf-8")
    missing = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_every_inficond_line_parses(name: str) -> None:
    wrong = []
    for command in commands(ROOT / name):
        words = command.words
        if not words or words[0] != "inficond":
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if any(c.not_run is None for c in commands(ROOT / n))])
def test_commands_run(name: str, tmp_path: Path) -> None:
    """In one folder that holds `photos/`: 120 collages of the demo, where a reader has photographs."""
    from inficond.core.demo import demo_project
    from inficond.core.project.project import Project

    demo = Project.open(demo_project())
    (tmp_path / "photos").mkdir()
    for row in range(0, len(demo.image_ids), max(1, len(demo.image_ids) // 120)):
        source = Path(demo.image_path(row))
        shutil.copy(source, tmp_path / "photos" / source.name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"}
    for command in commands(ROOT / name):
        if command.not_run is not None:
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.text],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
