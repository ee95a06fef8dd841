"""Saving of a session's steps: after each step, beside other work, or when asked."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from inficond.core.errors import StorageError
from inficond.core.history.database import WRITE_SECONDS, busy
from inficond.core.history.node import Node
from inficond.core.history.store import MAIN, History
from inficond.core.history.tree import Tree
from inficond.core.sessions.saver import Saver
from inficond.core.sessions.unsaved_changes import UnsavedChanges

AUTOSAVE_SECONDS = 2.0
"""Seconds for which saving a step waits for a lock."""
log = logging.getLogger(__name__)


class SessionSaving:
    """The changes of a session that are not saved yet, and where they are saved.

    Every step of the project's own history is written to disk at once, so nothing of it is left to save.

    Parameters
    ----------
    store : History
    token : str
        Of the session.
    tree : Tree
        Of the session: its position and remarks.
    lock : RLock
        Held during each step of the session.

    Attributes
    ----------
    saved : bool
        Whether the store holds the session, maybe as it was some steps ago.
    autosave : bool
        Whether the session is saved after each step.

    Examples
    --------
    The examples of the methods use this session.

    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> session.saving.saved, session.saving.changed
    (False, False)
    """

    def __init__(self, store: History, token: str, tree: Tree, lock: threading.RLock) -> None:
        self._store, self._token, self._tree, self._lock = store, token, tree, lock
        self.saved = self.autosave = False
        self._unsaved = UnsavedChanges()
        self._busy = threading.Lock()  # held by the thread that saves
        self._deferred = 0  # blocks of `beside` that have not ended
        self._saver: Saver | None = None

    @property
    def changed(self) -> bool:
        """Whether there is anything to save."""
        return bool(self._unsaved)

    def note(self, nodes: Sequence[Node] = (), remark: str | None = None) -> None:
        """Note new nodes, the node of a new remark, and the position; save them now where `autosave` is set.

        A step that cannot be saved now stays in memory and is saved with the next one.
        """
        if self._token == MAIN:
            return
        remarks = {} if remark is None else {remark: self._tree.remarks[remark]}
        self._unsaved.note(self._position(), nodes, remarks)
        if self.autosave and not self._deferred:
            self._autosave()

    def _autosave(self) -> None:
        try:
            self.save(AUTOSAVE_SECONDS)
        except StorageError as error:
            log.warning("a step is not saved yet: %s", error)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Save the steps of the block in a thread that starts at its end, where `autosave` is set.

        The disk works while the caller continues. `wait` awaits the thread.

        Examples
        --------
        >>> with session.saving.beside():
        ...     node = session.drop_concept("fish")
        >>> session.saving.autosave, session.changed
        (False, True)
        """
        with self._lock:
            self._deferred += 1
        try:
            yield
        finally:
            with self._lock:
                self._deferred -= 1
                if self.autosave and self.changed:
                    self._saver = Saver(self._autosave)
                    self._saver.start()

    def wait(self) -> bool:
        """Wait until the thread of `beside` has ended; return whether nothing is left to save.

        Examples
        --------
        >>> session.saving.wait()
        True
        >>> node = session.drop_concept("fish")
        >>> session.saving.wait()
        False
        """
        saver = self._saver
        if saver is not None:
            saver.wait()
        return not self.changed

    def save(self, wait: float = WRITE_SECONDS) -> str:
        """Write to the store what changed since the session was last saved.

        Parameters
        ----------
        wait : float
            Seconds after which a lock of another process raises `StorageBusy`.

        Returns
        -------
        str
            The token that resumes the session.

        Raises
        ------
        InputError
            The store cannot be written.

        Examples
        --------
        >>> import shutil
        >>> copy = Project.open(shutil.copytree(demo_project(), "copy"))
        >>> session = copy.session()
        >>> node = session.drop_concept("fish")
        >>> token = session.save()
        >>> copy.session(token).dropped
        frozenset({'fish'})
        """
        if self._token == MAIN:
            return self._token
        if not self._busy.acquire(timeout=wait):
            raise busy(self._store.path, wait)
        try:
            unsaved = self._unsaved.copy()
            position = unsaved.position or self._position()
            with self._store.writing(wait):
                self._store.add(self._token, unsaved.nodes, *position)
                for node, remark in unsaved.remarks.items():
                    self._store.remark(self._token, node, remark.name, remark.note)
            self.saved = True
            self._unsaved.remove(unsaved)
        finally:
            self._busy.release()
        return self._token

    def _position(self) -> tuple[str, list[str]]:
        return self._tree.current, list(self._tree.redo)
