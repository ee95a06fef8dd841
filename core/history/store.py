"""The tree in SQLite: nodes are only ever added, each with its parent, in one transaction with the head.

Write-ahead logging and ``BEGIN IMMEDIATE``: two processes that write at once wait for each other, and a kill
at any moment leaves a file that opens with every node whose write had returned. The layout is in
docs/tuning.md.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.history.node import Node
from inficond.core.tuning.bounds import Bound
from inficond.core.tuning.state import ClassState, Focus

FORMAT = 1
MAIN = "main"
"""The owner of the project's own branch; other owners are visitors' tokens."""
WAIT_SECONDS = 30.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, owner TEXT NOT NULL, parent TEXT NOT NULL, info TEXT NOT NULL,
    UNIQUE (owner, id));
CREATE TABLE IF NOT EXISTS state (
    node INTEGER NOT NULL REFERENCES node(seq), class TEXT NOT NULL, size INTEGER NOT NULL,
    columns BLOB NOT NULL, weights BLOB NOT NULL, bias REAL NOT NULL, bounds TEXT NOT NULL,
    focus TEXT, mask BLOB, overrides TEXT NOT NULL, PRIMARY KEY (node, class)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS head (
    owner TEXT PRIMARY KEY, node TEXT NOT NULL, redo TEXT NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS remark (
    owner TEXT NOT NULL, node TEXT NOT NULL, name TEXT NOT NULL, note TEXT NOT NULL,
    PRIMARY KEY (owner, node)) WITHOUT ROWID;
"""


class History:
    """A file of nodes and heads.

    Parameters
    ----------
    path : Path
        The SQLite file; made when something is first written.
    data : str
        Hash of the project's data: a history of other data is refused.

    Raises
    ------
    InputError
        From every method: the file is damaged, of a newer version, belongs to other data, cannot be written,
        the disk is full, or another process keeps it locked for longer than 30 s.
    """

    def __init__(self, path: Path, data: str) -> None:
        self.path = Path(path)
        self.data = data
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._writable = False
        self._depth = 0

    def close(self) -> None:
        """Let go of the file; it opens again when next used."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    # -- reading

    def nodes(self, owner: str, known: Container[str] = ()) -> list[Node]:
        """The nodes of an owner in the order in which they were written, those in `known` left out."""
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute(
                "SELECT seq, id, info FROM node WHERE owner = ? ORDER BY seq", (owner,)
            ).fetchall()
            return [self._node(db, seq, info) for seq, name, info in rows if name not in known]

    def head(self, owner: str) -> tuple[str, list[str]] | None:
        """Where an owner stands and what could be redone (the next one last); None where there is nothing."""
        with self._reading() as db:
            row = db and db.execute("SELECT node, redo FROM head WHERE owner = ?", (owner,)).fetchone()
            return (row[0], json.loads(row[1])) if row else None

    def remarks(self, owner: str) -> dict[str, tuple[str, str]]:
        """Name and note of the nodes that have some."""
        with self._reading() as db:
            if db is None:
                return {}
            found = db.execute("SELECT node, name, note FROM remark WHERE owner = ?", (owner,))
            return {node: (name, note) for node, name, note in found}

    def owners(self) -> dict[str, float]:
        """When each owner was last seen, in seconds since 1970."""
        with self._reading() as db:
            return dict(db.execute("SELECT owner, used FROM head")) if db else {}

    def check(self) -> int:
        """Read everything and compare each node with its hash.

        Returns
        -------
        int
            The number of nodes.

        Raises
        ------
        InputError
            A node is not what was written.
        """
        count = 0
        with self._reading() as db:
            if db is None:
                return 0
            for seq, name, info in db.execute("SELECT seq, id, info FROM node").fetchall():
                if self._node(db, seq, info).computed_id() != name:
                    raise InputError(f"node {name} of {self.path} is not what was written: restore a copy")
                count += 1
        return count

    # -- writing

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; nothing else writes meanwhile. May be nested: the outermost commits."""
        with self._lock, self._translated():
            db = self._open(write=True)
            if self._depth == 0:
                db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield db
            except BaseException:
                self._depth -= 1
                if self._depth == 0 and db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                try:
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise

    def add(self, owner: str, nodes: Sequence[Node], head: str, redo: Sequence[str] = ()) -> None:
        """Write nodes and where the owner now stands; all or nothing. Nodes already there are passed over."""
        with self.writing() as db:
            for node in nodes:
                info = json.dumps(node.to_json(), ensure_ascii=False, separators=(",", ":"))
                done = db.execute(
                    "INSERT OR IGNORE INTO node (id, owner, parent, info) VALUES (?, ?, ?, ?)",
                    (node.id, owner, node.parent, info),
                )
                if done.rowcount:
                    db.executemany(
                        "INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        [_row(done.lastrowid, cls, state) for cls, state in node.changed.items()],
                    )
            self.move(owner, head, redo)

    def move(self, owner: str, head: str, redo: Sequence[str] = ()) -> None:
        """Write where an owner stands."""
        with self.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO head VALUES (?, ?, ?, ?)",
                (owner, head, json.dumps(list(redo)), time.time()),
            )

    def remark(self, owner: str, node: str, name: str, note: str) -> None:
        """Write a node's name and note."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO remark VALUES (?, ?, ?, ?)", (owner, node, name, note))

    def forget(self, owner: str) -> None:
        """Delete all that an owner wrote (a visitor whose time is over)."""
        if owner == MAIN:
            raise ValueError("the project's own history is never deleted")
        with self.writing() as db:
            db.execute("DELETE FROM state WHERE node IN (SELECT seq FROM node WHERE owner = ?)", (owner,))
            for table in ("node", "head", "remark"):
                db.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,))

    # -- the file

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        with self._lock, self._translated():
            if self._db is None and not self.path.exists():
                yield None
            else:
                yield self._open(write=False)

    def _open(self, write: bool) -> sqlite3.Connection:
        if self._db is not None and (self._writable or not write):
            return self._db
        self.close()
        try:
            db = self._connect("rwc" if write else "rw")
            self._writable = True
        except sqlite3.OperationalError:
            if write:
                raise
            # A read-only place: WAL needs a shared-memory file beside it unless nobody else can write.
            db = self._connect("ro", immutable=not os.access(self.path.parent, os.W_OK))
            self._writable = False
        try:
            self._check(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _connect(self, mode: str, immutable: bool = False) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
        db = sqlite3.connect(
            uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            if mode != "ro":
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'remark'").fetchone():
                    self._create(db)
            else:
                db.execute("SELECT count(*) FROM meta")
        except BaseException:
            db.close()
            raise
        return db

    def _create(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            if statement.strip():
                db.execute(statement)
        db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (str(FORMAT),))
        db.execute("INSERT OR IGNORE INTO meta VALUES ('data', ?)", (self.data,))
        db.execute("COMMIT")

    def _check(self, db: sqlite3.Connection) -> None:
        meta = dict(db.execute("SELECT key, value FROM meta"))
        if meta.get("format") != str(FORMAT):
            raise InputError(
                f"{self.path} has format {meta.get('format')}, this program reads {FORMAT}: "
                "use the version of inficond that wrote it"
            )
        if meta.get("data") != self.data:
            raise InputError(
                f"{self.path} is the history of other data than this project's: "
                "put the right file back, or move this one away to begin anew"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's complaints as one line that tells the mend."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise InputError(_explain(self.path, error)) from error

    def _node(self, db: sqlite3.Connection, seq: int, info: str) -> Node:
        states = {}
        for row in db.execute(
            "SELECT class, size, columns, weights, bias, bounds, focus, mask, overrides FROM state"
            " WHERE node = ?",
            (seq,),
        ):
            states[row[0]] = _state(row)
        try:
            return Node.from_json(json.loads(info), states)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.path} is damaged (a node cannot be read: {error}): restore a copy"
            ) from error


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
    weights = np.zeros(size, np.float32)
    weights[np.frombuffer(columns, "<i4")] = np.frombuffer(values, "<f4")
    return ClassState(
        weights,
        bias,
        {k: Bound.from_json(b) for k, b in json.loads(bounds).items()},
        None if focus is None else _focus(json.loads(focus), mask),
        json.loads(overrides),
    )


def _focus(said: list[Any], mask: bytes) -> Focus:
    label, factor, size = said
    return Focus(label, factor, size, mask)


def _explain(path: Path, error: sqlite3.DatabaseError) -> str:
    said = str(error).lower()
    if "disk i/o" in said:
        return f"cannot write {path} ({error}); nothing was changed: see that its disk is not full and works"
    if "full" in said:
        return f"cannot write {path}: the disk is full ({error}); nothing was changed, free some space first"
    if "readonly" in said or "read-only" in said or "unable to open" in said:
        return f"cannot write {path}: the project is read-only here; copy its folder to a place you may write"
    if "locked" in said or "busy" in said:
        return f"{path} is being written by another process for more than {WAIT_SECONDS:.0f} s; try again"
    return f"{path} is damaged ({error}): restore a copy, or move it away to begin a new history"
