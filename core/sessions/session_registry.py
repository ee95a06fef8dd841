"""Sessions of many visitors on one project: looked up by token, saved when idle, resumed, expired.

A token is the only key to a session: it is random, and whoever has it can resume the session.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from inficond.core.errors import InputError
from inficond.core.history.store import MAIN, History
from inficond.core.sessions.project_context import ProjectContext
from inficond.core.sessions.session import Session

IDLE_SECONDS = 30 * 60.0
KEEP_SECONDS = 14 * 24 * 3600.0
MOST = 500


class SessionRegistry:
    """Sessions by token.

    Parameters
    ----------
    context : ProjectContext
        Shared by all sessions.
    store : Path, optional
        SQLite file in which idle sessions are kept; the project's own history file by default. Where it
        cannot be written, idle sessions are dropped for good, and `saves` says so.
    idle : float
        Seconds without a call after which a session is saved and dropped from memory.
    keep : float
        Seconds after which a saved session is forgotten.
    most : int
        Sessions in memory; beyond it the one idle for longest goes first.
    clock : callable
        Seconds that only ever grow; for tests.
    """

    def __init__(
        self,
        context: ProjectContext,
        store: Path | None = None,
        idle: float = IDLE_SECONDS,
        keep: float = KEEP_SECONDS,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self.store = context.history_store if store is None else History(store, context.data_hash)
        self.saves = True
        self._idle, self._keep, self._most, self._clock = idle, keep, most, clock
        self._live: OrderedDict[str, tuple[Session, float]] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, token: object) -> bool:
        return token in self._live

    def open(self, token: str | None = None) -> Session:
        """A visitor's session: the live one, a saved one resumed, or a new one.

        Parameters
        ----------
        token : str, optional
            None, or one that has expired: a new session begins, under a new token.

        Returns
        -------
        Session
            In memory, isolated from every other one.

        Raises
        ------
        InputError
            The token is the project's own branch, which no visitor may write to.
        """
        if token == MAIN:
            raise InputError("a visitor cannot hold the project's own branch")
        with self._lock:
            self.drop_idle()
            session = self._live[token][0] if token and token in self._live else None
            if session is None and token:
                try:
                    session = Session(self._context, token, store=self.store)
                except InputError:
                    session = None  # expired, or saved by another version: a fresh start is better than none
            if session is None:
                session = Session(self._context, who="visitor", store=self.store)
            self._live[session.token] = (session, self._clock())
            self._live.move_to_end(session.token)
            while len(self._live) > self._most:
                self.drop(next(iter(self._live)))
            return session

    def drop(self, token: str) -> None:
        """Save a session and let go of it; nothing where it is not live."""
        with self._lock:
            found = self._live.pop(token, None)
            if found is None:
                return
            session = found[0]
            if not self.saves or not session.changed:
                return
            try:
                session.save()
            except InputError:
                self.saves = False

    def drop_idle(self) -> int:
        """Save and drop every session that was idle for too long; returns how many."""
        with self._lock:
            limit = self._clock() - self._idle
            idle = [token for token, (_, used) in self._live.items() if used <= limit]
            for token in idle:
                self.drop(token)
            return len(idle)

    def forget_old(self) -> int:
        """Delete saved sessions that nobody resumed for a long time; returns how many."""
        limit = time.time() - self._keep
        old = [t for t, used in self.store.owners().items() if t != MAIN and used < limit and t not in self]
        for token in old:
            self.store.forget(token)
        return len(old)

    def close(self) -> None:
        """Save and drop all."""
        with self._lock:
            for token in list(self._live):
                self.drop(token)
