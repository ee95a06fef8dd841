"""The file of a history: opened, brought up to date, read and written in transactions, sums kept.

`core.history.store` knows what the tables mean; here is only how their bytes are kept and believed.
"""

import os
import secrets
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, StorageError
from inficond.core.history import integrity

FORMAT = 2
"""Version of the layout; 1 had no sums and is brought up to this when it is next written."""
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
CREATE TABLE IF NOT EXISTS seal (owner TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
"""
OWNERS = "SELECT owner FROM node UNION SELECT owner FROM head UNION SELECT owner FROM remark"
STATEMENTS = tuple(s.strip() for s in SCHEMA.split(";") if s.strip())


class Database:
    """An SQLite file of our layout.

    Parameters
    ----------
    path : Path
        Made when something is first written.
    data : str
        Hash of the project's data: a file of other data is refused.
    inspect : callable
        Is given a file of format 1 before it gets its sums, and raises where it is not whole.

    Raises
    ------
    InputError
        From every method: of a newer version, or of other data.
    StorageError
        Damaged, cannot be written, the disk is full, or locked for longer than 30 s.
    """

    def __init__(self, path: Path, data: str, inspect: Callable[[sqlite3.Connection], object]) -> None:
        self.path = Path(path)
        self.data = data
        self._inspect = inspect
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._writable = self._sealed = False
        self._depth = 0
        self._changed: dict[str, int] = {}
        self._believed: dict[str, int] = {}

    def close(self) -> None:
        """Let go of the file; it opens again when next used."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None
            self._believed.clear()
            if self._copy is not None:
                self._copy.cleanup()
                self._copy = None

    @property
    def sealed(self) -> bool:
        """Whether sums are kept in the file: it is of format 2."""
        return self._sealed

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """One consistent view of the file; None where there is none yet."""
        with self._lock, self._translated():
            if self._db is None and not self.path.exists():
                yield None
                return
            db = self._open(write=False)
            if db.in_transaction:
                yield db
                return
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; nothing else writes meanwhile. May be nested: the outermost commits."""
        with self._lock, self._translated():
            db = self._open(write=True)
            if self._depth == 0:
                self._changed.clear()
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
                    sums, generation = self._seal(db)
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
                self._believed.update(sums)
                integrity.note_generation(self.path, self._identity, generation)

    # -- sums

    def put(self, db: sqlite3.Connection, table: str, row: tuple[Any, ...], owner: str) -> None:
        """Insert a row, all columns, and add it to its owner's sum."""
        db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        self._add(owner, integrity.row_hash(table, row))

    def drop(self, db: sqlite3.Connection, table: str, where: str, key: tuple[Any, ...], owner: str) -> None:
        """Delete rows and take them out of their owner's sum."""
        for row in db.execute(
            f"SELECT {integrity.COLUMNS[table]} FROM {table} WHERE {where}", key
        ).fetchall():
            self._add(owner, -integrity.row_hash(table, row))
        db.execute(f"DELETE FROM {table} WHERE {where}", key)

    def _add(self, owner: str, number: int) -> None:
        self._changed[owner] = self._changed.get(owner, 0) + number

    def _seal(self, db: sqlite3.Connection) -> tuple[dict[str, int], int]:
        """Bring sums and generation up to date inside the transaction that changes the rows."""
        sums = {}
        for owner, change in self._changed.items():
            before = integrity.kept_sum(db, owner)
            total = (before + change) % integrity.MODULUS
            integrity.keep_sum(db, owner, total)
            if self._believed.get(owner, 0) == before:
                sums[owner] = total
        generation = self._generation(db) + 1
        db.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (str(generation),))
        return sums, generation

    def believe(self, db: sqlite3.Connection, owner: str) -> None:
        """Hold an owner's rows against their sum; once per process while nobody else writes.

        Raises
        ------
        StorageError
            A byte of them is not what was written.
        """
        if not self._sealed or owner in self._changed:
            return
        kept = integrity.kept_sum(db, owner)
        if self._believed.get(owner) == kept:
            return
        if integrity.owner_sum(db, owner) != kept:
            raise StorageError(
                f"{self.path} is damaged (what it keeps of {_called(owner)} is not what was written): "
                "restore a copy, or move it away to begin a new history"
            )
        self._believed[owner] = kept

    def believe_all(self, db: sqlite3.Connection) -> None:
        """As `believe` for every owner, whatever was checked before, and SQLite's own check of the pages."""
        self._believed.clear()
        (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if said != "ok":
            raise StorageError(f"{self.path} is damaged ({said}): restore a copy, or move it away")
        if not self._sealed:
            return
        for (owner,) in db.execute(f"SELECT owner FROM seal UNION {OWNERS}").fetchall():
            self.believe(db, owner)

    # -- the file

    def _open(self, write: bool) -> sqlite3.Connection:
        if self._db is not None and (self._writable or not write):
            return self._db
        self.close()
        try:
            db = self._connect("rwc" if write else "rw", self.path)
            self._writable = True
        except sqlite3.OperationalError:
            if write:
                raise
            db = self._connect_read_only()
            self._writable = False
        try:
            self._check(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _connect_read_only(self) -> sqlite3.Connection:
        """A read-only place: WAL needs a shared-memory file beside it unless nobody else can write.

        A log that was left there holds steps that an immutable file would be read without: they are read from
        a copy.
        """
        if os.access(self.path.parent, os.W_OK):
            return self._connect("ro", self.path)
        log = self.path.with_name(self.path.name + "-wal")
        if not (log.is_file() and log.stat().st_size):
            return self._connect("ro", self.path, immutable=True)
        self._copy = tempfile.TemporaryDirectory(prefix="inficond-history-")
        place = Path(self._copy.name)
        for file in (self.path, log):
            shutil.copyfile(file, place / file.name)
        return self._connect("rw", place / self.path.name)

    def _connect(self, mode: str, path: Path, immutable: bool = False) -> sqlite3.Connection:
        existed = path.exists()
        uri = f"{path.absolute().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
        db = sqlite3.connect(
            uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            if mode != "ro":
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
                if existed and not tables and (noted := integrity.noted_generation(self.path, None)):
                    raise self._lost(noted)  # they were in the log only
                if "seal" not in tables:
                    self._create(db)
            else:
                db.execute("SELECT count(*) FROM meta")
        except BaseException:
            db.close()
            raise
        return db

    def _create(self, db: sqlite3.Connection) -> None:
        """Make the tables that are not there; a file of format 1 gets its sums."""
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in STATEMENTS:
                db.execute(statement)
            if db.execute("SELECT 1 FROM meta WHERE key = 'format'").fetchone():
                self._inspect(db)
            meta = {"format": str(FORMAT), "data": self.data, "generation": "0"}
            for key, value in {**meta, "identity": secrets.token_hex(8)}.items():
                db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))
            db.execute("UPDATE meta SET value = ? WHERE key = 'format' AND value = '1'", (str(FORMAT),))
            for (owner,) in db.execute(OWNERS).fetchall():
                integrity.keep_sum(db, owner, integrity.owner_sum(db, owner))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _check(self, db: sqlite3.Connection) -> None:
        meta = dict(db.execute("SELECT key, value FROM meta"))
        if meta.get("format") not in ("1", str(FORMAT)):
            raise InputError(
                f"{self.path} has format {meta.get('format')}, this program reads {FORMAT}: "
                "use the version of inficond that wrote it"
            )
        if meta.get("data") != self.data:
            raise InputError(
                f"{self.path} is the history of other data than this project's: "
                "put the right file back, or move this one away to begin anew"
            )
        tables = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")}
        wanted = {s.replace("IF NOT EXISTS ", "") for s in STATEMENTS}
        self._sealed = any(" seal " in s for s in tables)
        if not tables >= (wanted if self._sealed else {s for s in wanted if " seal " not in s}):
            raise StorageError(
                f"{self.path} is damaged (its tables are not ours): restore a copy, or move it away"
            )
        self._identity = str(meta.get("identity", ""))
        came, noted = self._generation(db), integrity.noted_generation(self.path, self._identity)
        if came < noted:
            raise self._lost(noted - came)

    def _lost(self, writes: int) -> StorageError:
        return StorageError(
            f"{self.path} has lost its last {writes} writes (the file is older than what was written, or its "
            f"log {self.path.name}-wal is damaged or missing): restore both from a copy, or remove "
            f"{integrity.seal_file(self.path).name} to go on from the last step that is there"
        )

    def _generation(self, db: sqlite3.Connection) -> int:
        row = db.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
        try:
            return int(row[0]) if row else 0
        except ValueError:
            raise StorageError(
                f"{self.path} is damaged (its generation is no number): restore a copy"
            ) from None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite does not check its texts
            raise StorageError(explain(self.path, error)) from error


def _called(owner: str) -> str:
    """An owner for people: a visitor's token is a key, never to be shown."""
    return "the project's own branch" if owner == "main" else "a visitor"


def explain(path: Path, error: Exception) -> str:
    """SQLite's complaint as one line that tells the mend."""
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
