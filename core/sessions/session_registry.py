"""Sessions of many visitors on one project: looked up by token, saved when idle, resumed, expired.

A token is the only key to a session: it is random, and whoever has it can resume the session. Sessions are
read and saved outside the registry's lock, so a locked or slow disk delays only the visitor it concerns.
"""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from inficond.core.errors import InputError, StorageBusy, StorageError
from inficond.core.history.store import MAIN, VISITOR, History
from inficond.core.sessions.project_context import ProjectContext
from inficond.core.sessions.session import Session

log = logging.getLogger(__name__)

IDLE_SECONDS = 30 * 60.0
KEEP_SECONDS = 14 * 24 * 3600.0
MOST = 500
MOST_STEPS, MOST_STEPS_EACH = 50_000, 2_000
"""Steps in memory: of all sessions and of one."""
LOCK_SECONDS = 5.0
"""How long saving a session waits for a lock; it is tried again later."""
EXPIRE_SECONDS = 3600.0
"""Interval at which expired visits are looked for."""


@dataclass(frozen=True, eq=False)
class _Live:
    """A session in memory, when it was last used, and the network address of its visitor."""

    session: Session
    used: float
    address: str


class SessionRegistry:
    """Sessions by token.

    Parameters
    ----------
    context : ProjectContext
        Shared by all sessions.
    store : Path, optional
        SQLite file in which sessions are saved; the project's own history file by default.
    idle : float
        Seconds without a call after which a session is saved and removed from memory.
    keep : float
        Seconds after its last use at which a saved session expires and is deleted.
    most : int
        Sessions in memory. Beyond it, or beyond `MOST_STEPS`, the least recently used one without unsaved
        steps is removed first, then that of the network address with the most sessions.
    clock : callable
        Monotonic seconds; for tests.
    autosave : bool
        Whether a session is also saved after each of its steps.

    Attributes
    ----------
    saves : bool
        Whether sessions are saved at all; where false, those that leave memory are lost.
    """

    def __init__(
        self,
        context: ProjectContext,
        store: Path | None = None,
        idle: float = IDLE_SECONDS,
        keep: float = KEEP_SECONDS,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
        autosave: bool = False,
    ) -> None:
        self._context = context
        self.store = context.history_store if store is None else History(store, context.data_hash)
        self.saves = True
        self._idle, self._keep, self._most, self._clock = idle, keep, most, clock
        self._autosave = autosave
        self._live: OrderedDict[str, _Live] = OrderedDict()
        self._leaving: OrderedDict[str, _Live] = OrderedDict()  # removed from `_live`, not saved yet
        self._lock = threading.Lock()  # of these tables; never held while a file is read or written
        self._saving = threading.Lock()  # held by the thread that saves
        self._expired = -float("inf")

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, token: object) -> bool:
        return token in self._live

    def open(self, token: str | None = None, address: str = "", new: bool = False) -> Session:
        """Return a visitor's session: the one in memory, a saved one, or a new one.

        Parameters
        ----------
        token : str, optional
            None, or one that has expired: a new session begins, under a new token.
        address : str
            Network address of the visitor.
        new : bool
            Begin a new session under `token` if none is in memory.

        Returns
        -------
        Session
            In memory, isolated from every other one.

        Raises
        ------
        InputError
            The token is that of the project's own history, to which visitors cannot write.
        StorageBusy
            The store is locked.
        """
        if token == MAIN:
            raise InputError("a visitor cannot open the project's own history")
        self._collect_idle(self._clock())
        known = self._in_memory(token)
        session = None if known is None else known.session
        if session is None and token and new:
            session = Session(self._context, token, who=VISITOR, store=self.store, new=True)
        elif session is None and token:
            try:
                session = Session(self._context, token, store=self.store)
            except StorageBusy:
                raise  # the visit is not lost, only locked now
            except InputError:
                session = None  # expired, or saved by another version: a new session begins
        if session is None:
            session = Session(self._context, who=VISITOR, store=self.store)
        with self._lock:
            if session.token in self._live:  # another thread was faster
                session = self._live[session.token].session
            self._leaving.pop(session.token, None)
            session.saving.autosave = self._autosave and self.saves
            session.history.max_steps = MOST_STEPS_EACH
            self._live[session.token] = _Live(session, self._clock(), address)
            self._live.move_to_end(session.token)
            while len(self._live) > self._most or (len(self._live) > 1 and self._steps() > MOST_STEPS):
                self._remove(self._least_needed(session.token))
        if self._leaving:
            threading.Thread(target=self._save_leaving, name="inficond-save", daemon=True).start()
        return session

    def _steps(self) -> int:
        """Return the number of steps in memory; the caller holds the lock."""
        return sum(live.session.history.step_count for live in self._live.values())

    def touch(self, token: str) -> Session | None:
        """Return the session of a token if it is in memory, marked as just used."""
        known = self._in_memory(token)
        return None if known is None else self.open(token, known.address, new=True)

    def check_saving(self, wait: float = LOCK_SECONDS) -> str | None:
        """Return why sessions cannot be saved, or None; makes an empty transaction of the store.

        Parameters
        ----------
        wait : float
            Seconds to wait for a lock of another process.
        """
        if not self.saves or not self.store.path.exists():
            return None
        try:
            with self.store.writing(wait):
                return None
        except StorageBusy:
            return "the history file is locked by another program"
        except InputError:
            return "the history file cannot be written"

    def _in_memory(self, token: str | None) -> _Live | None:
        if token is None:
            return None
        with self._lock:
            return self._live.get(token) or self._leaving.get(token)

    def _least_needed(self, but: str) -> str:
        """Return the session to remove from memory; see `most`."""
        others = {token: live for token, live in self._live.items() if token != but}
        saved = next((token for token, live in others.items() if not live.session.changed), None)
        if saved is not None:
            return saved
        busiest = Counter(live.address for live in others.values()).most_common(1)[0][0]
        return next(token for token, live in others.items() if live.address == busiest)

    def _remove(self, token: str) -> None:
        """Move a session from memory to those that are to be saved; the caller holds the lock."""
        live = self._live.pop(token)
        if self.saves and (live.session.changed or live.session.saving.saved):
            self._leaving[token] = live

    def _collect_idle(self, moment: float) -> int:
        with self._lock:
            limit = moment - self._idle
            idle = [token for token, live in self._live.items() if live.used <= limit]
            for token in idle:
                self._remove(token)
            return len(idle)

    def _save_leaving(self, seconds: float | None = None) -> None:
        """Save the sessions that left memory; one that cannot be saved returns to memory."""
        with self._saving:
            with self._lock:
                tokens = list(self._leaving)
            end = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
            for token in tokens:
                with self._lock:
                    leaving = self._leaving.get(token)
                if leaving is None:  # its visitor came back
                    continue
                try:
                    leaving.session.save(wait=max(0.0, end - time.monotonic()))
                except StorageError as error:
                    if not isinstance(error, StorageBusy):
                        log.warning("a visit could not be saved and stays in memory: %s", error)
                    self._take_back(token, leaving)
                else:
                    with self._lock:
                        if self._leaving.get(token) is leaving and not leaving.session.changed:
                            del self._leaving[token]

    def _take_back(self, token: str, leaving: _Live) -> None:
        """Return a session to memory, as if it had just been used, unless there is no room."""
        with self._lock:
            if self._leaving.pop(token, None) is None:
                return
            if len(self._live) >= self._most:
                steps = len(leaving.session.tree()) - 1
                log.error("a visit of %d steps is lost: the disk cannot be written", steps)
                return
            self._live[token] = replace(leaving, used=self._clock())

    def drop(self, token: str) -> None:
        """Save a session and remove it from memory; no effect where it is not there."""
        with self._lock:
            if token in self._live:
                self._remove(token)
        self._save_leaving()

    def drop_idle(self, now: float | None = None) -> int:
        """Save and remove every idle session, and delete expired ones; return the number of idle ones.

        Parameters
        ----------
        now : float, optional
            Time of the registry's clock.
        """
        moment = self._clock() if now is None else now
        count = self._collect_idle(moment)
        self._save_leaving()
        if moment - self._expired >= EXPIRE_SECONDS:
            self._expired = moment
            try:
                self.forget_old()
            except StorageError as error:
                log.info("expired visits are not deleted now: %s", error)
        return count

    def forget_old(self) -> int:
        """Delete saved sessions that were not used for `keep` seconds; return their number.

        Raises
        ------
        StorageError
            The store cannot be written.
        """
        return self.store.forget_before(time.time() - self._keep, keep={*self._live, *self._leaving})

    def close(self) -> None:
        """Save and remove all sessions."""
        with self._lock:
            for token in list(self._live):
                self._remove(token)
        self._save_leaving(2 * LOCK_SECONDS)
