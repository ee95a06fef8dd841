"""A visit of one browser tab to one project.

A visit without a step costs almost nothing: it reads a session that all such visits of a project share. A
visit gets a session of its own for its first preview or step, and every step is saved before it is answered.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from inficond.core.cache import Cache
from inficond.core.errors import InputError
from inficond.core.sessions.class_confusion import references
from inficond.core.sessions.metrics import metrics_with_intervals
from inficond.core.sessions.session import Session
from inficond.gradio_app.access import OWNER_STEPS
from inficond.gradio_app.background import UntilClosed
from inficond.gradio_app.own_regions import OwnRegions
from inficond.gradio_app.page_files import PageFiles

if TYPE_CHECKING:
    from inficond.core import Project
    from inficond.core.evaluation import ClassMetrics, Slice
    from inficond.core.tuning.state import BranchState

    Measured = tuple[ClassMetrics, dict[str, dict[str, float | None]]]
    """Metrics of a class, and by name the value and 95 % interval of those that have one."""

NOT_SAVED = (
    "This step is not saved yet because the history file is in use by another program; saving is retried."
)
T = TypeVar("T")


class PageState(Protocol):
    """The part of `VisitorRegistry` that a visit reads."""

    one_history: bool
    files: PageFiles

    @property
    def progress(self) -> UntilClosed: ...

    def begin_session(self, visitor: "Visitor") -> Session: ...

    def shared_session(self, key: str) -> Session: ...

    def shared_reader(self, visitor: "Visitor") -> "Visitor": ...

    def available_projects(self, token: str) -> "dict[str, Project]": ...

    def cached_for_all(self, key: tuple[Any, ...], make: Callable[[], T]) -> T: ...


class Visitor:
    """A visit of one browser tab to one project.

    Parameters
    ----------
    key : str
        Key of the project.
    token : str
    project : Project
    page : PageState
        What the visit shares with the others.
    address : str
        Network address of the visitor.
    cache_size : int
        Number of values cached for the views.
    """

    def __init__(
        self,
        key: str,
        token: str,
        project: "Project",
        page: PageState,
        address: str = "",
        cache_size: int = 64,
    ) -> None:
        self.key = key
        self.token = token
        self.project = project
        self.address = address
        self.is_owner = False
        self.own_regions: OwnRegions | None = None  # of the image that the visitor has open
        self.used = time.monotonic()
        self._page = page
        self._session: Session | None = None
        self._cache = Cache(cache_size)

    @property
    def session(self) -> Session:
        """The session to read: the visit's own one, or the shared one while there is none."""
        return self._session or self._page.shared_session(self.key)

    @property
    def has_session(self) -> bool:
        """Whether the visit has a session of its own."""
        return self._session is not None

    @property
    def has_steps(self) -> bool:
        """Whether the visit has taken a step; on one history, whether there is any step."""
        if self._page.one_history:
            return len(self.session.tree()) > 1
        return self._session is not None and (self._session.saving.saved or self._session.changed)

    def own_session(self) -> Session:
        """Return the session to tune: the visit's own one, or that of the project's own history."""
        if self._page.one_history:
            return self.session
        if self._session is None:
            self._session = self._page.begin_session(self)
        return self._session

    @contextmanager
    def step(self) -> Iterator[Session]:
        """Open the session for a step; steps of other processes on the same history are read first.

        The step of an isolated visit is saved in a thread from the end of the block, while the answer is
        computed. `saving_note` awaits it.

        Raises
        ------
        InputError
            The page works on the project's own history, and the visitor has not shown the owner key.
        """
        if self._page.one_history and not self.is_owner:
            raise InputError(OWNER_STEPS)
        session = self.own_session()
        with session.exclusive(), session.saving.beside():
            yield session

    def use_session(self, session: Session | None) -> None:
        """Set the visit's own session, or none."""
        self._session = session

    def saving_note(self) -> str | None:
        """Wait until the last step is saved; return a note for the visitor if it could not be saved yet."""
        saving = self.session.saving
        return None if saving.wait() or not saving.autosave else NOT_SAVED

    @property
    def progress(self) -> UntilClosed:
        """Progress of long work for this visit, which is cancelled when the page closes."""
        return self._page.progress

    @property
    def available_projects(self) -> "dict[str, Project]":
        """The projects that this visitor may open."""
        return self._page.available_projects(self.token)

    def session_of(self, key: str) -> Session:
        """Return the session of another project that the visitor may open, for reading.

        Raises
        ------
        InputError
            The visitor may not open this project.
        """
        if key not in self.available_projects:
            raise InputError("this project is not open any more: choose another one")
        return self._page.shared_session(key)

    @property
    def files(self) -> PageFiles:
        """The files of the page."""
        return self._page.files

    @property
    def image_index(self) -> Mapping[str, int]:
        """Image id to row."""
        return self.session.workspace.image_index

    @property
    def concept_index(self) -> dict[str, int]:
        """Concept to column, concepts added in this visit included."""
        return self.cached(("concepts",), lambda: {c: k for k, c in enumerate(self.session.concepts)})

    def cached(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return a cached value of the current node of the history; make it if necessary."""
        reader = self._page.shared_reader(self)
        if reader is not self and not self.has_session:
            return reader.cached(key, make)
        node = self.session.node
        full = (node, *key)
        if (found := self._cache.find(full)) is not None:
            return found[0]
        value = make()
        if self.session.node == node:  # a concurrent step makes it unclear to which node the value belongs
            self._cache.put(full, (value,))
        return value

    def cached_for_node(self, node: str, make: Callable[[], T]) -> T:
        """Return a cached value of any node of the history; make it if necessary."""
        return self._page.cached_for_all((self.key, "node", self.token, node), make)

    def class_references(self) -> tuple[str, ...]:
        """Return the sources of actual classes; empty if the classes do not exclude each other."""
        return self.cached(("references",), lambda: references(self.session))

    def default_class(self) -> str:
        """Return the class with the most misaligned images, which new visitors see first."""
        return self.cached(("default class",), self._default_class)

    def _default_class(self) -> str:
        def misaligned(cls: str) -> int:
            counts = self.measured(cls)[0].counts
            return counts["missed"] + counts["extra"]

        return max(self.project.classes, key=misaligned)

    def measured(self, cls: str) -> "Measured":
        """Return metrics of a class and their 95 % intervals; cached for all visits with the same student."""
        session, state = self.session, self.session.state
        if session.workspace.students.link == "softmax":  # depends on the students of all classes
            return self.cached(("measured", cls), lambda: _measured(session, state, cls))
        one = state.classes[cls]
        overrides = tuple(sorted(one.overrides.items()))
        at = session.workspace.threshold(state, session.class_index(cls))
        key = (self.key, cls, hash(one.weights.tobytes()), one.bias, overrides, at)
        return self._page.cached_for_all(key, lambda: _measured(session, state, cls))

    def slices(self, cls: str) -> "list[Slice]":
        """Return the slices of a class."""
        return self.cached(("slices", cls), lambda: list(self.session.slices(cls)))

    def slice(self, cls: str, name: str) -> "Slice | None":
        """Return a slice by its id, or None."""
        return next((s for s in self.slices(cls) if slice_id(s) == name), None)

    def image_url(self, row: int) -> str:
        """Return the address of an image at full size."""
        return self.files.images.opened_image_url(self.project, row)

    def sheet_url(self, number: int, make: bool = False) -> str | None:
        """Return the address of a sheet of thumbnails; None if it does not exist yet and `make` is false."""
        return self.files.images.sheet_url(self.project, number, make)


def _measured(session: Session, state: "BranchState", cls: str) -> "Measured":
    metrics, intervals = metrics_with_intervals(session.workspace, state, cls)
    return metrics, {name: one.to_dict() for name, one in intervals.items()}


def slice_id(found: "Slice") -> str:
    """Return the id of a slice in links: its kind and its conditions."""
    return f"{found.kind}: {found.name}"
