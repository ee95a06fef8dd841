"""What a session has changed since it was last saved."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inficond.core.history.node import Node
from inficond.core.history.tree import Remark


@dataclass(frozen=True, eq=False)
class Changes:
    """What a save writes.

    Parameters
    ----------
    nodes : sequence of Node
        Parents before children.
    remarks : mapping from node id to Remark
    position : tuple of str and list of str, or None
        Id of the current node and those of the undone nodes; None if it has not changed.
    """

    nodes: Sequence[Node]
    remarks: Mapping[str, Remark]
    position: tuple[str, list[str]] | None


class UnsavedChanges:
    """Nodes, remarks and position that the store does not contain yet.

    Any thread may note a change while another one saves: the lock is never held while a file is written.

    Examples
    --------
    >>> from inficond.core.sessions.unsaved_changes import UnsavedChanges
    >>> unsaved = UnsavedChanges()
    >>> unsaved.note(("3f2a", []))
    >>> changes = unsaved.copy()
    >>> unsaved.note(("9c01", []))
    >>> unsaved.remove(changes)
    >>> unsaved.copy().position
    ('9c01', [])
    """

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._remarks: dict[str, Remark] = {}
        self._position: tuple[str, list[str]] | None = None
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether there is anything to save."""
        return bool(self._position or self._nodes or self._remarks)

    def note(
        self,
        position: tuple[str, list[str]],
        nodes: Sequence[Node] = (),
        remarks: Mapping[str, Remark] | None = None,
    ) -> None:
        """Add a change: the position after it, new nodes, and new remarks by node id."""
        with self._lock:
            self._nodes += nodes
            self._position = position
            self._remarks.update(remarks or {})

    def copy(self) -> Changes:
        """Return the changes so far; they stay noted until `remove`."""
        with self._lock:
            return Changes(list(self._nodes), dict(self._remarks), self._position)

    def remove(self, saved: Changes) -> None:
        """Remove changes of `copy` that were saved; what was noted since then stays."""
        with self._lock:
            del self._nodes[: len(saved.nodes)]
            self._remarks = {n: r for n, r in self._remarks.items() if saved.remarks.get(n) is not r}
            if self._position is saved.position:
                self._position = None
