"""The tree in SQLite: nodes are only ever added, each with its parent, in one transaction with the head.

Write-ahead logging and ``BEGIN IMMEDIATE``: two processes that write at once wait for each other, and a kill
at any moment leaves a file that opens with every node whose write had returned. What is read is held against
the sums of `core.history.integrity` first: a byte that changed is told, never answered with. The layout is in
docs/tuning.md.
"""

import json
import sqlite3
import struct
import time
from collections.abc import Container, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import StorageError
from inficond.core.history.database import Database
from inficond.core.history.node import Node, check_node
from inficond.core.tuning.bounds import Bound
from inficond.core.tuning.state import ClassState, Focus

MAIN = "main"
"""The owner of the project's own branch; other owners are visitors' tokens."""


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
        From every method: the file is of a newer version or belongs to other data; a `StorageError` where it
        is damaged, cannot be written, the disk is full, or another process keeps it locked for over 30 s.
    """

    def __init__(self, path: Path, data: str) -> None:
        self.path = Path(path)
        self.data = data
        self._file = Database(self.path, data, self._inspect)

    def close(self) -> None:
        """Let go of the file; it opens again when next used."""
        self._file.close()

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction; nothing else writes meanwhile. May be nested: the outermost commits."""
        return self._file.writing()

    # -- reading

    def reading(self) -> AbstractContextManager[sqlite3.Connection | None]:
        """One view of the file for several readings: nothing that others write comes in between."""
        return self._file.reading()

    def nodes(self, owner: str, known: Container[str] = ()) -> list[Node]:
        """The nodes of an owner in the order in which they were written, those in `known` left out."""
        with self._file.reading() as db:
            if db is None:
                return []
            self._file.believe(db, owner)
            rows = db.execute(
                "SELECT seq, id, info FROM node WHERE owner = ? ORDER BY seq", (owner,)
            ).fetchall()
            return [self._node(db, seq, name, info) for seq, name, info in rows if name not in known]

    def head(self, owner: str) -> tuple[str, list[str]] | None:
        """Where an owner stands and what could be redone (the next one last); None where there is nothing."""
        with self._file.reading() as db:
            if db is None:
                return None
            self._file.believe(db, owner)
            row = db.execute("SELECT node, redo FROM head WHERE owner = ?", (owner,)).fetchone()
            if row is None:
                return None
            try:
                redo = json.loads(row[1])
                if not isinstance(redo, list) or not all(isinstance(node, str) for node in (row[0], *redo)):
                    raise ValueError("no list of nodes")
            except (TypeError, ValueError, RecursionError) as error:
                raise self._unreadable("where an owner stands", error) from error
            return row[0], redo

    def remarks(self, owner: str) -> dict[str, tuple[str, str]]:
        """Name and note of the nodes that have some."""
        with self._file.reading() as db:
            if db is None:
                return {}
            self._file.believe(db, owner)
            found = db.execute("SELECT node, name, note FROM remark WHERE owner = ?", (owner,))
            return {str(node): (str(name), str(note)) for node, name, note in found}

    def owners(self) -> dict[str, float]:
        """When each owner was last seen, in seconds since 1970."""
        with self._file.reading() as db:
            return dict(db.execute("SELECT owner, used FROM head")) if db else {}

    def check(self) -> int:
        """Read everything: each node against its hash, each owner's rows against their sum, SQLite's pages.

        Returns
        -------
        int
            The number of nodes.

        Raises
        ------
        InputError
            A node is not what was written.
        """
        with self._file.reading() as db:
            if db is None:
                return 0
            count = self._inspect(db)
            self._file.believe_all(db)
        return count

    def _inspect(self, db: sqlite3.Connection) -> int:
        """Compare every node with its hash; returns how many there are."""
        nodes = db.execute("SELECT seq, id, info FROM node").fetchall()
        for seq, name, info in nodes:
            self._node(db, seq, name, info, hashed=True)
        return len(nodes)

    def add(self, owner: str, nodes: Sequence[Node], head: str, redo: Sequence[str] = ()) -> None:
        """Write nodes and where the owner now stands; all or nothing. Nodes already there are passed over."""
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

    def move(self, owner: str, head: str, redo: Sequence[str] = ()) -> None:
        """Write where an owner stands."""
        with self.writing() as db:
            self._file.drop(db, "head", "owner = ?", (owner,), owner)
            self._file.put(db, "head", (owner, head, json.dumps(list(redo)), time.time()), owner)

    def remark(self, owner: str, node: str, name: str, note: str) -> None:
        """Write a node's name and note."""
        with self.writing() as db:
            self._file.drop(db, "remark", "owner = ? AND node = ?", (owner, node), owner)
            self._file.put(db, "remark", (owner, node, name, note), owner)

    def forget(self, owner: str) -> None:
        """Delete all that an owner wrote (a visitor whose time is over)."""
        if owner == MAIN:
            raise ValueError("the project's own history is never deleted")
        with self.writing() as db:
            self._file.believe(db, owner)  # a damaged time of last use is no reason to delete
            self._file.drop(db, "state", "node IN (SELECT seq FROM node WHERE owner = ?)", (owner,), owner)
            for table in ("node", "head", "remark"):
                self._file.drop(db, table, "owner = ?", (owner,), owner)

    def _unreadable(self, what: str, error: Exception) -> StorageError:
        return StorageError(
            f"{self.path} is damaged ({what} cannot be read: {type(error).__name__} {error}): restore a copy"
        )

    def _node(self, db: sqlite3.Connection, seq: int, name: str, info: str, hashed: bool = False) -> Node:
        rows = db.execute(
            "SELECT class, size, columns, weights, bias, bounds, focus, mask, overrides FROM state"
            " WHERE node = ?",
            (seq,),
        )
        try:
            node = Node.from_json(_parsed(info), {row[0]: _state(row) for row in rows})
            if node.id != name:
                raise ValueError("its id is not its row's")
            check_node(node)
        except _DAMAGE as error:
            raise self._unreadable("a node", error) from error
        # Where the file keeps no sums (format 1) the node's own hash tells a changed byte.
        if (hashed or not self._file.sealed) and node.computed_id() != name:
            raise StorageError(f"node {name} of {self.path} is not what was written: restore a copy")
        return node


_DAMAGE = (
    AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error
)  # fmt: skip
"""What becomes of bytes that are not what was written, or that somebody else wrote."""
MOST_CONCEPTS = 1 << 20
"""Weights of a class: the size is read before they are there."""


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
    said = _parsed(overrides)
    if not all(0 <= value <= 1 for value in said.values()):
        raise ValueError("overrides that are no probabilities")
    return ClassState(
        weights,
        bias,
        {k: Bound.from_json(b) for k, b in _parsed(bounds).items()},
        None if focus is None else _focus(_parsed(focus), mask),
        said,
    )


def _parsed(text: str) -> Any:
    """What a JSON text of ours says; a half of a surrogate in it could be hashed and written no more."""
    value = json.loads(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _focus(said: list[Any], mask: bytes) -> Focus:
    label, factor, size = said
    if not isinstance(mask, bytes) or not 0 < factor <= 1e4:
        raise ValueError("a focus that is none")
    return Focus(str(label), float(factor), int(size), mask)
