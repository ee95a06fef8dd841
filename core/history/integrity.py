"""What tells a changed byte in a history: a sum over each owner's rows, and how far the file had come.

SQLite checks the pages of its log but not those of its file, and it passes over a log that does not fit
as if it had never been written. So every owner's rows are summed (a multiset hash: SHA-256 of each row, added
modulo 2²⁵⁶; Bellare and Micciancio, *A New Paradigm for Collision-Free Hashing*, 1997), the sum is kept
beside them and changes with them in one transaction; and the number of the last transaction is kept outside,
in a file of its own that is written after it.
"""

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

MODULUS = 1 << 256
SUFFIX = "-seal"
COLUMNS = {
    "node": "seq, id, owner, parent, info",
    "state": "node, class, size, columns, weights, bias, bounds, focus, mask, overrides",
    "head": "owner, node, redo, used",
    "remark": "owner, node, name, note",
}
"""The columns of each table that are summed: all."""


def row_hash(table: str, row: Iterable[Any]) -> int:
    """SHA-256 of a row and the name of its table; every value with its type and length."""
    digest = hashlib.sha256(table.encode())
    for value in row:
        if value is None:
            said = b"-"
        elif isinstance(value, bytes):
            said = b"b" + value
        elif isinstance(value, float):
            said = b"f" + (value + 0.0).hex().encode()  # SQLite keeps no −0
        elif isinstance(value, int):
            said = b"i" + str(value).encode()
        else:
            said = b"t" + str(value).encode()
        digest.update(len(said).to_bytes(8, "little") + said)
    return int.from_bytes(digest.digest(), "little")


def rows_of(db: sqlite3.Connection, owner: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every row of an owner with its table, found as the readers find them."""
    for table, columns in COLUMNS.items():
        if table == "state":
            where = "node IN (SELECT seq FROM node WHERE owner = ?)"
        else:
            where = "owner = ?"
        for row in db.execute(f"SELECT {columns} FROM {table} WHERE {where}", (owner,)):
            yield table, row


def owner_sum(db: sqlite3.Connection, owner: str) -> int:
    """The sum over an owner's rows as they are in the file; 0 where there are none."""
    return sum(row_hash(table, row) for table, row in rows_of(db, owner)) % MODULUS


def kept_sum(db: sqlite3.Connection, owner: str) -> int:
    """The sum as it was kept when the rows were written; −1 where it cannot be read."""
    found = db.execute("SELECT digest FROM seal WHERE owner = ?", (owner,)).fetchone()
    try:
        return int(found[0], 16) if found else 0
    except (TypeError, ValueError):
        return -1


def keep_sum(db: sqlite3.Connection, owner: str, total: int) -> None:
    """Keep an owner's sum."""
    db.execute("INSERT OR REPLACE INTO seal VALUES (?, ?)", (owner, f"{total:064x}"))


def seal_file(path: Path) -> Path:
    """Where the number of a history's last transaction is kept."""
    return path.with_name(path.name + SUFFIX)


def note_generation(path: Path, identity: str, generation: int) -> None:
    """Write how far the history at `path` has come; a place that cannot be written is passed over.

    Never flushed on purpose: an older number is a weaker check, no false alarm.
    """
    said = f"{identity} {generation:020d}"
    line = f"{said} {zlib.crc32(said.encode()):08x}\n".encode()
    try:
        handle = os.open(seal_file(path), os.O_WRONLY | os.O_CREAT, 0o644)
    except OSError:
        return
    try:
        os.pwrite(handle, line, 0) if hasattr(os, "pwrite") else os.write(handle, line)
    except OSError:
        return
    finally:
        os.close(handle)


def noted_generation(path: Path, identity: str | None) -> int:
    """How far the history of this identity (of any: None) had come; 0 where nothing whole says so."""
    try:
        said, _, crc = seal_file(path).read_text("ascii").strip().rpartition(" ")
        name, _, number = said.partition(" ")
        ours = identity in (None, name)
        return int(number) if ours and int(crc, 16) == zlib.crc32(said.encode()) else 0
    except (OSError, ValueError):
        return 0
