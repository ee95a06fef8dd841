"""Locks: readers do not wait for writers, and a writer that cannot get the lock says so."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from inficond.core import Project
from inficond.core.errors import StorageBusy
from inficond.core.history.store import History
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    project = make_project()
    project.session("main").apply("boat", Action("mute", "c1"))
    return project


@pytest.fixture
def locked(project: Project) -> Iterator[sqlite3.Connection]:
    """Another program's transaction on the history that does not end."""
    with closing(sqlite3.connect(project.path / "history.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def history_of(project: Project) -> History:
    return History(project.path / "history.sqlite", project.session().context.data_hash)


def test_sessions_open_while_another_program_holds_the_write_lock(
    project: Project, locked: sqlite3.Connection
) -> None:
    assert len(project.session().tree()) == 2
    assert len(Project.open(project.path).session("main").tree()) == 2


def test_a_write_says_after_its_wait_that_the_file_is_locked(
    project: Project, locked: sqlite3.Connection
) -> None:
    history = history_of(project)
    before = history.head("main")
    with pytest.raises(StorageBusy, match="locked by another process"), history.writing(wait=0.05):
        history.move("main", "elsewhere")
    assert history.head("main") == before
    locked.execute("ROLLBACK")
    with history.writing(wait=5):
        history.move("main", before[0] if before else "", ["x"])
    assert history.head("main") == (before[0] if before else "", ["x"])


def test_threads_read_and_open_sessions_while_one_of_them_waits_for_the_lock(
    project: Project, locked: sqlite3.Connection
) -> None:
    """Regression: all readers of a process waited for the writer, for 30 s and longer."""
    history, begun, said = project.session().context.history_store, threading.Event(), []

    def write() -> None:
        try:
            begun.set()
            with history.writing(wait=20):
                said.append("written")
        except StorageBusy:
            said.append("busy")

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(10)
    assert len(project.session().tree()) == 2
    assert history.head("main") is not None
    assert said == []
    locked.execute("ROLLBACK")
    writer.join(30)
    assert said == ["written"]


def test_a_second_writing_thread_gives_up_after_its_wait(project: Project) -> None:
    history, inside, leave = project.session().context.history_store, threading.Event(), threading.Event()

    def hold() -> None:
        with history.writing():
            inside.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)
    with pytest.raises(StorageBusy), history.writing(wait=0.05):
        raise AssertionError("both write")
    leave.set()
    holder.join(30)
    with history.writing(wait=5):
        history.move("main", "elsewhere")
    assert history.head("main") == ("elsewhere", [])


def test_a_read_sees_one_state_while_others_write(project: Project) -> None:
    history = history_of(project)
    with history.reading():
        before = history.nodes("main")
        project.session("main").apply("bird", Action("mute", "c2"))
        assert [n.id for n in history.nodes("main")] == [n.id for n in before]
        assert history.head("main") == (before[-1].id, [])
    assert len(history.nodes("main")) == 2


def test_a_transaction_reads_what_it_wrote(project: Project) -> None:
    history = history_of(project)
    with history.writing():
        history.move("main", "elsewhere")
        assert history.head("main") == ("elsewhere", [])
        with history.reading():
            assert history.head("main") == ("elsewhere", [])


def test_nodes_are_parsed_once_in_a_process(project: Project) -> None:
    first, second = project.session("main"), project.session()
    assert first.current is second.current
    node = first.apply("bird", Action("mute", "c3"))
    assert project.session().current is node


def test_closing_a_history_while_it_is_read_lets_the_reader_finish(project: Project) -> None:
    history = history_of(project)
    with history.reading():
        history.close()
        assert len(history.nodes("main")) == 1
    assert len(history.nodes("main")) == 1


def test_a_history_is_created_while_another_program_writes_the_empty_file(make_project: MakeProject) -> None:
    """SQLite does not wait for a writer while it switches to write-ahead logging."""
    project = make_project()
    path = project.path / "history.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ["ROLLBACK"])
        release.start()
        project.session("main").apply("boat", Action("mute", "c1"))
        release.join()
    assert len(project.session("main").tree()) == 2
