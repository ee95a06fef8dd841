"""What an archive contains of a project that is in use: one state of its history, and nobody's visit."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inficond.core import Project
from inficond.core.bundle import pack, unpack
from inficond.core.errors import InputError
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]


def test_a_project_that_is_tuned_while_it_is_packed_can_be_unpacked(
    make_project: MakeProject, tmp_path: Path
) -> None:
    """Finding 10: the history was hashed, then read again; 8 of 8 archives could not be unpacked."""
    project = make_project()
    session = project.session("main")
    session.apply("boat", Action("set", "c1", 0.1))
    stop = threading.Event()

    def tune() -> None:
        k = 0
        while not stop.is_set():
            session.apply("boat", Action("set", f"c{k % 20}", k % 30 / 50))
            k += 1

    tuner = threading.Thread(target=tune)
    tuner.start()
    sizes = []
    try:
        for i in range(8):
            pack([project.path], tmp_path / f"{i}.zip")
            before = len(session.tree())
            [made] = unpack(tmp_path / f"{i}.zip", tmp_path / str(i))
            again = Project.open(made)
            assert again.verify() == []
            sizes.append(len(again.session("main").tree()))
            assert 2 <= sizes[-1] <= before
    finally:
        stop.set()
        tuner.join(60)
    assert sizes == sorted(sizes)
    assert len(project.session("main").tree()) == len(session.tree())


def test_visits_and_their_tokens_are_not_packed(make_project: MakeProject, tmp_path: Path) -> None:
    """Finding 26: with the token of an archive, a visit could be resumed."""
    project = make_project()
    main_node = project.session("main").apply("boat", Action("mute", "c1"))
    tokens = []
    for k in range(3):
        visit = project.session()
        visit.apply("boat", Action("mute", f"c{k + 2}"), note="a private note")
        visit.name(visit.node, "a private name")
        tokens.append(visit.save())
    pack([project.path], tmp_path / "a.zip")
    raw = (tmp_path / "a.zip").read_bytes()
    for secret in (*tokens, "a private note", "a private name"):
        assert secret.encode() not in raw
    [made] = unpack(tmp_path / "a.zip", tmp_path / "out")
    again = Project.open(made)
    assert again.session("main").node == main_node.id
    assert {*again.context.history_store.owners()} == {"main"}
    assert {*project.context.history_store.owners()} == {"main", *tokens}, "the source is unchanged"
    with pytest.raises(InputError, match="no session is saved"):
        again.session(tokens[0])
