"""Connections and transactions of a history database.

`core.history.store` defines what rows mean; this module opens the file, checks its layout and checksums, and
keeps the checksums up to date. Readers do not wait for writers: each reading transaction has a connection of
its own, and SQLite's write-ahead log gives it one consistent view.
"""

import os
import secrets
import shutil
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, StorageBusy, StorageError
from inficond.core.history import integrity
from inficond.core.history.schema import COLUMNS, FORMAT, OWNERS, STATEMENTS, check_schema, objects

WRITE_SECONDS = 30.0
"""How long a write waits for a lock."""
READ_SECONDS = 5.0
"""How long a read waits for a lock: only a program that locks the whole file makes readers wait."""
IDLE_READERS = 4
"""Reading connections that are kept open."""


class _Connection(sqlite3.Connection):
    """A connection with what was found when it was opened."""

    has_checksums = False
    identity = ""
    schema_version = -1
    age = 0


class Database:
    """An SQLite file with the layout of `core.history.schema`.

    Parameters
    ----------
    path : Path
        Created when something is first written.
    data : str
        Hash of the project's data; a file of other data is refused. None accepts any, for reading.
    inspect : callable
        Is given a database of format 1 before its checksums are made, and raises where it is damaged.

    Raises
    ------
    InputError
        From every method: a newer format, or other data.
    StorageError
        Damaged, contains foreign objects, cannot be written, the disk is full, or locked for too long.
    """

    def __init__(self, path: Path, data: str | None, inspect: Callable[[sqlite3.Connection], object]) -> None:
        self.path = Path(path)
        self.data = data
        self._inspect = inspect
        self._lock = threading.Lock()  # of the attributes; never held while SQLite works
        self._write_lock = threading.RLock()
        self._current = threading.local()  # .db: the connection of this thread's transaction
        self._readers: list[_Connection] = []
        self._writer: _Connection | None = None
        self._age = 0
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._changed: dict[str, int] = {}
        self._verified: dict[str, int] = {}
        self._steps: dict[str, tuple[int, int]] = {}  # checksum of an owner's steps up to a seq

    def close(self) -> None:
        """Close the file; it is opened again when it is next used."""
        with self._write_lock:
            with self._lock:
                idle, self._readers = self._readers, []
                writer, self._writer = self._writer, None
                copy, self._copy = self._copy, None
                self._age += 1
                self._verified.clear()
                self._steps.clear()
            for db in (*idle, writer):
                if db is not None:
                    db.close()
            if copy is not None:
                copy.cleanup()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Open a transaction on a snapshot of the file; None if there is no file.

        Within another transaction of the same thread, that one is used.
        """
        current = getattr(self._current, "db", None)
        if current is not None:
            yield current
            return
        with self._described():
            db = self._take_reader()
            if db is None:
                yield None
                return
            self._current.db = db
            try:
                db.execute("BEGIN")
                self._check_again(db)
                yield db
            finally:
                self._current.db = None
                if db.in_transaction:
                    db.execute("ROLLBACK")
                self._return_reader(db)

    @contextmanager
    def writing(self, wait: float = WRITE_SECONDS) -> Iterator[sqlite3.Connection]:
        """Open the only writing transaction; within another one of the same thread, that one is used.

        Parameters
        ----------
        wait : float
            Seconds after which a lock of another thread or process raises `StorageBusy`.
        """
        current: _Connection | None = getattr(self._current, "db", None)
        if current is not None and current is self._writer:
            yield current
            return
        if not self._write_lock.acquire(timeout=wait):
            raise busy(self.path, wait)
        try:
            with self._described(wait):
                db = self._open_writer(wait)
                self._changed.clear()
                db.execute("BEGIN IMMEDIATE")
                self._current.db = db
                try:
                    self._check_again(db)
                    yield db
                    checksums, generation = self._store_checksums(db)
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
                finally:
                    self._current.db = current
                    self._changed.clear()
                with self._lock:
                    self._verified.update(checksums)
                integrity.write_generation(self.path, db.identity, generation)
        finally:
            self._write_lock.release()

    # -- checksums

    def put(self, db: sqlite3.Connection, table: str, row: tuple[Any, ...], owner: str) -> None:
        """Insert a row (all columns) and add it to its owner's checksum."""
        db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        self._add(owner, integrity.row_hash(table, row))

    def drop(self, db: sqlite3.Connection, table: str, where: str, key: tuple[Any, ...], owner: str) -> None:
        """Delete rows and subtract them from their owner's checksum."""
        for row in db.execute(f"SELECT {COLUMNS[table]} FROM {table} WHERE {where}", key).fetchall():
            self._add(owner, -integrity.row_hash(table, row))
        db.execute(f"DELETE FROM {table} WHERE {where}", key)
        if table in ("node", "state"):
            self._steps.pop(owner, None)

    def _add(self, owner: str, number: int) -> None:
        self._changed[owner] = self._changed.get(owner, 0) + number

    def _store_checksums(self, db: _Connection) -> tuple[dict[str, int], int]:
        """Write checksums and generation in the transaction that changes the rows."""
        checksums = {}
        for owner, change in self._changed.items():
            before = integrity.stored_checksum(db, owner)
            total = (before + change) % integrity.MODULUS
            integrity.store_checksum(db, owner, total)
            if self._verified.get(owner, 0) == before:
                checksums[owner] = total
        generation = self._generation(db) + 1
        db.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (str(generation),))
        return checksums, generation

    def verify_owner(self, db: sqlite3.Connection, owner: str) -> None:
        """Verify the checksum of an owner's rows, once until another connection writes.

        Raises
        ------
        StorageError
            The rows differ from what was written.
        """
        assert isinstance(db, _Connection)
        if not db.has_checksums or (db is self._writer and owner in self._changed):
            return
        stored = integrity.stored_checksum(db, owner)
        if self._verified.get(owner) == stored:
            return
        # Steps are only ever added: those that were verified before are not read again.
        known, after = self._steps.get(owner, (0, 0))
        position = integrity.position_checksum(db, owner)
        more, last = integrity.steps_checksum(db, owner, after)
        steps = (known + more) % integrity.MODULUS
        if (steps + position) % integrity.MODULUS != stored and after:
            steps, last = integrity.steps_checksum(db, owner)
        if (steps + position) % integrity.MODULUS != stored:
            who = "the project's own branch" if owner == "main" else "a visitor"  # a token is a secret
            raise StorageError(
                f"{self.path} is damaged: the checksum of {who} does not match; restore a copy, or move it "
                "away to begin a new history"
            )
        with self._lock:
            self._verified[owner] = stored
            self._steps[owner] = steps, last

    def verify(self, db: sqlite3.Connection) -> None:
        """Verify the checksums of all owners, whatever was verified before, and SQLite's pages."""
        assert isinstance(db, _Connection)
        with self._lock:
            self._verified.clear()
            self._steps.clear()
        (result,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if result != "ok":
            raise StorageError(f"{self.path} is damaged: {result}; restore a copy, or move it away")
        if db.has_checksums:
            for (owner,) in db.execute(f"SELECT owner FROM seal UNION {OWNERS}").fetchall():
                self.verify_owner(db, owner)

    def has_checksums(self, db: sqlite3.Connection) -> bool:
        """Return whether the file has checksums: format 2."""
        assert isinstance(db, _Connection)
        return db.has_checksums

    # -- connections

    def _take_reader(self) -> _Connection | None:
        with self._lock:
            if self._readers:
                return self._readers.pop()
        if not self.path.exists():
            return None
        return self._open(write=False, wait=READ_SECONDS)

    def _return_reader(self, db: _Connection) -> None:
        with self._lock:
            if db.age == self._age and len(self._readers) < IDLE_READERS:
                self._readers.append(db)
                return
        db.close()

    def _open_writer(self, wait: float) -> _Connection:
        if self._writer is None:
            self._writer = self._open(write=True, wait=wait)
        self._writer.execute(f"PRAGMA busy_timeout = {int(1000 * wait)}")
        return self._writer

    def _open(self, write: bool, wait: float) -> _Connection:
        self._check_files()
        written = integrity.read_generation(self.path, None)  # before the file is read: others may write
        try:
            db = self._connect("rwc" if write else "rw", self.path, wait)
        except sqlite3.OperationalError as error:
            if write or is_busy(error):
                raise
            db = self._connect_read_only(wait)
        try:
            self._check(db, written)
        except BaseException:
            db.close()
            raise
        return db

    def _check_files(self) -> None:
        """Refuse devices, pipes and folders: opening one may block or never end."""
        for suffix in ("", "-wal", "-shm", integrity.SUFFIX):
            path = self.path.with_name(self.path.name + suffix)
            try:
                mode = path.stat().st_mode
            except (OSError, ValueError):
                continue
            if not stat.S_ISREG(mode):
                raise StorageError(f"{path} is not a regular file: restore a copy, or move it away")

    def _connect_read_only(self, wait: float) -> _Connection:
        """Open a file in a folder that cannot be written.

        Write-ahead logging needs a file beside it unless the database is opened as immutable, which ignores
        the log; steps in the log are therefore read from a copy.
        """
        if writable(self.path.parent):
            return self._connect("ro", self.path, wait)
        log = self.path.with_name(self.path.name + "-wal")
        if not (log.is_file() and log.stat().st_size):
            return self._connect("ro", self.path, wait, immutable=True)
        with self._lock:
            if self._copy is None:
                self._copy = tempfile.TemporaryDirectory(prefix="inficond-history-")
            folder = Path(self._copy.name)
        for file in (self.path, log):
            if not (folder / file.name).exists():
                shutil.copyfile(file, folder / file.name)
        return self._connect("rw", folder / self.path.name, wait)

    def _connect(self, mode: str, path: Path, wait: float, immutable: bool = False) -> _Connection:
        existed = path.exists()
        uri = f"{path.absolute().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
        db = sqlite3.connect(
            uri, uri=True, timeout=wait, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        try:
            db.execute("PRAGMA trusted_schema = OFF")
            found = objects(db)  # plain rows: nothing that the schema defines is run
            if mode != "ro":
                if found:
                    check_schema(db, self.path)
                elif existed and (written := integrity.read_generation(path, None)):
                    raise self._lost(written)  # the tables were in the log only
                elif self.data is None:
                    raise StorageError(f"{self.path} has no tables: restore a copy, or move it away")
                _write_ahead(db, wait)
                db.execute("PRAGMA synchronous = FULL")
                if not any(name == "seal" for _, name, _, _ in found):
                    self._create(db)
        except BaseException:
            db.close()
            raise
        db.age = self._age
        return db

    def _create(self, db: _Connection) -> None:
        """Create the tables that are missing; a database of format 1 gets its checksums."""
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in STATEMENTS:
                db.execute(statement)
            if db.execute("SELECT 1 FROM meta WHERE key = 'format'").fetchone():
                self._inspect(db)
            meta = {"format": str(FORMAT), "data": self.data or "", "generation": "0"}
            for key, value in {**meta, "identity": secrets.token_hex(8)}.items():
                db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))
            db.execute("UPDATE meta SET value = ? WHERE key = 'format' AND value = '1'", (str(FORMAT),))
            for (owner,) in db.execute(OWNERS).fetchall():
                integrity.store_checksum(db, owner, integrity.owner_checksum(db, owner))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _check(self, db: _Connection, written: int) -> None:
        """Check layout, format, data and generation; `written` is the generation noted beside the file."""
        db.has_checksums = check_schema(db, self.path)
        meta = dict(db.execute("SELECT key, value FROM meta"))
        if meta.get("format") not in ("1", str(FORMAT)):
            raise InputError(
                f"{self.path} has format {meta.get('format')}, and this version reads {FORMAT}: use the "
                "version of inficond that wrote it"
            )
        if self.data is not None and meta.get("data") != self.data:
            raise InputError(
                f"{self.path} is the history of other data than this project's: restore the right file, or "
                "move this one away to begin a new history"
            )
        db.identity = str(meta.get("identity", ""))
        if written and not integrity.read_generation(self.path, db.identity):
            written = 0  # of another file
        generation = self._generation(db)
        if generation < written:
            raise self._lost(written - generation)
        (db.schema_version,) = db.execute("PRAGMA schema_version").fetchone()

    def _check_again(self, db: _Connection) -> None:
        """Check the layout again where it was changed since the connection was opened."""
        (version,) = db.execute("PRAGMA schema_version").fetchone()
        if version != db.schema_version:
            db.has_checksums = check_schema(db, self.path)
            db.schema_version = version

    def _lost(self, writes: int) -> StorageError:
        return StorageError(
            f"{self.path} has lost its last {writes} writes (it is older than what was written, or its log "
            f"{self.path.name}-wal is damaged or missing): restore both from a copy, or delete "
            f"{integrity.generation_file(self.path).name} to continue from the last step that is left"
        )

    def _generation(self, db: _Connection) -> int:
        row = db.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
        try:
            return int(row[0]) if row else 0
        except ValueError:
            raise StorageError(
                f"{self.path} is damaged: its generation is not a number; restore a copy"
            ) from None

    @contextmanager
    def _described(self, wait: float = READ_SECONDS) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite does not validate texts
            raise describe(self.path, error, wait) from error


def _write_ahead(db: sqlite3.Connection, wait: float) -> None:
    """Switch to write-ahead logging.

    SQLite does not wait for locks of other connections while it changes the mode: two processes that create
    a history at the same moment would fail at once. So the change is tried again for `wait` seconds.
    """
    end = time.monotonic() + wait
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= end:
                raise
        time.sleep(0.01)


def writable(folder: Path) -> bool:
    """Return whether this process, with its effective user, may create files in a folder."""
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def busy(path: Path, wait: float) -> StorageBusy:
    """Return the error for a file that stays locked."""
    return StorageBusy(f"{path} has been locked by another process for more than {wait:.0f} s: try again")


def is_busy(error: Exception) -> bool:
    """Return whether an error of SQLite is a lock of another connection."""
    text = str(error).lower()
    return "locked" in text or "busy" in text


def describe(path: Path, error: Exception, wait: float = READ_SECONDS) -> StorageError:
    """Convert an error of SQLite to one line that says how to fix it."""
    text = str(error).lower()
    if is_busy(error):
        return busy(path, wait)
    if "disk i/o" in text:
        return StorageError(
            f"cannot write {path} ({error}); nothing was changed: check that its disk works and is not full"
        )
    if "full" in text:
        return StorageError(f"cannot write {path}: the disk is full; nothing was changed, free some space")
    if "unable to open" in text and writable(path.parent):
        return StorageError(f"cannot open {path}: check its permissions and the limit of open files")
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return StorageError(
            f"cannot write {path}: the project is read-only here; copy its folder to a place you can write"
        )
    if "out of memory" in text:
        return StorageError(f"not enough memory to read {path}: close other programs")
    return StorageError(
        f"{path} is damaged ({error}): restore a copy, or move it away to begin a new history"
    )
