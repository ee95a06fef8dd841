"""The systemd unit and the Dockerfile name existing commands and files, and have the documented settings."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from inficond.core.cli.main import build_parser

EDGE = Path(__file__).resolve().parents[2] / "docs" / "edge"
ROOT = EDGE.parents[1]
DOCKER = (EDGE / "Dockerfile").read_text(encoding="utf-8")
UNIT = (EDGE / "inficond.service").read_text(encoding="utf-8")


def test_the_unit_runs_a_command_that_parses() -> None:
    command = re.search(r"^ExecStart=(.+)$", UNIT, re.M)
    assert command is not None
    _, *words = command[1].split()
    args = build_parser(words[0]).parse_args(words)
    assert (args.host, args.port) == ("127.0.0.1", 8080), "on loopback: it authenticates nobody"


def test_the_unit_may_write_its_caches_only() -> None:
    """The file system is read-only, except for one folder, which contains every cache that the unit names."""
    said = dict(line.split("=", 1) for line in UNIT.split("\n") if re.match(r"^\w+=", line))
    assert {"strict", "yes"} >= {said["ProtectSystem"], said["ProtectHome"]}
    cache = said["CacheDirectory"]
    places = [v.split("=", 1) for v in said["Environment"].split()]
    assert {name for name, _ in places} == {"INFICOND_CACHE", "NUMBA_CACHE_DIR"}
    assert all(value.startswith(f"%C/{cache}") for _, value in places)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "inficond.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT, flags=re.M))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    complaints = [x for x in done.stderr.split("\n") if "inficond.service" in x]
    assert not complaints


def test_the_dockerfile_copies_existing_files_and_all_packages() -> None:
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKER, re.M):
        *sources, _ = line.split()
        copied |= set(sources)
    assert {"cluster", "core", "export", "gradio_app", "pyproject.toml", "src"} <= copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_a_valid_command_without_root() -> None:
    before, after = DOCKER.split("USER inficond")
    assert "prepare-only" not in before, "caches made by root are of no use to another user"
    command = re.search(r"^CMD \[(.+)\]$", after, re.M)
    assert command is not None
    _, *words = re.findall(r'"([^"]*)"', command[1])
    assert build_parser(words[0]).parse_args(words).port == 8080
    for line in re.findall(r"inficond (\w+) (--[\w-]+)", DOCKER):
        build_parser(line[0]).parse_args(list(line))
