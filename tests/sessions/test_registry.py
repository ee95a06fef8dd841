"""Sessions of visitors: saving loses no step and delays no other visitor, and saved visits expire."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from inficond.core import Project
from inficond.core.errors import InputError, StorageBusy
from inficond.core.history.store import History
from inficond.core.sessions.session_registry import KEEP_SECONDS, SessionRegistry
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]
STEP = Action("mute", "c1")


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    project = make_project()
    project.session("main").apply("boat", Action("up", "c2"))
    return project


@pytest.fixture
def locked(project: Project) -> Iterator[sqlite3.Connection]:
    """An open transaction of another program on the project's history."""
    with closing(sqlite3.connect(project.path / "history.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def rows(project: Project, token: str) -> int:
    with closing(sqlite3.connect(project.path / "history.sqlite")) as db:
        return int(db.execute("SELECT count(*) FROM node WHERE owner = ?", (token,)).fetchone()[0])


def test_a_save_blocked_by_a_lock_is_repeated(
    project: Project, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the visit was lost, and all later ones were dropped without a message."""
    monkeypatch.setattr("inficond.core.sessions.session_registry.LOCK_SECONDS", 0.1)
    now = 0.0
    registry = SessionRegistry(project.context, idle=60, clock=lambda: now)
    visits = [registry.open() for _ in range(2)]
    for visit in visits:
        visit.apply("boat", STEP)
    now = 61.0
    registry.drop_idle()
    assert all(visit.token in registry for visit in visits)
    assert registry.open(visits[0].token) is visits[0]
    locked.execute("ROLLBACK")
    now = 200.0
    registry.drop_idle()
    assert len(registry) == 0
    for visit in visits:
        assert registry.open(visit.token).node == visit.node


def test_other_visits_are_served_while_one_save_waits(project: Project, locked: sqlite3.Connection) -> None:
    """Regression: all visitors waited 30 s for the lock of one save."""
    now = 0.0
    registry = SessionRegistry(project.context, idle=60, clock=lambda: now)
    registry.open().apply("boat", STEP)
    now = 61.0
    saving = threading.Thread(target=registry.drop_idle)
    saving.start()
    for _ in range(5):
        visit = registry.open()
        visit.apply("bird", STEP)
        assert registry.open(visit.token) is visit
    assert saving.is_alive(), "the others were served before the lock ended"
    locked.execute("ROLLBACK")
    saving.join(30)
    assert not saving.is_alive()


def test_a_visit_can_be_opened_while_it_is_saved(project: Project, locked: sqlite3.Connection) -> None:
    now = 0.0
    registry = SessionRegistry(project.context, idle=60, clock=lambda: now)
    visit = registry.open()
    visit.apply("boat", STEP)
    now = 61.0
    saving = threading.Thread(target=registry.drop_idle)
    saving.start()
    assert registry.open(visit.token) is visit
    visit.apply("boat", Action("mute", "c3"))
    locked.execute("ROLLBACK")
    saving.join(30)
    registry.close()
    assert rows(project, visit.token) == 2


def test_visits_without_steps_are_evicted_first(project: Project) -> None:
    """Regression: 520 requests without a token evicted all unsaved work from memory."""
    registry = SessionRegistry(project.context, most=8)
    visits = [registry.open() for _ in range(4)]
    for visit in visits:
        visit.apply("boat", STEP)
    for _ in range(40):
        registry.open()
    assert all(registry.open(visit.token) is visit for visit in visits)


def test_a_visit_keeps_its_address_when_it_cannot_be_saved(
    project: Project, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: visits that returned to memory had no address, so the oldest one was removed."""
    monkeypatch.setattr("inficond.core.sessions.session_registry.LOCK_SECONDS", 0.1)
    now = 0.0
    registry = SessionRegistry(project.context, idle=60, most=3, clock=lambda: now)
    alone, first, second = (registry.open(address=address) for address in ("a", "b", "b"))
    for visit in (alone, first, second):
        visit.apply("boat", STEP)
    now = 61.0
    registry.drop_idle()
    locked.execute("ROLLBACK")
    registry.open(address="c")
    assert [visit.token in registry for visit in (alone, first, second)] == [True, False, True]
    registry.close()


def test_a_save_writes_only_what_is_new(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: each save wrote all nodes of the project again, under the visitor's token."""
    visit = project.session()
    written: list[int] = []
    add = History.add

    def counted(self: History, owner: str, nodes: list, *more: object) -> None:
        written.append(len(nodes))
        add(self, owner, nodes, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(History, "add", counted)
    for k in range(3):
        visit.apply("boat", Action("mute", f"c{k}"))
    visit.save()
    visit.undo()
    visit.save()
    visit.apply("bird", STEP)
    token = visit.save()
    assert written == [3, 0, 1]
    assert rows(project, token) == 4
    again = project.session(token)
    assert again.node == visit.node
    assert len(again.tree()) == len(visit.tree()) == 6


def test_a_name_alone_is_saved(project: Project) -> None:
    registry = SessionRegistry(project.context)
    visit = registry.open()
    visit.name(visit.node, "mine")
    registry.close()
    assert registry.open(visit.token).find("mine").id == visit.node


def test_each_step_of_the_page_survives_a_kill(project: Project) -> None:
    script = textwrap.dedent(
        f"""
        import os, sys
        from inficond.core import Project
        from inficond.core.sessions.session_registry import SessionRegistry
        from inficond.core.tuning.actions import Action
        registry = SessionRegistry(Project.open({str(project.path)!r}).context, autosave=True)
        visit = registry.open()
        for k in range(3):
            print(visit.token, visit.apply("boat", Action("mute", f"c{{k}}")).id, flush=True)
        visit.undo()
        print("undone", flush=True)
        os.kill(os.getpid(), {int(signal.SIGKILL) if os.name == "posix" else 9})
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 4, done.stderr
    again = SessionRegistry(project.context).open(lines[0][0])
    assert again.token == lines[0][0]
    assert again.node == lines[1][1]
    assert again.redo().id == lines[2][1]


def test_a_step_that_cannot_be_saved_yet_is_saved_with_the_next(
    project: Project, locked: sqlite3.Connection
) -> None:
    visit = SessionRegistry(project.context, autosave=True).open()
    visit.apply("boat", STEP)
    assert visit.changed
    locked.execute("ROLLBACK")
    visit.apply("bird", STEP)
    assert not visit.changed
    assert rows(project, visit.token) == 2


def test_steps_are_saved_beside_the_answer(project: Project) -> None:
    """The disk works while the answer is computed; the answer waits for it."""
    visit = SessionRegistry(project.context, autosave=True).open()
    with visit.saving.beside():
        for k in range(3):
            visit.apply("boat", Action("mute", f"c{k}"))
        visit.undo()
    assert visit.saving.wait()
    again = SessionRegistry(project.context).open(visit.token)
    assert (again.node, again.history.redo_nodes) == (visit.node, visit.history.redo_nodes)
    assert rows(project, visit.token) == 3


def test_steps_of_several_threads_are_all_saved(project: Project) -> None:
    visit = SessionRegistry(project.context, autosave=True).open()

    def work(number: int) -> None:
        for k in range(4):
            with visit.saving.beside():
                visit.apply("boat", Action("set", f"c{number}", 0.1 * (k + 1)))
            visit.saving.wait()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert visit.saving.wait()
    assert rows(project, visit.token) == 12
    assert SessionRegistry(project.context).open(visit.token).node == visit.node


def test_a_step_beside_a_locked_store_is_saved_later(project: Project, locked: sqlite3.Connection) -> None:
    visit = SessionRegistry(project.context, autosave=True).open()
    with visit.saving.beside():
        visit.apply("boat", STEP)
    assert not visit.saving.wait()
    locked.execute("ROLLBACK")
    visit.save()
    assert visit.saving.wait()
    assert rows(project, visit.token) == 1


@pytest.mark.skipif(os.name != "posix", reason="needs a folder that cannot be written")
def test_visits_that_cannot_be_saved_stay_in_memory(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from inficond.core.errors import StorageError

    def refuse(self: History, *given: object) -> None:
        raise StorageError("cannot write history.sqlite: the project is read-only here")

    monkeypatch.setattr(History, "add", refuse)
    now = 0.0
    registry = SessionRegistry(project.context, idle=60, most=3, clock=lambda: now)
    visit = registry.open()
    visit.apply("boat", STEP)
    now = 61.0
    registry.drop_idle()
    assert registry.open(visit.token) is visit
    assert "could not be saved" in caplog.text


def test_saved_visits_expire_two_weeks_after_their_last_use(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, today = 0.0, time.time()
    registry = SessionRegistry(project.context, idle=60, clock=lambda: now)

    def visit_at(days: float) -> str:
        nonlocal now
        monkeypatch.setattr(time, "time", lambda: today + days * 86400)
        visit = registry.open()
        visit.apply("boat", STEP)
        now += 3601
        registry.drop_idle()
        return visit.token

    old, later = visit_at(0), visit_at(10)
    monkeypatch.setattr(time, "time", lambda: today + 13 * 86400)
    registry.open(old)
    now += 3601
    registry.drop_idle()
    assert {*project.context.history_store.owners()} == {"main", old, later}
    monkeypatch.setattr(time, "time", lambda: today + 10 * 86400 + KEEP_SECONDS + 1)
    now += 3601
    registry.drop_idle()
    assert {*project.context.history_store.owners()} == {"main", old}, "used again on day 13"
    with closing(sqlite3.connect(project.path / "history.sqlite")) as db:
        assert not any(later in str(row) for table in ("node", "head", "remark", "seal")
                       for row in db.execute(f"SELECT * FROM {table}"))  # fmt: skip
    assert registry.open(later).token != later


def test_a_visit_in_memory_does_not_expire(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = SessionRegistry(project.context, autosave=True)
    visit = registry.open()
    visit.apply("boat", STEP)
    today = time.time()
    monkeypatch.setattr(time, "time", lambda: today + 2 * KEEP_SECONDS)
    assert registry.forget_old() == 0
    assert project.session("main").node != visit.node
    assert rows(project, visit.token) == 1


def test_a_damaged_visit_is_kept_and_others_expire(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    store = project.context.history_store
    tokens = []
    for _ in range(2):
        visit = project.session()
        visit.apply("boat", STEP)
        tokens.append(visit.save())
    store.close()
    with closing(sqlite3.connect(project.path / "history.sqlite")) as db:
        db.execute("UPDATE head SET used = 0 WHERE owner = ?", (tokens[0],))
        db.commit()
    assert store.forget_before(time.time() + 60) == 1
    assert {*store.owners()} == {"main", tokens[0]}
    assert "an expired visit is kept" in caplog.text
    assert tokens[0] not in caplog.text


def test_two_threads_that_open_one_token_share_the_session(project: Project) -> None:
    registry = SessionRegistry(project.context)
    visit = registry.open()
    visit.apply("boat", STEP)
    registry.drop(visit.token)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(registry.open(visit.token))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4
    assert len({id(session) for session in found}) == 1


def test_visits_in_a_separate_store_do_not_change_the_project(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project()
    registry = SessionRegistry(project.context, store=tmp_path / "visits.sqlite", autosave=True)
    registry.open().apply("boat", STEP)
    registry.close()
    assert not (project.path / "history.sqlite").exists()
    assert (tmp_path / "visits.sqlite").is_file()


def test_steps_in_memory_are_limited_for_each_visit_and_in_total(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step takes memory, and a visitor can take them without end."""
    monkeypatch.setattr("inficond.core.sessions.session_registry.MOST_STEPS_EACH", 4)
    monkeypatch.setattr("inficond.core.sessions.session_registry.MOST_STEPS", 10)
    registry = SessionRegistry(project.context, autosave=True)
    visits = [registry.open() for _ in range(4)]
    for i, visit in enumerate(visits):
        for k in range(4):
            visit.apply("boat", Action("set", "c1", 0.01 * (4 * i + k)))
        node = visit.node
        with pytest.raises(InputError, match="cannot have more"):
            visit.apply("boat", Action("set", "c1", 0.3))
        assert visit.node == node
        visit.undo()
        visit.redo()
        registry.touch(visit.token)
    assert len(registry) == 2
    for visit in visits:
        assert registry.open(visit.token).node == visit.node, "visits that left memory were saved"


def test_a_visit_whose_store_is_busy_is_not_lost(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new session in its place would give the visitor another token, and their steps would seem lost."""
    registry = SessionRegistry(project.context, autosave=True)
    visit = registry.open()
    visit.apply("boat", STEP)
    registry.drop(visit.token)

    def busy(*given: object, **more: object) -> None:
        raise StorageBusy("history.sqlite is locked")

    with monkeypatch.context() as patch:
        patch.setattr(History, "nodes", busy)
        with pytest.raises(StorageBusy):
            registry.open(visit.token)
    assert registry.open(visit.token).node == visit.node
