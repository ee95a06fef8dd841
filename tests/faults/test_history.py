"""Histories under kills, a full disk, missing permissions and other writers: no committed step is lost."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.history.store import History
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]
WORKER = Path(__file__).with_name("history_worker.py")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, signals and resource limits")


def start(mode: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), mode, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str], timeout: float = 240) -> list[str]:
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err[-2000:]
    return out.splitlines()


def nodes(lines: list[str]) -> list[str]:
    return [line.split()[1] for line in lines if line.startswith("node ")]


@pytest.mark.slow
def test_sigkill_at_random_moments_loses_no_reported_node(make_project: MakeProject) -> None:
    project = make_project()
    said: list[str] = []
    begun = 0
    while len(said) < 200:
        lines = finish(start("kills", project.path, 24))
        said += nodes(lines)
        begun += lines.count("begun")
        # After every round of kills, the history opens and passes all checks.
        session = Project.open(project.path).session("main")
        kept = {t.node.id for t in session.tree()}
        assert set(said) <= kept
        assert session.context.history_store.check() == len(kept) - 1
        assert len(kept) - 1 - len(said) <= begun, (
            "at most one step of each child was written but not yet reported"
        )
        db = sqlite3.connect(project.path / "history.sqlite")
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()
        session.undo()
        session.redo()


def test_two_writers_with_exclusive_locks_build_one_branch(make_project: MakeProject) -> None:
    project = make_project()
    writers = [start("write", project.path, 20) for _ in range(2)]
    said = [nodes(finish(w)) for w in writers]
    session = project.session("main")
    tree = session.tree()
    assert {t.node.id for t in tree[1:]} == {*said[0], *said[1]}
    assert len(tree) == 41
    assert [t.depth for t in tree] == list(range(41)), "the parent of each step is the one before"
    assert session.node == tree[-1].node.id


def test_writers_without_locks_create_branches_and_lose_no_step(make_project: MakeProject) -> None:
    project = make_project()
    writers = [start("branch", project.path, 10) for _ in range(2)]
    said = {n for w in writers for n in nodes(finish(w))}
    session = project.session("main")
    assert said == {t.node.id for t in session.tree()[1:]}
    assert session.context.history_store.check() == len(said)


def test_a_session_opens_while_another_process_writes(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes and current node are read from one snapshot, even if a step is written in between."""
    project = make_project()
    before = project.session("main").apply("boat", Action("mute", "c1")).id
    said, remarks = [], History.remarks

    def written_meanwhile(self: History, owner: str) -> dict[str, tuple[str, str]]:
        if not said:
            said.extend(nodes(finish(start("branch", project.path, 1))))
        return remarks(self, owner)

    monkeypatch.setattr(History, "remarks", written_meanwhile)
    assert Project.open(project.path).session("main").node == before
    assert Project.open(project.path).session("main").node == said[0]


def test_a_full_disk_raises_one_line_and_changes_nothing(make_project: MakeProject) -> None:
    project = make_project()
    lines = finish(start("full", project.path))
    refused = [line for line in lines if line.startswith("refused")]
    assert len(refused) == 3
    assert all("cannot write" in line and "nothing was changed" in line for line in refused)
    assert "same True" in lines
    assert project.session("main").node == nodes(lines)[-1]
    assert project.session().context.history_store.check() == 2


def test_a_database_at_its_page_limit_is_reported_as_a_full_disk(make_project: MakeProject) -> None:
    project = make_project()
    session = project.session("main")
    session.apply("boat", Action("mute", "c1"))
    with session.context.history_store.writing() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    refused = None
    for i in range(40):
        try:
            session.apply("boat", Action("set", "c2", i / 50))
        except InputError as error:
            refused = str(error)
            break
    assert refused is not None
    assert "the disk is full" in refused
    session.context.history_store.close()
    kept = Project.open(project.path).session("main")
    assert kept.node == session.node
    assert {t.node.id for t in kept.tree()} == {t.node.id for t in session.tree()}


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter, as all folders above it."""
    places = [Path(place).resolve() for place in (tempfile.gettempdir(), "/tmp", "/var/tmp")]
    open_places = [
        place
        for place in places
        if os.access(place, os.W_OK) and all(one.stat().st_mode & 0o001 for one in (place, *place.parents))
    ]
    if not open_places:
        pytest.skip("needs a temporary folder that other users may enter")
    folder = Path(tempfile.mkdtemp(dir=open_places[0]))
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder)


@pytest.mark.parametrize("with_history", [False, True])
def test_a_read_only_project_can_be_tuned_in_memory_only(
    make_project: MakeProject, public: Path, with_history: bool
) -> None:
    made = make_project()
    if with_history:
        finish(start("branch", made.path, 1))
    place = public / "project"
    shutil.copytree(made.path, place)
    for path in [place, *place.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    lines = finish(start("readonly", place))
    assert [line.split()[1] for line in lines[:3]] == ["refused"] * 3
    assert "read-only here" in lines[0]
    assert lines[3:] == [f"nodes {1 + with_history}", "memory True", "unsaved"]
