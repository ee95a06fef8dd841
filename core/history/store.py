"""The tree of steps in SQLite.

Nodes are only ever added, each with its parent, in one transaction with the position of its owner. With
write-ahead logging, two processes that write at once wait for each other, and a process that is killed leaves
a file with every node whose write had returned. Rows are verified against the checksums of
`core.history.integrity` before they are used. docs/tuning.md describes the layout.
"""

import json
import logging
import sqlite3
import struct
import time
import weakref
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import StorageBusy, StorageError
from inficond.core.history.database import WRITE_SECONDS, Database
from inficond.core.history.node import Node, check_node
from inficond.core.history.snapshot import write_snapshot
from inficond.core.tuning.bounds import Bound
from inficond.core.tuning.state import ClassState, Focus

log = logging.getLogger(__name__)

MAIN = "main"
"""Owner of the project's own branch; other owners are visitors' tokens."""
VISITOR = "visitor"
"""Author of the steps in visits of a page."""
FETCHED = 500
"""Nodes that are read by one query."""


class History:
    """Nodes and positions of a project's branches.

    Parameters
    ----------
    path : Path
        The SQLite file; created when something is first written.
    data : str
        Hash of the project's data; a history of other data is refused. None accepts any, for reading.

    Raises
    ------
    InputError
        From every method: the file has a newer format or belongs to other data; a `StorageError` where it is
        damaged, cannot be written or the disk is full, a `StorageBusy` where it is locked for too long.
    """

    def __init__(self, path: Path, data: str | None) -> None:
        self.path = Path(path)
        self.data = data
        self._file = Database(self.path, data, self._inspect)
        self._known: weakref.WeakValueDictionary[str, Node] = weakref.WeakValueDictionary()

    def close(self) -> None:
        """Close the file; it is opened again when it is next used."""
        self._file.close()

    def writing(self, wait: float = WRITE_SECONDS) -> AbstractContextManager[sqlite3.Connection]:
        """Open a writing transaction; one within another is part of it. A lock may last `wait` seconds."""
        return self._file.writing(wait)

    def reading(self) -> AbstractContextManager[sqlite3.Connection | None]:
        """Open a transaction in which several reads see the same state of the file."""
        return self._file.reading()

    def nodes(self, owner: str, known: Container[str] = ()) -> list[Node]:
        """Return an owner's nodes in the order in which they were written, without those in `known`.

        A node that is still in use somewhere in this process is returned again, not parsed again.
        """
        with self._file.reading() as db:
            if db is None:
                return []
            self._file.verify_owner(db, owner)
            listed = db.execute("SELECT seq, id FROM node WHERE owner = ? ORDER BY seq", (owner,)).fetchall()
            wanted = [(seq, name) for seq, name in listed if name not in known]
            # Strong references: the weak ones may end between here and the return.
            found = {name: node for _, name in wanted if (node := self._known.get(name)) is not None}
            missing = [seq for seq, name in wanted if name not in found]
            for node in self._parsed(db, missing):
                found[node.id] = self._known.setdefault(node.id, node)
            return [found[name] for _, name in wanted]

    def head(self, owner: str) -> tuple[str, list[str]] | None:
        """Return an owner's node and the nodes to redo (the next one last); None if the owner has no rows."""
        with self._file.reading() as db:
            if db is None:
                return None
            self._file.verify_owner(db, owner)
            row = db.execute("SELECT node, redo FROM head WHERE owner = ?", (owner,)).fetchone()
            if row is None:
                return None
            try:
                redo = json.loads(row[1])
                if not isinstance(redo, list) or not all(isinstance(node, str) for node in (row[0], *redo)):
                    raise ValueError("not a list of nodes")
            except (TypeError, ValueError, RecursionError) as error:
                raise self._unreadable("the position of a branch", error) from error
            return row[0], redo

    def remarks(self, owner: str) -> dict[str, tuple[str, str]]:
        """Return name and note of an owner's nodes that have any."""
        with self._file.reading() as db:
            if db is None:
                return {}
            self._file.verify_owner(db, owner)
            found = db.execute("SELECT node, name, note FROM remark WHERE owner = ?", (owner,))
            return {str(node): (str(name), str(note)) for node, name, note in found}

    def owners(self) -> dict[str, float]:
        """Return the time of the last use by each owner, in seconds since 1970."""
        with self._file.reading() as db:
            return dict(db.execute("SELECT owner, used FROM head")) if db else {}

    def exams(self) -> set[str]:
        """Return the ids of the exams of all owners, except for those that visitors of a page took."""
        with self._file.reading() as db:
            if db is None:
                return set()
            # A quote within a text of `info` is escaped, so that only the fields themselves match.
            found = db.execute(
                'SELECT id FROM node WHERE instr(info, \'"kind":"exam"\') > 0'
                " AND (owner = ? OR instr(info, ?) = 0)",
                (MAIN, f'"who":"{VISITOR}"'),
            )
            return {str(name) for (name,) in found}

    def check(self) -> int:
        """Read everything: each node against its hash, each owner against their checksum, SQLite's pages.

        Returns
        -------
        int
            The number of nodes.

        Raises
        ------
        InputError
            A node differs from what was written.
        """
        with self._file.reading() as db:
            if db is None:
                return 0
            count = self._inspect(db)
            self._file.verify(db)
        return count

    def snapshot(self, target: Path) -> None:
        """Write a snapshot of the project's own branch to a new database.

        What visitors wrote, and their tokens, are left out.

        Raises
        ------
        StorageError
            The history is damaged, or `target` cannot be written.
        """
        with self._file.reading() as db:
            if db is None:
                raise StorageError(f"{self.path} does not exist")
            self._file.verify_owner(db, MAIN)
            write_snapshot(db, MAIN, target)

    def _inspect(self, db: sqlite3.Connection) -> int:
        """Compare every node with its hash; return their number."""
        rows = [seq for (seq,) in db.execute("SELECT seq FROM node")]
        for _ in self._parsed(db, rows, hashed=True):
            pass
        return len(rows)

    def add(self, owner: str, nodes: Sequence[Node], head: str, redo: Sequence[str] = ()) -> None:
        """Write nodes and the position of their owner, all or nothing; nodes that exist are skipped."""
        with self.writing() as db:
            (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM node").fetchone()
            for node in nodes:
                if db.execute("SELECT 1 FROM node WHERE owner = ? AND id = ?", (owner, node.id)).fetchone():
                    continue
                last += 1
                info = json.dumps(node.to_json(), ensure_ascii=False, separators=(",", ":"))
                self._file.put(db, "node", (last, node.id, owner, node.parent, info), owner)
                for cls, state in node.changed.items():
                    self._file.put(db, "state", _row(last, cls, state), owner)
            self.move(owner, head, redo)
        for node in nodes:
            self._known.setdefault(node.id, node)

    def move(self, owner: str, head: str, redo: Sequence[str] = ()) -> None:
        """Write the position of an owner."""
        with self.writing() as db:
            self._file.drop(db, "head", "owner = ?", (owner,), owner)
            self._file.put(db, "head", (owner, head, json.dumps(list(redo)), time.time()), owner)

    def remark(self, owner: str, node: str, name: str, note: str) -> None:
        """Write a node's name and note."""
        with self.writing() as db:
            self._file.drop(db, "remark", "owner = ? AND node = ?", (owner, node), owner)
            self._file.put(db, "remark", (owner, node, name, note), owner)

    def forget(self, owner: str) -> None:
        """Delete everything that an owner wrote."""
        if owner == MAIN:
            raise ValueError("the project's own history is never deleted")
        with self.writing() as db:
            self._file.verify_owner(db, owner)  # a damaged time of last use must not delete anything
            self._file.drop(db, "state", "node IN (SELECT seq FROM node WHERE owner = ?)", (owner,), owner)
            for table in ("node", "head", "remark"):
                self._file.drop(db, table, "owner = ?", (owner,), owner)

    def forget_before(self, used: float, keep: Container[str] = ()) -> int:
        """Delete the rows of visitors whose last use is before a time; return the number of visitors.

        Parameters
        ----------
        used : float
            Seconds since 1970.
        keep : container of str
            Owners that are not deleted.
        """
        old = [owner for owner, at in self.owners().items() if owner != MAIN and at < used]
        deleted = 0
        for owner in old:
            if owner in keep:
                continue
            try:
                self.forget(owner)
            except StorageBusy:
                raise
            except StorageError as error:
                log.warning("an expired visit is kept: %s", error)
            else:
                deleted += 1
        return deleted

    def _unreadable(self, what: str, error: Exception) -> StorageError:
        return StorageError(
            f"{self.path} is damaged: {what} cannot be read ({type(error).__name__}: {error}); restore a copy"
        )

    def _parsed(self, db: sqlite3.Connection, rows: Sequence[int], hashed: bool = False) -> Iterator[Node]:
        """Read nodes by their `seq`; compare them with their ids where `hashed` is true.

        In a file of format 1, which has no checksums, ids are always compared.
        """
        hashed = hashed or not self._file.has_checksums(db)
        for start in range(0, len(rows), FETCHED):
            block = rows[start : start + FETCHED]
            marks = f"({', '.join('?' * len(block))})"
            states: dict[int, dict[str, ClassState]] = {}
            try:
                for row in db.execute(f"SELECT {_STATE} FROM state WHERE node IN {marks}", block):
                    states.setdefault(row[0], {})[row[1]] = _state(row[1:])
            except _DAMAGE as error:
                raise self._unreadable("the state of a class", error) from error
            for seq, name, info in db.execute(
                f"SELECT seq, id, info FROM node WHERE seq IN {marks} ORDER BY seq", block
            ).fetchall():
                try:
                    node = Node.from_json(_loads(info), states.get(seq, {}))
                    if node.id != name:
                        raise ValueError("its id differs from its row's")
                    check_node(node)
                except _DAMAGE as error:
                    raise self._unreadable("a node", error) from error
                if hashed and node.computed_id() != name:
                    raise StorageError(
                        f"{self.path} is damaged: node {name} is not what was written; restore a copy"
                    )
                yield node


_STATE = "node, class, size, columns, weights, bias, bounds, focus, mask, overrides"
_DAMAGE = (
    AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error
)  # fmt: skip
"""Exceptions that parsing damaged or foreign bytes may raise."""
MOST_CONCEPTS = 1 << 20
"""Weights of a class, at most: the size is checked before memory is allocated."""


def _row(seq: int | None, cls: str, state: ClassState) -> tuple[Any, ...]:
    columns = np.flatnonzero(state.weights.view(np.uint32)).astype("<i4")  # bits, so that -0.0 survives
    focus = state.focus
    return (
        seq,
        cls,
        state.weights.size,
        columns.tobytes(),
        state.weights[columns].astype("<f4").tobytes(),
        state.bias,
        json.dumps({k: b.to_json() for k, b in state.bounds.items()}, ensure_ascii=False),
        None if focus is None else json.dumps([focus.label, focus.factor, focus.size]),
        None if focus is None else focus.packed,
        json.dumps(dict(state.overrides), ensure_ascii=False),
    )


def _state(row: tuple[Any, ...]) -> ClassState:
    _, size, columns, values, bias, bounds, focus, mask, overrides = row
    if not 0 <= size <= MOST_CONCEPTS:
        raise ValueError(f"{size} weights")
    weights = np.zeros(size, np.float32)
    weights[np.frombuffer(columns, "<i4")] = np.frombuffer(values, "<f4")
    if not np.isfinite(weights).all() or not np.isfinite(bias):
        raise ValueError("weights that are not finite")
    said = _loads(overrides)
    if not all(0 <= value <= 1 for value in said.values()):
        raise ValueError("overrides outside [0, 1]")
    return ClassState(
        weights,
        bias,
        {k: Bound.from_json(b) for k, b in _loads(bounds).items()},
        None if focus is None else _focus(_loads(focus), mask),
        said,
    )


def _loads(text: str) -> Any:
    """Parse JSON; refuse lone surrogates, which could not be hashed or written again."""
    value = json.loads(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _focus(said: list[Any], mask: bytes) -> Focus:
    label, factor, size = said
    if not isinstance(mask, bytes) or not 0 < factor <= 1e4:
        raise ValueError("an invalid focus")
    return Focus(str(label), float(factor), int(size), mask)
