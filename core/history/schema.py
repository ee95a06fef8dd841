"""Tables of a history database, and the check that a file has these and nothing else."""

import sqlite3
from functools import cache

from inficond.core.errors import StorageError

FORMAT = 2
"""Version of the layout. Format 1 had no checksums; it is converted when it is opened for writing."""

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
CREATE TABLE IF NOT EXISTS seal (owner TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
"""
STATEMENTS = tuple(s.strip() for s in SCHEMA.split(";") if s.strip())
COLUMNS = {
    "node": "seq, id, owner, parent, info",
    "state": "node, class, size, columns, weights, bias, bounds, focus, mask, overrides",
    "head": "owner, node, redo, used",
    "remark": "owner, node, name, note",
}
"""Columns of the tables whose rows belong to an owner."""
OWNERS = "SELECT owner FROM node UNION SELECT owner FROM head UNION SELECT owner FROM remark"

Object = tuple[str, str, str, str | None]


def objects(db: sqlite3.Connection) -> set[Object]:
    """Return type, name, table and definition of everything that a database contains."""
    return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def check_schema(db: sqlite3.Connection, path: object) -> bool:
    """Compare the objects of a database with the layout; return whether it has checksums (format 2).

    A trigger, a view, a virtual table or another column could change what statements of ours do.

    Raises
    ------
    StorageError
        There is an object that inficond does not create, or one is missing or different.
    """
    found = objects(db)
    new, old = layout()
    has_checksums = any(name == "seal" for _, name, _, _ in found)
    wanted = new if has_checksums else old
    foreign = sorted(f"{kind} {name!r}" for kind, name, _, _ in found - wanted)
    if foreign:
        raise StorageError(
            f"{path} is damaged: it contains objects that inficond does not create "
            f"({', '.join(foreign[:3])}); restore a copy, or move it away"
        )
    if found != wanted:
        missing = sorted(name for _, name, _, _ in wanted - found)
        raise StorageError(
            f"{path} is damaged: the table {missing[0]!r} is missing; restore a copy, or move it away"
        )
    return has_checksums


@cache
def layout() -> tuple[frozenset[Object], frozenset[Object]]:
    """Return the objects of a database of format 2 and of format 1."""
    db = sqlite3.connect(":memory:")
    try:
        for statement in STATEMENTS:
            db.execute(statement)
        made = objects(db)
    finally:
        db.close()
    return frozenset(made), frozenset(o for o in made if o[2] != "seal")
