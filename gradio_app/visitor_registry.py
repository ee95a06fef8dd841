"""Visitors of the page: one visit per browser tab.

On a public page each visit is isolated, over projects that all visitors share read-only. On a person's own
page (`one_history`), all tabs work on the project's own history, as the command line does.

An isolated visit is found again by a token that only its tab has, so a reload keeps its tuning.
"""

import logging
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inficond.core.cache import Cache
from inficond.core.errors import InputError
from inficond.core.pipeline.cached_cells import open_cell_store
from inficond.core.sessions.session import Session
from inficond.core.sessions.session_registry import KEEP_SECONDS, SessionRegistry
from inficond.gradio_app.background import BackgroundThreads, UntilClosed
from inficond.gradio_app.limits import PROJECTS, SESSIONS, VISITS
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.visitor import Visitor

if TYPE_CHECKING:
    from inficond.core import Project

LOG = logging.getLogger("inficond.page")
TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{12,64}")
HOUSEKEEPING_SECONDS = 60.0
IDLE_SECONDS = 30 * 60.0
"""Seconds without a request after which a visit without a session ends."""
MAX_SHARED = 1000
"""Values in the cache that all visitors share."""
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class OfferedProject:
    """A project that the page offers, and what belongs to it.

    Parameters
    ----------
    project : Project
    reader : Visitor
        Reads the session that all visits without a session of their own share.
    sessions : SessionRegistry
        Sessions of the visits to the project.
    owners : set of str or None
        Tokens of the visits that may open it; None if all may.
    folder : Path or None
        Temporary folder of the project, which is deleted when the visits of its owners end; None if the
        project is kept.
    """

    project: "Project"
    reader: Visitor
    sessions: SessionRegistry
    owners: set[str] | None
    folder: Path | None

    def may_open(self, token: str) -> bool:
        """Return whether the holder of a token may open the project."""
        return self.owners is None or token in self.owners


class VisitorRegistry:
    """All visits to a running page, and the projects that it offers.

    Parameters
    ----------
    project : Project
        The project that new visitors see.
    files : PageFiles
    store : Path, optional
        File in which visits are saved; each project's own history file by default.
    prepare : callable, optional
        Called in a background thread with the shared reader of each project that is added and the page's
        threads; computes what new visitors see first.
    one_history : bool
        Whether all visits work on the projects' own histories instead of isolated copies.
    """

    def __init__(
        self,
        project: "Project",
        files: PageFiles,
        store: Path | None = None,
        prepare: Callable[[Visitor, BackgroundThreads], None] = lambda reader, threads: None,
        one_history: bool = False,
    ) -> None:
        self._prepare = prepare
        self._threads = BackgroundThreads()
        self.one_history = one_history
        self.projects: dict[str, OfferedProject] = {}
        self.files = files
        self._store = store
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()
        self._saves = True
        self._cache = Cache(MAX_SHARED)
        self._lock = threading.Lock()  # of the tables; never held while a store is read or written
        self._added = 0
        self.default_key = self.add(project)

    def __len__(self) -> int:
        return len(self._visitors)

    @property
    def progress(self) -> UntilClosed:
        """Progress of long work, which is cancelled when the page closes."""
        return self._threads.progress

    def stop_background(self) -> None:
        """Cancel long work and background threads, because the page closes."""
        self._threads.stop()

    def start_housekeeping(self) -> None:
        """Delete expired visits, files and projects regularly, in a background thread."""
        self._threads.start("inficond-housekeeping", self._housekeeping)

    def _housekeeping(self) -> None:
        while True:
            try:
                self.sweep()
            except Exception:
                LOG.exception("expired visits could not be deleted; this is retried")
            if self._threads.wait(HOUSEKEEPING_SECONDS):
                return

    def disable_saving(self) -> None:
        """Save no visits, so that nothing of a visit is left on disk."""
        self._saves = False
        for offered in list(self.projects.values()):
            offered.sessions.saves = False

    # -- projects

    @property
    def default_project(self) -> "Project":
        """The project that new visitors see."""
        return self.projects[self.default_key].project

    def add(self, project: "Project", owner: str | None = None, folder: Path | None = None) -> str:
        """Offer a project; return its key.

        Parameters
        ----------
        project : Project
        owner : str, optional
            Token of the only visitor who may open it. All visitors may open it by default.
        folder : Path, optional
            Temporary folder of the project, which is deleted when the visits of its owner end.

        Raises
        ------
        InputError
            The history of the project cannot be read. The project is then not offered.
        """
        if self.one_history:  # visitors of other pages write nothing but their visits
            project.context.open_cell_store = open_cell_store
        shared = project.session("main" if self.one_history else None)
        shared.history.read_only = not self.one_history
        if folder is not None:
            self.files.register.remove(folder)  # it is deleted with the last visit of its project
        with self._lock:
            for key, known in self.projects.items():
                if known.project.path == project.path:
                    if owner is not None and known.owners is not None:
                        known.owners.add(owner)
                    return key
            key = f"p{self._added}"
            self._added += 1
            reader = Visitor(key, "", project, self, cache_size=MAX_SHARED)
            reader.use_session(shared)
            sessions = SessionRegistry(project.context, self._store, most=SESSIONS.total, autosave=True)
            sessions.saves = self._saves and folder is None
            owners = None if owner is None else {owner}
            self.projects[key] = OfferedProject(project, reader, sessions, owners, folder)
        self.files.images.start_sheets(project)
        self._threads.start("inficond-warm", lambda: self._prepare(reader, self._threads))
        return key

    def check_project_limit(self, token: str) -> None:
        """Check whether a visitor may build another project from uploads.

        Raises
        ------
        InputError
            Too many such projects are open.
        """
        with self._lock:
            temporary = [offered for offered in self.projects.values() if offered.folder is not None]
            own = sum(offered.may_open(token) for offered in temporary)
        if own >= PROJECTS.per_visit:
            raise InputError(f"a visitor can build {own} projects from uploads; end this visit to build more")
        if len(temporary) >= PROJECTS.total:
            raise InputError("too many projects from uploads are open: try again in half an hour")

    def available_projects(self, token: str) -> "dict[str, Project]":
        """Return the projects that the holder of a token may open."""
        with self._lock:
            return {key: one.project for key, one in self.projects.items() if one.may_open(token)}

    def open_project(self, visitor: Visitor, key: Any) -> Visitor:
        """Start a new visit to a project; the earlier visit continues under its own token.

        Raises
        ------
        InputError
            The visitor may not open this project.
        """
        if not isinstance(key, str) or key not in self.available_projects(visitor.token):
            raise InputError("this project is not open any more: choose another one")
        opened = self._begin(key, visitor.address)
        opened.is_owner = visitor.is_owner
        with self._lock:
            for offered in self.projects.values():
                if offered.owners is not None and visitor.token in offered.owners:
                    offered.owners.add(opened.token)
        return opened

    # -- visits

    def get(self, token: Any = None, address: str = "") -> tuple[Visitor, bool]:
        """Return the visit of a token, or a new one.

        Parameters
        ----------
        token : str or None
            As the browser sent it. Anything invalid counts as unknown.
        address : str
            Network address of the visitor.

        Returns
        -------
        visitor : Visitor
        lost : bool
            Whether a token was given whose visit has expired.

        Raises
        ------
        InputError
            The history of the project cannot be read.
        """
        valid = token if isinstance(token, str) and TOKEN_PATTERN.fullmatch(token) else None
        known = self.find(valid)
        if self.one_history:
            visitor = known or self._begin(self.default_key, address)
            visitor.session.history.refresh()
            return visitor, False
        if known is not None and self._refresh(known):
            return known, False
        key = self._saved_key(valid) if valid and known is None else None
        if key is None or valid is None:
            return self._begin(self.default_key, address), valid is not None
        visitor = Visitor(key, valid, self.projects[key].project, self, address)
        if not self._resume(visitor):
            return self._begin(self.default_key, address), True
        with self._lock:
            visitor = self._visitors.setdefault(valid, visitor)
        return visitor, False

    def find(self, token: str | None) -> Visitor | None:
        """Return the visit of a token if it is in memory, marked as the one used last."""
        if not token:
            return None
        with self._lock:
            visitor = self._visitors.get(token)
            if visitor is not None:
                visitor.used = time.monotonic()
                self._visitors.move_to_end(token)
        return visitor

    def _saved_key(self, token: str) -> str | None:
        """Return the key of the project in whose store a visit is saved."""
        for key, offered in list(self.projects.items()):
            if offered.sessions.saves and offered.sessions.store.head(token) is not None:
                return key
        return None

    def _begin(self, key: str, address: str) -> Visitor:
        visitor = Visitor(key, secrets.token_urlsafe(12), self.projects[key].project, self, address)
        with self._lock:
            self._visitors[visitor.token] = visitor
            surplus = len(self._visitors) - VISITS.total
            if surplus > 0:
                idle = [token for token, v in self._visitors.items() if not v.has_session][:surplus]
                for token in idle:
                    del self._visitors[token]
        return visitor

    def begin_session(self, visitor: Visitor) -> Session:
        """Begin the session of a visit."""
        return self.projects[visitor.key].sessions.open(visitor.token, visitor.address, new=True)

    def _refresh(self, visitor: Visitor) -> bool:
        """Keep the session of a visit in memory, or resume it; return false if it has expired."""
        if not visitor.has_session or self.projects[visitor.key].sessions.touch(visitor.token) is not None:
            return True
        if not visitor.has_steps:
            visitor.use_session(None)
            return True
        return self.projects[visitor.key].sessions.saves and self._resume(visitor)

    def _resume(self, visitor: Visitor) -> bool:
        """Load the saved session of a visit; return false if there is none."""
        session = self.projects[visitor.key].sessions.open(visitor.token, visitor.address)
        if session.token != visitor.token:
            return False
        visitor.use_session(session)
        return True

    def shared_session(self, key: str) -> Session:
        """Return the session that all visits to a project without a session of their own read."""
        return self.projects[key].reader.session

    def shared_reader(self, visitor: Visitor) -> Visitor:
        """Return the visitor whose caches serve a visit: a shared one at the node where visits begin."""
        offered = self.projects.get(visitor.key)
        if offered is None or offered.reader.session.node != visitor.session.node:
            return visitor
        return offered.reader

    def cached_for_all(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return a cached value that is the same for every visitor; make it if necessary."""
        return self._cache.get(key, make)

    # -- expiry

    def sweep(self, now: float | None = None) -> None:
        """End expired visits, and delete their files and projects.

        Parameters
        ----------
        now : float, optional
            Time of `time.monotonic`.
        """
        moment = time.monotonic() if now is None else now
        for offered in list(self.projects.values()):
            offered.sessions.drop_idle(moment)
        self._save_again()
        with self._lock:
            ended = [token for token, v in self._visitors.items() if self._is_over(v, moment)]
            for token in ended:
                del self._visitors[token]
        for token in ended:
            self.files.end_visit(token)
        self._remove_abandoned()
        self.files.sweep(now)

    def _save_again(self) -> None:
        """Save the visits whose last step met a locked history file."""
        with self._lock:
            unsaved = [v.session for v in self._visitors.values() if v.has_session and v.session.changed]
        for session in unsaved:
            if session.saving.autosave:
                try:
                    session.save(wait=1.0)
                except InputError as error:
                    LOG.warning("a visit could not be saved; this is retried: %s", error)

    def _is_over(self, visitor: Visitor, moment: float) -> bool:
        offered = self.projects.get(visitor.key)
        if offered is None:
            return True
        if visitor.has_session:
            return visitor.token not in offered.sessions
        forgetful = not self.one_history or offered.folder is not None
        return visitor.used <= moment - (IDLE_SECONDS if forgetful else KEEP_SECONDS)

    def _remove_abandoned(self) -> None:
        """Delete the temporary projects whose owners' visits have ended."""
        with self._lock:
            live = self._visitors.keys()
            abandoned = {
                key: (offered, offered.folder)
                for key, offered in self.projects.items()
                if offered.folder is not None and live.isdisjoint(offered.owners or ())
            }
            for key in abandoned:
                del self.projects[key]
            self._cache.remove(lambda cached: cached[0] in abandoned)
        for offered, folder in abandoned.values():
            offered.sessions.close()
            self.files.images.forget(offered.project)
            shutil.rmtree(folder, ignore_errors=True)

    def check_saving(self) -> str | None:
        """Return why steps cannot be saved, or None; makes an empty transaction of the history file."""
        return self.projects[self.default_key].sessions.check_saving()

    def close(self) -> None:
        """Save all visits and end the background threads."""
        for offered in list(self.projects.values()):
            offered.sessions.close()
        self._threads.close()
