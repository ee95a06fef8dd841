"""A full disk, and a clock that is set back: one error line or success, no loss, no partial file."""

import errno
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.faults import sample

from inficond.core import Project
from inficond.core.bundle import pack, unpack
from inficond.core.errors import InputError, StorageError
from inficond.core.history import database
from inficond.core.onnx_student.export import export_student
from inficond.core.pipeline.build import BuildOptions, build
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]


class Full:
    """Counter of the writes below a folder, which raises ENOSPC after a number of them."""

    def __init__(self, folder: Path, room: int | None) -> None:
        self.folder, self.room, self.writes = str(folder), room, 0

    def spend(self) -> None:
        self.writes += 1
        if self.room is not None and self.writes > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def full_after(folder: Path, room: int | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Full]:
    """Limit writes, renames and new folders below a folder to `room` in total during the block."""
    import builtins
    import io

    disk = Full(folder, room)
    real_open, real_replace, real_rename, real_mkdir = builtins.open, os.replace, os.rename, os.mkdir

    def ours(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(disk.folder)

    def opened(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        found = real_open(file, mode, *more, **named)
        if ours(file) and any(c in mode for c in "wxa+"):
            write = found.write

            def spending(data: Any) -> int:
                disk.spend()
                return write(data)

            return _Wrapper(found, spending)  # methods of a C object cannot be replaced
        return found

    def spent(real: Callable[..., Any]) -> Callable[..., Any]:
        def moved(*given: Any, **named: Any) -> Any:
            if any(map(ours, given)):
                disk.spend()
            return real(*given, **named)

        return moved

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        patch.setattr(os, "replace", spent(real_replace))
        patch.setattr(os, "rename", spent(real_rename))
        patch.setattr(os, "mkdir", spent(real_mkdir))
        yield disk


class _Wrapper:
    """A file whose writes are counted."""

    def __init__(self, file: Any, write: Callable[[Any], int]) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Wrapper":
        return self

    def __exit__(self, *why: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


def at_each_write(folder: Path, work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a function with room for 0, 1, 2, 3, 4, 6, 9, 13, … writes until it succeeds.

    Returns the messages of the failures.
    """
    messages = []
    room = 0
    while True:
        with full_after(folder, room, monkeypatch) as disk:
            try:
                work()
            except InputError as error:
                messages.append(str(error))
                room += max(1, room // 2)
                continue
        assert disk.writes <= room
        return messages


def no_room(lines: list[str]) -> bool:
    return bool(lines) and all("No space left" in line and "\n" not in line for line in lines)


def test_distill_resumes_after_a_full_disk(
    made: sample.Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at a later write each time; the final project equals an undisturbed one."""
    out = tmp_path / "out" / "project"
    options = BuildOptions(
        images=made.photos, out=out, encoder=made.encoder, teacher=made.teacher,
        concepts=made.root / "words.txt", labels=made.root / "labels.csv", provider="cpu",
    )  # fmt: skip
    (tmp_path / "out").mkdir()
    messages = at_each_write(tmp_path / "out", lambda: build(options), monkeypatch)
    assert len(messages) > 3
    assert no_room(messages)
    again, whole = Project.open(out), Project.open(made.project)
    assert again.verify() == []
    assert {n: e["sha256"] for n, e in again.config["files"].items()} == {
        n: e["sha256"] for n, e in whole.config["files"].items()
    }
    left = [p.name for p in out.rglob("*") if p.name.endswith((".part", ".partial")) or p.name == ".build"]
    assert left == []


@pytest.mark.parametrize("what", ["export", "weights", "pack", "unpack"])
def test_exports_on_a_full_disk_are_complete_or_absent(
    made: sample.Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    session = Project.open(made.project).session("main")
    works: dict[str, Callable[[], Any]] = {
        "export": lambda: export_student(session, place / "student.onnx"),
        "weights": lambda: session.students.save(place / "student.safetensors"),
        "pack": lambda: pack([made.project], place / "packed.inficond"),
        "unpack": lambda: unpack(made.archive, place),
    }
    calls = []

    def work() -> None:
        assert list(place.iterdir()) == [], "a failed call leaves no file"
        calls.append(1)
        works[what]()

    messages = at_each_write(place, work, monkeypatch)
    assert no_room(messages)
    assert len(calls) == len(messages) + 1
    assert all(not p.name.startswith(".") for p in place.iterdir())


def test_a_replay_is_undone_when_a_step_cannot_be_written(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_project().session("main")
    for i in range(4):
        source.apply("boat", Action("set", f"c{i}", 0.1))
    recipe = source.recipe()
    target = make_project().session("main")
    put, count = database.Database.put, itertools.count()

    def fails_once(self: Any, *given: Any) -> None:
        if next(count) == 4:
            raise StorageError("cannot write history.sqlite: the disk is full; nothing was changed")
        put(self, *given)

    monkeypatch.setattr(database.Database, "put", fails_once)
    with pytest.raises(StorageError, match="disk is full"), target.exclusive():
        target.replay(recipe)
    kept = target.project.session("main")
    assert len(kept.tree()) == 1, "all of it or nothing"
    with kept.exclusive():
        done = kept.replay(recipe)
    assert (len(done.nodes), done.skipped) == (4, ())


def test_a_clock_that_is_set_back_does_not_change_the_order(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    session = project.session("main")
    now = time.time()
    made = []
    for i, jump in enumerate((0.0, -86400.0 * 365, 3600.0, -5.0, -86400.0 * 9000)):
        monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
        monkeypatch.setattr("inficond.core.sessions.session_history.datetime", _Clock(now + jump))
        made.append(session.apply("boat", Action("set", f"c{i}", 0.2)).id)
    assert len({n.node.when[:10] for n in session.tree()[1:]}) > 2, "the clock did jump"
    again = project.session("main")
    assert [t.node.id for t in again.tree()[1:]] == made
    assert [again.undo().id for _ in range(4)] == made[3::-1]
    assert [again.redo().id for _ in range(4)] == made[1:]
    assert again.context.history_store.check() == 5


class _Clock:
    """Replacement of `datetime` with a fixed time."""

    def __init__(self, at: float) -> None:
        self._at = at

    def now(self, zone: Any) -> Any:
        from datetime import datetime

        return datetime.fromtimestamp(self._at, zone)
