"""Cache on disk of what models computed from images, by content, shared by all projects.

An entry is found by the SHA-256 of an image file and by everything else that its numbers depend on: the model
with its preprocessing, the provider, the versions of the libraries. The same photograph under another name is
found, and a changed one is not. The cache is one SQLite file. It is never needed: without it, or with a
damaged one, images are encoded again.
"""

import logging
import os
import re
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from inficond.core.errors import InputError, first_line, system_reason
from inficond.core.models.cache_directory import cache_folder

log = logging.getLogger(__name__)

FILE = "encodings.sqlite"
LIMIT = "INFICOND_CACHE_LIMIT"
"""Environment variable: largest size of the file, for example ``20GB``; ``0`` switches the cache off."""
DEFAULT_LIMIT = 10 * 10**9
REFRESHED = 3600
"""Seconds after which the time of the last use is written again."""
_ASKED_TOGETHER = 500
"""Most images in one query; SQLite limits the number of its parameters."""
_CHECKED_EVERY = 512
"""Writes between two comparisons of the size with the limit."""
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS models (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, basis TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS entries (
    model INTEGER NOT NULL, image BLOB NOT NULL, used INTEGER NOT NULL, crc INTEGER NOT NULL,
    value BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS by_image ON entries (model, image);
CREATE INDEX IF NOT EXISTS by_use ON entries (used);
"""
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ModelUsage:
    """Entries of one model.

    Parameters
    ----------
    kind : str
        ``encoder``, ``teacher`` or ``thumbnail``.
    name : str
    images : int
    bytes : int
    used : float
        Time of the last use, in seconds since the epoch.
    """

    kind: str
    name: str
    images: int
    bytes: int
    used: float


class EncodingCache:
    """Values by model and image. Safe to share between threads and between processes.

    No method but `prune` raises for a fault of the file system or of the file: the cache is then switched
    off, and `problem` says why.

    Parameters
    ----------
    folder : Path, optional
        ``encodings`` in the user's cache by default.
    limit : int, optional
        Bytes of the file above which the entries used least recently are removed; `size_limit` by default.

    Attributes
    ----------
    path : Path
    problem : str
        Why the cache is switched off; empty while it works.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.path = (folder or cache_folder("encodings")) / FILE
        self.limit = size_limit() if limit is None else limit
        self.problem = "its size limit is 0" if self.limit <= 0 else ""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._ids: dict[str, int] = {}
        self._writes = 0

    def get(self, basis: str, image: bytes) -> bytes | None:
        """Return the value of an image, or None.

        Parameters
        ----------
        basis : str
            Everything the value depends on beside the image.
        image : bytes
            SHA-256 of the image file.
        """
        return self.get_all(basis, [image]).get(image)

    def get_all(self, basis: str, images: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those images that have one; parameters as for `get`."""

        def find(db: sqlite3.Connection) -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = {}
            now, damaged, old = int(time.time()), [], []
            for start in range(0, len(images), _ASKED_TOGETHER):
                asked = images[start : start + _ASKED_TOGETHER]
                query = (
                    "SELECT entries.rowid, image, value, crc, used FROM entries "
                    "JOIN models ON models.id = model "
                    f"WHERE basis = ? AND image IN ({', '.join('?' * len(asked))})"
                )
                for id, image, value, crc, used in db.execute(query, (basis, *asked)):
                    if not isinstance(value, bytes) or zlib.crc32(value) != crc:
                        damaged.append((id,))
                        continue
                    found[image] = value
                    if now - used > REFRESHED:
                        old.append((now, id))
            if damaged:
                db.executemany("DELETE FROM entries WHERE rowid = ?", damaged)
            if old:
                db.executemany("UPDATE entries SET used = ? WHERE rowid = ?", old)
            return found

        return self._safely(find) or {}

    def put(self, kind: str, name: str, basis: str, values: Mapping[bytes, bytes]) -> None:
        """Store values.

        Parameters
        ----------
        kind, name : str
            Name of the model for messages.
        basis : str
            See `get`.
        values : mapping
            SHA-256 of an image file -> value.
        """

        def store(db: sqlite3.Connection) -> None:
            now = int(time.time())
            with db:
                db.execute("BEGIN IMMEDIATE")
                model = self._model(db, kind, name, basis)
                db.executemany(
                    "INSERT OR REPLACE INTO entries (model, image, used, crc, value) VALUES (?, ?, ?, ?, ?)",
                    [(model, image, now, zlib.crc32(value), value) for image, value in values.items()],
                )
            self._writes += len(values)
            if self._writes >= _CHECKED_EVERY:
                self._writes = 0
                _shrink(db, self.limit)

        if values:
            self._safely(store)

    def close(self) -> None:
        """Apply the size limit and close the file."""
        with self._lock:
            if self._connection is None:
                return
            self._safely(lambda db: _shrink(db, self.limit))
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
            self._ids.clear()

    def usage(self) -> list[ModelUsage]:
        """Return the entries of each model, the most recently used first; empty where there is no file."""
        if not self.path.is_file():
            return []
        query = (
            "SELECT kind, name, COUNT(*), SUM(LENGTH(value)), MAX(used) FROM entries "
            "JOIN models ON models.id = model GROUP BY model ORDER BY MAX(used) DESC, kind, name"
        )
        return self._safely(lambda db: [ModelUsage(*row) for row in db.execute(query)]) or []

    def size(self) -> int:
        """Return the bytes of the file with its journal."""
        names = (self.path, *(Path(f"{self.path}{suffix}") for suffix in ("-wal", "-shm")))
        total = 0
        for name in names:
            with suppress(OSError):
                total += name.stat().st_size
        return total

    def prune(self, most: int = 0, unused_days: float | None = None) -> None:
        """Remove entries and return their space to the file system.

        Parameters
        ----------
        most : int
            Bytes to keep at most; the entries used least recently go first.
        unused_days : float, optional
            Remove instead the entries that were not used for so many days.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        if not self.path.is_file():
            return
        self.problem = ""

        def remove(db: sqlite3.Connection) -> None:
            if unused_days is None:
                _shrink(db, most)
            else:
                db.execute("DELETE FROM entries WHERE used < ?", (int(time.time() - 86400 * unused_days),))
            db.execute("DELETE FROM models WHERE id NOT IN (SELECT DISTINCT model FROM entries)")
            self._ids.clear()
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        self._safely(remove)
        if self.problem:
            raise InputError(f"cannot prune {self.path}: {self.problem}; delete the file to empty the cache")

    def _safely(self, action: Callable[[sqlite3.Connection], _Result]) -> _Result | None:
        """Run an action on the file; a fault switches the cache off."""
        with self._lock:
            if self.problem:
                return None
            try:
                if self._connection is None:
                    self._connection = self._opened()
                return action(self._connection)
            except (OSError, sqlite3.Error) as error:
                self._switch_off(error)
                return None

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return _connect(self.path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # not a database: the cache starts again
            _delete(self.path)
            return _connect(self.path)

    def _switch_off(self, error: Exception) -> None:
        self.problem = system_reason(error) if isinstance(error, OSError) else first_line(error)
        log.warning("encodings are not cached: %s: %s", self.path, self.problem)
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            _delete(self.path)  # damaged: the next run starts a new one

    def _model(self, db: sqlite3.Connection, kind: str, name: str, basis: str) -> int:
        if basis not in self._ids:
            db.execute(
                "INSERT OR IGNORE INTO models (kind, name, basis) VALUES (?, ?, ?)", (kind, name, basis)
            )
            (self._ids[basis],) = db.execute("SELECT id FROM models WHERE basis = ?", (basis,)).fetchone()
        return self._ids[basis]


def size_limit() -> int:
    """Return the largest size of the cache in bytes.

    Raises
    ------
    InputError
        ``INFICOND_CACHE_LIMIT`` is not a size.
    """
    text = os.environ.get(LIMIT, "")
    return parse_size(text, f"the environment variable {LIMIT}") if text.strip() else DEFAULT_LIMIT


def parse_size(text: str, where: str) -> int:
    """Return the bytes that a text such as ``500MB`` means.

    Parameters
    ----------
    text : str
        A number with one of the units KB, MB, GB, TB, or bytes.
    where : str
        Where the text comes from, for the message.

    Raises
    ------
    InputError
        The text is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", text.strip().upper())
    unit = "" if found is None else found[2] if found[2] in _UNITS else f"{found[2]}B"
    if found is None:
        raise InputError(f"{where} must be a size such as 500MB or 10GB, not {text!r:.40}")
    return int(float(found[1]) * _UNITS[unit])


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def _delete(path: Path) -> None:
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with suppress(OSError):
            name.unlink(missing_ok=True)


def _shrink(db: sqlite3.Connection, limit: int) -> None:
    """Remove the entries used least recently until the file fits into nine tenths of a limit it exceeds."""
    if _bytes_in_use(db) <= limit:
        return
    while _bytes_in_use(db) > 0.9 * limit:
        done = db.execute(
            "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY used, rowid LIMIT 16)"
        )
        if not done.rowcount:
            break
    db.executescript("PRAGMA incremental_vacuum")  # `execute` would return a single page


def _bytes_in_use(db: sqlite3.Connection) -> int:
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
