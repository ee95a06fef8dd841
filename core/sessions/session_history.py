"""A place in a project's tree of steps: keep a step, go back, go anywhere, compare, name, save.

`Branch` knows how a step is kept and found again, `Session` which steps there are.
"""

import getpass
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from inficond.core.errors import InputError, StorageError, one_line
from inficond.core.history.node import Node
from inficond.core.history.store import MAIN, History
from inficond.core.history.tree import Remark, Tree
from inficond.core.sessions.project_context import code_version, shared_of
from inficond.core.sessions.session_queries import Reading
from inficond.core.tuning.actions import Action
from inficond.core.tuning.changes import changes
from inficond.core.tuning.preview import ClassChange, compare_states
from inficond.core.tuning.refit import TOLERANCE, Certificate
from inficond.core.tuning.state import BranchState

if TYPE_CHECKING:
    from inficond.core.project.project import Project

LONGEST_NOTE = 4000
"""Characters of a note."""


@dataclass(frozen=True, eq=False)
class TreeNode:
    """A node as a view shows it.

    Parameters
    ----------
    node : Node
        What was done.
    name, note : str
        What a person called it and wrote about it since.
    current : bool
        Whether the session stands here.
    on_path : bool
        Whether it is the current node or one of its ancestors.
    depth : int
        Steps from the root.
    """

    node: Node
    name: str
    note: str
    current: bool
    on_path: bool
    depth: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two nodes side by side; `before` is the first, `after` the second.

    Parameters
    ----------
    a, b : Node
        The nodes.
    classes : mapping from class to ClassChange
        Every class that differs: weights, metrics with intervals, images that changed sides.
    """

    a: Node
    b: Node
    classes: Mapping[str, ClassChange]


class Branch(Reading):
    """The tree side of a session; see `inficond.core.sessions.session.Session`."""

    def __init__(
        self,
        project: "Project",
        token: str | None = None,
        who: str | None = None,
        store: History | None = None,
    ) -> None:
        self.project = project
        self.shared = shared_of(project)
        self.token = token or secrets.token_urlsafe(12)
        self.persistent = self.token == MAIN
        self.who = who or (_user() if token is None or self.persistent else "visitor")
        self._store = store or self.shared.history
        self._lock = threading.RLock()
        self._tree = Tree(self.shared.root, self.workspace.root)
        self._described: set[str] = set()  # nodes that this session named or wrote about
        self._take_in(self.shared.history, MAIN)
        if token is not None and not self.persistent:
            if self._store.head(token) is None:
                raise InputError(
                    f"no session was saved under the token {token!r}: it may have expired; start a new one"
                )
            self._take_in(self._store, token)
        self.state: BranchState = self._tree.state(self._tree.current)
        self._began, self._size = self._tree.current, len(self._tree)

    def _take_in(self, history: History, owner: str) -> None:
        """Read an owner's nodes, remarks and position into the tree, all as of one moment."""
        with history.reading():
            nodes = history.nodes(owner, known=self._tree)
            remarks, head = history.remarks(owner), history.head(owner)
        C = self.workspace.students.n_classes
        if any(node.thresholds is not None and len(node.thresholds) != C for node in nodes):
            raise InputError(
                f"a step of {history.path} has not one threshold for each of the {C} classes: restore a copy"
            )
        for node in nodes:
            self._check(node, history)
        self._tree.add(map(self.shared.one_of, nodes))
        self._tree.remarks.update({n: Remark(*said) for n, said in remarks.items()})
        if owner == self.token:
            self._described |= remarks.keys()
        if head is not None:
            self._tree.current, self._tree.redo = self._tree[head[0]].id, list(head[1])

    def _check(self, node: Node, history: History) -> None:
        """Hold a node against the project: classes, columns and images that it speaks of are there."""
        w, words, added = self.workspace, self.workspace.concept_names, set(node.added)
        fits = node.dropped - words <= added and all(
            cls in w.root.classes
            and len(one.weights) == len(words) + len(node.added)
            and one.bounds.keys() - words <= added
            and one.overrides.keys() <= w.image_index.keys()
            for cls, one in node.changed.items()
        )
        if not fits:
            raise StorageError(
                f"node {node.id} of {history.path} does not fit this project: restore a copy of the history"
            )

    @property
    def changed(self) -> bool:
        """Whether there is anything that `save` would have to keep."""
        return self._tree.current != self._began or len(self._tree) > self._size

    @property
    def node(self) -> str:
        """The id of the node where the session stands."""
        return self._tree.current

    @property
    def current(self) -> Node:
        """The node where the session stands."""
        return self._tree[self._tree.current]

    def _commit(
        self,
        kind: str,
        state: BranchState,
        certificates: Mapping[str, Certificate],
        *,
        classes: Sequence[str] = (),
        actions: Sequence[Action] = (),
        focus: Mapping[str, Any] | None = None,
        detail: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> Node:
        """Make the node, write it where the session is persistent, and only then move."""
        old = self.state
        moved = {
            c: s
            for c, s in state.classes.items()
            if s is not old.classes[c] and not s.same_as(old.classes[c])
        }
        everywhere = self.workspace.students.link == "softmax" or state.thresholds != old.thresholds
        touched = list(state.classes) if everywhere else list({**moved, **dict.fromkeys(classes)})
        names = {id(s): (*self.workspace.students.concepts, *s.added) for s in (old, state)}
        node = Node(
            id="",
            parent=self.node,
            kind=kind,
            when=datetime.now(UTC).isoformat(timespec="milliseconds"),
            who=self.who,
            classes=tuple(classes),
            actions=tuple(actions),
            focus=focus,
            detail=dict(detail or {}),
            note=_writable(note),
            lam=state.lam,
            solver={
                "link": self.workspace.students.link,
                "tol": TOLERANCE,
                "fits": {c: certificate.to_json() for c, certificate in certificates.items()},
            },
            data=self.shared.data_hash,
            code=code_version(),
            before={c: _numbers(self._metrics(old, c).to_dict()) for c in touched},
            after={c: _numbers(self._metrics(state, c).to_dict()) for c in touched},
            weights=tuple(
                w
                for c, s in moved.items()
                for w in changes(c, names[id(old)], names[id(state)], old.classes[c], s)
            ),
            changed=moved,
            added=state.added,
            dropped=state.dropped,
        )
        node = replace(node, id=node.computed_id())
        if self.persistent:
            self._store.add(MAIN, [node], node.id)
        self._tree.add([node])
        self._go(node.id, [])
        return node

    # -- moving in the tree

    def undo(self) -> Node:
        """Back to the parent of the current node.

        Raises
        ------
        InputError
            Nothing was done yet.
        """
        with self._lock:
            parent = self.current.parent
            if parent is None:
                raise InputError("nothing to undo: this is the student as it was fitted")
            return self._move(parent, [*self._tree.redo, self.node])

    def redo(self) -> Node:
        """Forward to what was undone last.

        Raises
        ------
        InputError
            Nothing was undone since the last step.
        """
        with self._lock:
            if not self._tree.redo:
                raise InputError("nothing to redo")
            return self._move(self._tree.redo[-1], self._tree.redo[:-1])

    def checkout(self, node: str) -> Node:
        """Go to any node by id (or the beginning of it) or name; what is done next branches off there.

        Raises
        ------
        InputError
            No such node.
        """
        with self._lock:
            return self._move(self._tree[node].id, [])

    def _move(self, node: str, redo: list[str]) -> Node:
        if self.persistent:
            self._store.move(MAIN, node, redo)
        self._go(node, redo)
        return self._tree[node]

    def _go(self, node: str, redo: list[str]) -> None:
        state = self._tree.state(node)
        self._tree.current, self._tree.redo, self.state = node, redo, state

    @property
    def can_undo(self) -> bool:
        """Whether `undo` has somewhere to go."""
        return self.current.parent is not None

    @property
    def can_redo(self) -> bool:
        """Whether `redo` has somewhere to go."""
        return bool(self._tree.redo)

    def tree(self) -> list[TreeNode]:
        """All nodes that this session can go to, parents before children."""
        path = {self._tree.root.id, *(n.id for n in self._tree.path(self.node))}
        depth: dict[str, int] = {}
        out = []
        for node in self._tree:
            depth[node.id] = 0 if node.parent is None else depth[node.parent] + 1
            remark = self._tree.remarks.get(node.id, Remark())
            out.append(
                TreeNode(
                    node, remark.name, remark.note, node.id == self.node, node.id in path, depth[node.id]
                )
            )
        return out

    def find(self, node: str) -> Node:
        """A node by id, beginning of an id, or name."""
        return self._tree[node]

    def compare(self, a: str, b: str) -> Comparison:
        """Two nodes: weights, metrics with intervals, images that changed sides.

        Raises
        ------
        InputError
            No such node.
        """
        first, second = self._tree[a], self._tree[b]
        moved = compare_states(self.workspace, self._tree.state(first.id), self._tree.state(second.id))
        return Comparison(first, second, moved)

    def name(self, node: str, text: str) -> None:
        """Call a node something; an empty text takes the name away."""
        self._remark(node, name=one_line(text, 80))

    def annotate(self, node: str, text: str) -> None:
        """Write a note about a node."""
        self._remark(node, note=_writable(text))

    def _remark(self, node: str, **said: str) -> None:
        with self._lock:
            found = self._tree[node].id
            if said.get("name") and any(
                r.name == said["name"] and n != found for n, r in self._tree.remarks.items()
            ):
                raise InputError(f"another node is called {said['name']!r} already: choose another name")
            remark = replace(self._tree.remarks.get(found, Remark()), **said)
            if self.persistent:
                self._store.remark(MAIN, found, remark.name, remark.note)
            self._tree.remarks[found] = remark
            self._described.add(found)

    # -- keeping it

    def save(self) -> str:
        """Write the session's own nodes to the store, to be resumed by the token that is returned.

        Raises
        ------
        InputError
            The store cannot be written.
        """
        with self._lock:
            if not self.persistent:
                own = [n for n in self._tree if n.parent is not None]
                with self._store.writing():
                    self._store.add(self.token, own, self.node, self._tree.redo)
                    for node in self._described:
                        remark = self._tree.remarks[node]
                        self._store.remark(self.token, node, remark.name, remark.note)
            return self.token

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """For the project's own branch: go to where it stands now, and let nobody else write meanwhile."""
        if not self.persistent:
            yield
            return
        with self._lock, self._store.writing():
            self._take_in(self._store, MAIN)
            self._go(self._tree.current, self._tree.redo)
            yield


def _numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a metrics dict that belong in a history: no sentences."""
    return {k: v for k, v in metrics.items() if k not in ("notes", "threshold", "teacher_threshold", "anec5")}


def _writable(text: str) -> str:
    """A person's note, cut to what is kept; halves of surrogates, which no file takes, as question marks."""
    return str(text)[:LONGEST_NOTE].encode("utf-8", "replace").decode()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "someone"
