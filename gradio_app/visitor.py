"""Who is visiting: one isolated session a browser tab, over projects that all visitors share read-only.

A visitor is found again by a token that only their tab knows, so a reload keeps their tuning; idle ones are
dropped, the oldest first when there are too many.
"""

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inficond.core.errors import InputError
from inficond.core.sessions.class_confusion import references
from inficond.core.sessions.session_registry import SessionRegistry
from inficond.core.tuning.actions import Action
from inficond.gradio_app.request_queue import lower_thread_priority

if TYPE_CHECKING:
    from inficond.core import Project
    from inficond.core.evaluation import Slice
    from inficond.core.sessions.session import Session
    from inficond.gradio_app.page_files import PageFiles

SWEEP_SECONDS = 60.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{12,64}")
T = TypeVar("T")


class Visitor:
    """One tab: its session, and what was worked out of it for the screen, `most` values of it."""

    def __init__(self, key: str, session: "Session", visitors: "VisitorRegistry", most: int = 64) -> None:
        self.key = key
        self.session = session
        self.token = session.token
        self.project = session.project
        self._lock = threading.Lock()
        self._visitors = visitors
        self._most = most
        self._memo: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    @property
    def available_projects(self) -> "dict[str, Project]":
        """The projects that this visitor can choose: those of the page, and their own."""
        return self._visitors.available_projects(self.token)

    @property
    def files(self) -> "PageFiles":
        """The files that the page serves."""
        return self._visitors.files

    @property
    def image_index(self) -> Mapping[str, int]:
        """Image id -> row."""
        return self.session.workspace.image_index

    @property
    def concept_index(self) -> dict[str, int]:
        """Concept -> column, words added by this visitor included."""
        return self.cached(("concepts",), lambda: {c: k for k, c in enumerate(self.session.concepts)})

    def cached(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """The value of `make`, kept while it is in use; another node of the history has another value."""
        node = self.session.node
        full = (node, *key)
        with self._lock:
            if full in self._memo:
                self._memo.move_to_end(full)
                return self._memo[full]
        value = make()
        if self.session.node == node:  # else a step was taken meanwhile: the value may belong to either node
            with self._lock:
                self._memo[full] = value
                while len(self._memo) > self._most:
                    self._memo.popitem(last=False)
        return value

    def cached_for_node(self, node: str, make: Callable[[], T]) -> T:
        """A value that belongs to a step of the history, wherever the visitor stands."""
        return self._visitors.cached_for_all((self.key, "node", self.token, node), make)

    def class_references(self) -> tuple[str, ...]:
        """Return what actual classes can be taken from; empty if the classes do not exclude each other."""
        return self.cached(("references",), lambda: references(self.session))

    def default_class(self) -> str:
        """What a newcomer sees first: the class with the most images on which student and teacher part."""
        return self.cached(("first",), self._first_class)

    def _first_class(self) -> str:
        def parted(cls: str) -> int:
            counts = self.session.metrics(cls).counts
            return counts["missed"] + counts["extra"]

        return max(self.project.classes, key=parted)

    def intervals(self, cls: str) -> dict[str, Any]:
        """Fidelity of a class with its 95 % intervals; shared by all visitors whose student of it is the
        same."""
        state = self.session.state.classes[cls]
        overrides = tuple(sorted(state.overrides.items()))
        at = self.session.threshold(cls)
        key = (self.key, cls, hash(state.weights.tobytes()), state.bias, overrides, at)
        return self._visitors.cached_for_all(key, lambda: self._intervals(cls))

    def _intervals(self, cls: str) -> dict[str, Any]:
        from inficond.core.evaluation import bootstrap_intervals

        session = self.session
        rows, c = self.project.validation_rows, session.class_index(cls)
        groups = session.workspace.validation_groups
        found = bootstrap_intervals(
            session.targets(cls)[rows],
            session.scores()[rows, c],
            groups=groups,
            threshold=session.threshold(cls),
        )
        return {name: interval.to_dict() for name, interval in found.items()}

    def slices(self, cls: str) -> "list[Slice]":
        """The class's slices, as core found them."""
        return self.cached(("slices", cls), lambda: list(self.session.slices(cls)))

    def slice(self, cls: str, name: str) -> "Slice | None":
        """A slice by its id, or None."""
        return next((s for s in self.slices(cls) if slice_id(s) == name), None)

    def image_url(self, row: int) -> str:
        """Where the browser finds one image, large."""
        return self.files.url(self.files.opened(self.project, row))

    def sheet_url(self, number: int, make: bool = False) -> str | None:
        """Where the browser finds a sheet of thumbnails; None while it is not made, unless `make`."""
        return self.files.sheet_url(self.project, number, make)


def slice_id(found: "Slice") -> str:
    """What a link calls a slice: its kind and the conditions that describe it."""
    return f"{found.kind}: {found.name}"


class VisitorRegistry:
    """All visitors of a running page, over the projects on its available_projects.

    Parameters
    ----------
    project : Project
        What a newcomer sees first.
    files : PageFiles
        Where pictures for browsers are made.
    store : Path, optional
        File in which idle visitors' tuning is kept; each project's own history file by default.
    """

    def __init__(self, project: "Project", files: "PageFiles", store: Path | None = None) -> None:
        self.projects: dict[str, Project] = {}
        self.files = files
        self._store = store
        self._sessions: dict[str, SessionRegistry] = {}
        self._owners: dict[str, set[str]] = {}
        self._visitors: dict[str, Visitor] = {}
        self._readers: dict[str, Visitor] = {}
        self._keeps = True
        self._shared: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = threading.Lock()
        self._swept = time.monotonic()
        self.home = self.add(project)

    def __len__(self) -> int:
        return len(self._visitors)

    def disable_saving(self) -> None:
        """From now on, idle visits are let go of for good: nothing of a stranger's reaches the disk."""
        self._keeps = False
        for sessions in self._sessions.values():
            sessions.saves = False

    def add(self, project: "Project", owner: str | None = None) -> str:
        """Offer a project to visitors; returns the key it is chosen by.

        Parameters
        ----------
        project : Project
        owner : str, optional
            Token of the only visitor who may choose it; everybody by default.
        """
        for key, known in self.projects.items():
            if known.path == project.path:
                if owner is not None and key in self._owners:
                    self._owners[key].add(owner)
                return key
        key = f"p{len(self.projects)}"
        self.projects[key] = project
        if owner is not None:
            self._owners[key] = {owner}
        self._sessions[key] = SessionRegistry(project.context, self._store, autosave=True)
        self._sessions[key].saves = self._keeps
        self._readers[key] = Visitor(key, project.session(), self, most=1000)
        self.files.warm(project)
        threading.Thread(target=self._warm, args=(key,), name="inficond-warm", daemon=True).start()
        return key

    def _warm(self, key: str) -> None:
        """Work out what every newcomer is shown first, before the first one comes."""
        from inficond.gradio_app.selection import Selection
        from inficond.gradio_app.views import view_parts

        visitor = self._readers[key]
        try:
            for cls in visitor.project.classes:
                visitor.intervals(cls)
            first = visitor.default_class()
            heaviest = int(abs(visitor.session.influence(first).weights).argmax())
            visitor.session.preview(first, [Action("mute", visitor.session.concepts[heaviest])])
            lower_thread_priority()  # the rest is shown after the first page and must not hold it up
            for part in sorted(view_parts().values(), key=lambda part: part.slow):
                if part.slow:
                    part.read(visitor, Selection(first))
        except Exception:  # a visitor will meet the same fault, and is told
            logging.getLogger(__name__).warning("the project could not be warmed up", exc_info=True)

    def get(self, token: Any = None) -> tuple[Visitor, bool]:
        """The visitor of a token; a new one where the token is unknown.

        Parameters
        ----------
        token : str or None
            As the browser sent it; anything else counts as unknown.

        Returns
        -------
        visitor : Visitor
        lost : bool
            True where a token was given but its tuning is gone.
        """
        self._sweep()
        asked = token if isinstance(token, str) and _TOKEN.fullmatch(token) else None
        with self._lock:
            known = self._visitors.get(asked) if asked else None
            key = known.key if known else self._kept(asked)
        session = self._sessions[key].open(asked)
        if known is not None and session is known.session:
            return known, False
        return self._enter(key, session), asked is not None and session.token != asked

    def _kept(self, token: str | None) -> str:
        """The project in whose history a session was saved under the token; else the first one."""
        if token is not None:
            for key, sessions in self._sessions.items():
                if sessions.store.head(token) is not None:
                    return key
        return self.home

    def _enter(self, key: str, session: "Session") -> Visitor:
        visitor = Visitor(key, session, self)
        with self._lock:
            self._visitors[session.token] = visitor
        return visitor

    def shared_reader(self, visitor: Visitor) -> Visitor:
        """Who works out the slow parts for a visitor: one for all who stand where everybody begins.

        Nobody tunes through it, so it stays there; a node of the history has one state, whoever asks.
        """
        untouched = self._readers[visitor.key]
        return untouched if untouched.session.node == visitor.session.node else visitor

    def available_projects(self, token: str) -> "dict[str, Project]":
        """The projects that the holder of a token may choose."""
        return {k: p for k, p in self.projects.items() if k not in self._owners or token in self._owners[k]}

    def choose(self, token: str, key: Any) -> Visitor:
        """A new visit to a project; the earlier one is kept under its own token until it is idle for long."""
        if not isinstance(key, str) or key not in self.available_projects(token):
            raise InputError("that project is no longer open: choose another")
        visitor = self._enter(key, self._sessions[key].open())
        for owners in self._owners.values():
            if token in owners:
                owners.add(visitor.token)
        return visitor

    def cached_for_all(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """A value that is the same for every visitor; the most recent thousand are kept."""
        with self._lock:
            if key in self._shared:
                self._shared.move_to_end(key)
                return self._shared[key]
        value = make()
        with self._lock:
            self._shared[key] = value
            while len(self._shared) > 1000:
                self._shared.popitem(last=False)
        return value

    def _sweep(self) -> None:
        """Once a minute, forget the visitors whose sessions were saved and dropped, and their
        own pictures."""
        now = time.monotonic()
        with self._lock:
            if now - self._swept < SWEEP_SECONDS:
                return
            self._swept = now
        for sessions in self._sessions.values():
            sessions.drop_idle()
        with self._lock:
            gone = [t for t, v in self._visitors.items() if t not in self._sessions[v.key]]
            for token in gone:
                del self._visitors[token]
        for token in gone:
            self.files.forget(token)

    def close(self) -> None:
        """Save what visitors did, so that their tokens find it again."""
        for sessions in self._sessions.values():
            sessions.close()
