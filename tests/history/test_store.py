"""Histories in SQLite: reading, writing, and refusal of damaged and foreign files."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.history.store import History
from inficond.core.history.tree import Tree
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    project = make_project()
    session = project.session("main")
    session.apply("boat", [Action("mute", "c1"), Action("up", "c3")], focus="missed", note="a note")
    session.override([project.image_ids[2]], "bird", 0.75)
    session.apply("boat", Action("free", "c1"))
    session.undo()
    return project


def history_of(project: Project) -> History:
    return History(project.path / "history.sqlite", project.session().context.data_hash)


def test_nodes_are_read_as_they_were_written(project: Project) -> None:
    written = project.session("main")
    history = history_of(project)
    nodes = history.nodes("main")
    assert [n.id for n in nodes] == [t.node.id for t in written.tree()[1:]]
    for node in nodes:
        original = written.find(node.id)
        assert node.computed_id() == node.id
        assert node.to_json(states=True) == original.to_json(states=True)
        assert all(state.same_as(original.changed[c]) for c, state in node.changed.items())
    assert history.head("main") == (nodes[1].id, [nodes[2].id])
    assert history.head("nobody") is None
    assert [n.id for n in history.nodes("main", known=[nodes[0].id])] == [n.id for n in nodes[1:]]


def test_states_along_a_path(project: Project) -> None:
    session = project.session("main")
    tree = Tree(session.context.root, session.workspace.root)
    tree.add(history_of(project).nodes("main"))
    ids = [n.id for n in tree]
    state = tree.state(ids[-1])
    assert set(state.classes["boat"].bounds) == {"c3"}
    assert state.classes["bird"].overrides == {project.image_ids[2]: 0.75}
    assert tree.state(ids[1]).classes["bird"] is session.workspace.root.classes["bird"]
    assert [n.id for n in tree.path(ids[-1])] == ids[1:]
    assert [n.id for n in tree.children(ids[0])] == [ids[1]]


def test_the_file_is_in_wal_mode_and_every_write_is_durable(project: Project) -> None:
    db = sqlite3.connect(project.path / "history.sqlite")
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    history = history_of(project)
    with history.writing() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_node_that_was_tampered_with_is_found(project: Project) -> None:
    db = sqlite3.connect(project.path / "history.sqlite")
    blob = bytearray(db.execute("SELECT weights FROM state WHERE node = 1").fetchone()[0])
    blob[0] ^= 1
    db.execute("UPDATE state SET weights = ? WHERE node = 1", (bytes(blob),))
    db.commit()
    with pytest.raises(InputError, match="does not match|is not what was written"):
        history_of(project).check()


def test_a_file_that_is_not_a_history_is_refused(make_project: MakeProject) -> None:
    project = make_project()
    (project.path / "history.sqlite").write_bytes(b"not a database at all " * 100)
    with pytest.raises(InputError, match=r"history\.sqlite is damaged"):
        project.session()


def test_a_history_of_other_data_is_refused(project: Project, make_project: MakeProject) -> None:
    other = make_project(seed=9)
    project.session().context.history_store.close()  # the last one out writes the log into the file
    (other.path / "history.sqlite").write_bytes((project.path / "history.sqlite").read_bytes())
    with pytest.raises(InputError, match="history of other data"):
        other.session()


def test_a_history_of_a_newer_format_is_refused(project: Project) -> None:
    db = sqlite3.connect(project.path / "history.sqlite")
    db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    db.commit()
    with pytest.raises(InputError, match="has format 99, and this version reads 2"):
        history_of(project).nodes("main")


def test_a_failed_transaction_changes_nothing(project: Project) -> None:
    history = history_of(project)
    before = history.head("main"), len(history.nodes("main"))

    def fail() -> None:
        with history.writing():
            history.move("main", "elsewhere")
            history.remark("main", "x", "name", "")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (history.head("main"), len(history.nodes("main"))) == before
    assert history.remarks("main") == {}


def test_weights_keep_their_sign_of_zero(project: Project) -> None:
    last = project.session("main").current
    one = next(iter(last.changed.values()))
    weights = np.where(one.weights == 0, np.float32(-0.0), one.weights)
    node = replace(last, id="", parent=last.id, changed={"boat": replace(one, weights=weights)})
    node = replace(node, id=node.computed_id())
    history_of(project).add("main", [node], node.id)
    read = history_of(project).nodes("main")[-1]
    assert np.signbit(read.changed["boat"].weights).any()
    assert read.changed["boat"].same_as(node.changed["boat"])


def test_forgetting_an_owner_leaves_the_others(project: Project) -> None:
    visitor = project.session()
    visitor.apply("barn", Action("mute", "c7"))
    token = visitor.save()
    history = history_of(project)
    assert set(history.owners()) == {"main", token}
    history.forget(token)
    assert set(history.owners()) == {"main"}
    assert len(history.nodes("main")) == 3
    with pytest.raises(ValueError, match="never deleted"):
        history.forget("main")
