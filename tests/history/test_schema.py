"""A history with tables, indexes, triggers or views that do not belong to its schema is refused."""

import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import InputError, StorageError
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]

FOREIGN = {
    "a trigger that deletes each step": "CREATE TRIGGER t AFTER INSERT ON head BEGIN DELETE FROM node; END",
    "a trigger that never fires": "CREATE TRIGGER t AFTER DELETE ON meta BEGIN SELECT 1; END",
    "a view": "CREATE VIEW v AS SELECT * FROM node",
    "a view in place of a table": "DROP TABLE remark; CREATE VIEW remark AS SELECT owner, id AS node,"
    " '' AS name, '' AS note FROM node",
    "a virtual table": "CREATE VIRTUAL TABLE words USING fts5(word)",
    "a table": "CREATE TABLE mine (x)",
    "an index": "CREATE INDEX i ON node (parent)",
    "an index over an expression": "CREATE INDEX i ON node (length(info))",
    "another column": "ALTER TABLE node ADD COLUMN extra TEXT",
    "a generated column": "ALTER TABLE head ADD COLUMN g TEXT GENERATED ALWAYS AS (node) VIRTUAL",
    "a constraint": "DROP TABLE remark; CREATE TABLE remark (owner TEXT NOT NULL, node TEXT NOT NULL,"
    " name TEXT NOT NULL, note TEXT NOT NULL CHECK (note = ''), PRIMARY KEY (owner, node)) WITHOUT ROWID",
    "a renamed column": "ALTER TABLE remark RENAME COLUMN note TO said",
    "a missing table": "DROP TABLE remark",
}  # fmt: skip


def tuned(make_project: MakeProject) -> Project:
    project = make_project()
    project.session("main").apply("boat", Action("mute", "c1"))
    project.session().context.history_store.close()
    return project


def edit(path: Path, script: str) -> None:
    db = sqlite3.connect(path)
    db.executescript(script)
    db.commit()
    db.close()


@pytest.mark.parametrize("script", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_objects_are_refused_when_a_history_is_opened(
    make_project: MakeProject, script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tuned(make_project)
    edit(project.path / "history.sqlite", script)
    with pytest.raises(
        StorageError, match=r"history\.sqlite is damaged: (it contains objects|the table)"
    ) as said:
        Project.open(project.path).session("main")
    assert "\n" not in str(said.value)
    assert any("history.sqlite is damaged" in fault for fault in Project.open(project.path).verify())
    for command in ("history", "report", "undo"):
        assert main([command, str(project.path)]) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_an_object_added_to_an_open_history_is_refused_at_the_next_step(make_project: MakeProject) -> None:
    project = tuned(make_project)
    session = project.session("main")
    before = len(session.tree())
    edit(project.path / "history.sqlite", FOREIGN["a trigger that deletes each step"])
    with pytest.raises(StorageError, match="trigger 't'"):
        session.apply("boat", Action("mute", "c2"))
    with pytest.raises(StorageError, match="trigger 't'"):
        project.session()
    edit(project.path / "history.sqlite", "DROP TRIGGER t")
    session.apply("boat", Action("mute", "c2"))
    assert len(project.session("main").tree()) == before + 1


def test_names_of_foreign_objects_cannot_control_the_terminal(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tuned(make_project)
    edit(project.path / "history.sqlite", 'CREATE TABLE "\x1b[2Jforged\nline" (x)')
    assert main(["history", str(project.path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.strip().isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes")
@pytest.mark.parametrize("suffix", ["", "-wal", "-seal"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_a_pipe_or_device_in_place_of_a_file_is_refused_at_once(
    make_project: MakeProject, suffix: str, kind: str
) -> None:
    project = tuned(make_project)
    path = project.path / f"history.sqlite{suffix}"
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    said: list[str] = []

    def read() -> None:
        try:
            said.append(str(len(Project.open(project.path).session("main").tree())))
        except InputError as error:
            said.append(str(error))

    reader = threading.Thread(target=read, daemon=True)  # a pipe that is opened would block for ever
    reader.start()
    reader.join(30)
    assert len(said) == 1
    assert "is not a regular file" in said[0]


def test_a_history_may_be_a_link_to_a_history(make_project: MakeProject, tmp_path: Path) -> None:
    project = tuned(make_project)
    real = tmp_path / "elsewhere.sqlite"
    (project.path / "history.sqlite").rename(real)
    (project.path / "history.sqlite-seal").unlink()
    (project.path / "history.sqlite").symlink_to(real)
    assert len(Project.open(project.path).session("main").tree()) == 2


def test_an_empty_file_becomes_a_history(make_project: MakeProject) -> None:
    project = make_project()
    (project.path / "history.sqlite").touch()
    project.session("main").apply("boat", Action("mute", "c1"))
    assert len(project.session("main").tree()) == 2
    with pytest.raises(InputError, match="nothing to redo"):
        project.session("main").redo()
