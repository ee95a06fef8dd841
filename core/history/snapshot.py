"""Copies of one owner's part of a history database."""

import sqlite3
from contextlib import closing
from pathlib import Path

from inficond.core.errors import StorageError
from inficond.core.history import integrity
from inficond.core.history.schema import COLUMNS, FORMAT, STATEMENTS


def write_snapshot(source: sqlite3.Connection, owner: str, target: Path) -> None:
    """Write an owner's rows to a new database; the same rows give the same bytes.

    Parameters
    ----------
    source : Connection
        In a transaction, so that all rows are of one moment.
    owner : str
        Whose rows are copied; nothing of other owners reaches the new file.
    target : Path
        Must not exist.

    Raises
    ------
    StorageError
        The new file cannot be written.
    """
    meta = dict(source.execute("SELECT key, value FROM meta")) | {"format": str(FORMAT)}
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as db:
            for statement in STATEMENTS:
                db.execute(statement)
            db.execute("BEGIN")
            db.executemany("INSERT INTO meta VALUES (?, ?)", sorted(meta.items()))
            for table, columns in COLUMNS.items():
                mine = "node IN (SELECT seq FROM node WHERE owner = ?)" if table == "state" else "owner = ?"
                rows = source.execute(f"SELECT {columns} FROM {table} WHERE {mine} ORDER BY 1, 2", (owner,))
                db.executemany(
                    f"INSERT INTO {table} VALUES ({', '.join('?' * (columns.count(',') + 1))})", rows
                )
            integrity.store_checksum(db, owner, integrity.owner_checksum(db, owner))
            db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise StorageError(f"cannot copy the history to {target.parent}: {error}; free some space") from error
