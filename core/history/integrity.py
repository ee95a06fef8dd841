"""Tamper detection for history databases.

SQLite checks the pages of its log but not those of its main file, and ignores a log that does not match the
file. Therefore each owner has a checksum: the sum of the SHA-256 of all their rows modulo 2²⁵⁶ (a multiset
hash; Bellare and Micciancio, *A New Paradigm for Collision-Free Hashing*, 1997). It changes in the same
transaction as the rows. The number of the last transaction, the generation, is also written to a file beside
the database, so that a database that lost transactions is recognised.
"""

import hashlib
import os
import sqlite3
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from inficond.core.history.schema import COLUMNS

MODULUS = 1 << 256
SUFFIX = "-seal"


def row_hash(table: str, row: Iterable[Any]) -> int:
    """Return the SHA-256 of a row and its table's name; every value is hashed with its type and length."""
    digest = hashlib.sha256(table.encode())
    for value in row:
        if value is None:
            data = b"-"
        elif isinstance(value, bytes):
            data = b"b" + value
        elif isinstance(value, float):
            data = b"f" + (value + 0.0).hex().encode()  # SQLite stores no negative zero
        elif isinstance(value, int):
            data = b"i" + str(value).encode()
        else:
            data = b"t" + str(value).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little")


def steps_checksum(db: sqlite3.Connection, owner: str, after: int = 0) -> tuple[int, int]:
    """Return the checksum of an owner's nodes and states whose `seq` exceeds `after`, and the last `seq`."""
    total, last = 0, after
    for row in db.execute(f"SELECT {COLUMNS['node']} FROM node WHERE owner = ? AND seq > ?", (owner, after)):
        total += row_hash("node", row)
        last = max(last, row[0])
    states = (
        f"SELECT {COLUMNS['state']} FROM state"
        " WHERE node IN (SELECT seq FROM node WHERE owner = ? AND seq > ?)"
    )
    total += sum(row_hash("state", row) for row in db.execute(states, (owner, after)))
    return total % MODULUS, last


def position_checksum(db: sqlite3.Connection, owner: str) -> int:
    """Return the checksum of an owner's head and remarks."""
    return (
        sum(
            row_hash(table, row)
            for table in ("head", "remark")
            for row in db.execute(f"SELECT {COLUMNS[table]} FROM {table} WHERE owner = ?", (owner,))
        )
        % MODULUS
    )


def owner_checksum(db: sqlite3.Connection, owner: str) -> int:
    """Return the checksum of all rows of an owner; 0 where there are none."""
    return (steps_checksum(db, owner)[0] + position_checksum(db, owner)) % MODULUS


def stored_checksum(db: sqlite3.Connection, owner: str) -> int:
    """Return the checksum that the database holds for an owner; −1 where it cannot be read."""
    found = db.execute("SELECT digest FROM seal WHERE owner = ?", (owner,)).fetchone()
    try:
        return int(found[0], 16) if found else 0
    except (TypeError, ValueError):
        return -1


def store_checksum(db: sqlite3.Connection, owner: str, checksum: int) -> None:
    """Write an owner's checksum, or delete it if the owner has no rows."""
    if checksum == 0:
        db.execute("DELETE FROM seal WHERE owner = ?", (owner,))
    else:
        db.execute("INSERT OR REPLACE INTO seal VALUES (?, ?)", (owner, f"{checksum:064x}"))


def generation_file(path: Path) -> Path:
    """Return the file that holds the generation of the database at `path`."""
    return path.with_name(path.name + SUFFIX)


def write_generation(path: Path, identity: str, generation: int) -> None:
    """Write the generation of the database at `path`; failures are ignored.

    The file is not flushed to the disk: an older generation weakens the check and never fails it wrongly.
    """
    text = f"{identity} {generation:020d}"
    line = f"{text} {zlib.crc32(text.encode()):08x}\n".encode()
    try:
        handle = os.open(
            generation_file(path), os.O_WRONLY | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o644
        )
    except OSError:
        return
    try:
        os.pwrite(handle, line, 0) if hasattr(os, "pwrite") else os.write(handle, line)
    except OSError:
        return
    finally:
        os.close(handle)


def read_generation(path: Path, identity: str | None) -> int:
    """Return the generation written for a database of this identity (any: None); 0 where there is none."""
    file = generation_file(path)
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return 0
        with file.open("rb") as opened:
            text, _, crc = opened.read(4096).decode("ascii").strip().rpartition(" ")
        name, _, number = text.partition(" ")
        matches = identity in (None, name)
        return int(number) if matches and int(crc, 16) == zlib.crc32(text.encode()) else 0
    except (OSError, ValueError):
        return 0
