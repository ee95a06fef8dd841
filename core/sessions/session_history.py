"""A session's position in the project's tree of steps: commit, undo, redo, check out, compare."""

import getpass
import hashlib
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from inficond.core.errors import InputError, StorageError, one_line
from inficond.core.history.node import Node
from inficond.core.history.store import MAIN, VISITOR, History
from inficond.core.history.tree import Remark, Tree
from inficond.core.sessions.node_validation import check_node, check_thresholds
from inficond.core.sessions.project_context import ProjectContext, code_version
from inficond.core.sessions.session_saving import SessionSaving
from inficond.core.sessions.shown_concepts import check_examples
from inficond.core.sessions.step_changes import step_changes
from inficond.core.tuning.actions import Action
from inficond.core.tuning.preview import ClassChange, compare_states
from inficond.core.tuning.refit import TOLERANCE, Certificate
from inficond.core.tuning.state import BranchState

NOTE_LIMIT = 4000
"""Characters of a note; the rest is cut off."""
NAME_LIMIT = 80
"""Characters of a node's name; the middle of a longer one is left out."""


@dataclass(frozen=True, eq=False)
class TreeNode:
    """A node and its place in the tree, as a view shows it.

    Parameters
    ----------
    node : Node
    name, note : str
        Given to the node by a person since; empty if none.
    current : bool
        Whether the session is at this node.
    on_path : bool
        Whether it is the current node or one of its ancestors.
    depth : int
        Steps from the root.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> entry = Project.open(demo_project()).session().tree()[0]
    >>> entry.node.kind, entry.depth, entry.current, entry.on_path
    ('root', 0, True, True)
    """

    node: Node
    name: str
    note: str
    current: bool
    on_path: bool
    depth: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Differences between two nodes.

    Parameters
    ----------
    a, b : Node
        The first and the second node; changes are from `a` to `b`.
    classes : mapping from class to ClassChange
        Every class that differs: weights, metrics with intervals, images that changed subset.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> start = session.node
    >>> compared = session.compare(start, session.drop_concept("fish").id)
    >>> compared.b.kind, compared.classes["water bird"].weights[0].concept
    ('drop', 'fish')
    """

    a: Node
    b: Node
    classes: Mapping[str, ClassChange]


class SessionHistory:
    """A session's position in the tree of steps, and its nodes.

    Parameters
    ----------
    context : ProjectContext
    token : str, optional
        ``main``: the project's own history, in which every step is written to disk at once. The token of a
        saved session resumes it. None: a new session with a random token.
    who : str, optional
        Author written into every node; the user's name by default, ``visitor`` for sessions with a token.
    store : History, optional
        Where the session is saved; the project's history file by default.
    new : bool
        Begin a new session under `token` instead of resuming a saved one.

    Attributes
    ----------
    token : str
    persistent : bool
        Whether this is the project's own history.
    lock : RLock
        Held during each step.
    state : BranchState
        Weights, bounds, focus and overrides at the current node.
    saving : SessionSaving
    read_only : bool
        Whether steps are refused: several visitors read the session.
    max_steps : float
        Steps that the session may have besides those of the project's own history.

    Raises
    ------
    InputError
        No session was saved under the token, or the history cannot be read.

    Examples
    --------
    `Session` has most of these methods too. The examples of the methods use this session.

    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> session = project.session()
    >>> session.history.node == session.node, session.history.path()
    (True, [])
    """

    def __init__(
        self,
        context: ProjectContext,
        token: str | None = None,
        who: str | None = None,
        store: History | None = None,
        new: bool = False,
    ) -> None:
        self._context, self._workspace = context, context.workspace
        self.token = token or secrets.token_urlsafe(12)
        self.persistent = self.token == MAIN
        self.who = who or (_user() if token is None or self.persistent else VISITOR)
        self.lock = threading.RLock()
        self._store = store or context.history_store
        self._tree = Tree(context.root, self._workspace.root)
        self.saving = SessionSaving(self._store, self.token, self._tree, self.lock)
        self.read_only = False
        self.max_steps = float("inf")
        self._read(context.history_store, MAIN)
        self._shared = len(self._tree)
        if token is not None and not self.persistent and not new:
            if self._store.head(token) is None:
                raise InputError(
                    f"no session is saved under the token {token!r}: it may have expired; start a new one"
                )
            self._read(self._store, token)
        self.state: BranchState = self._tree.state(self._tree.current)

    def _read(self, history: History, owner: str) -> None:
        """Read an owner's nodes, remarks and position in one transaction."""
        with history.reading():
            nodes = history.nodes(owner, known=self._tree)
            remarks, head = history.remarks(owner), history.head(owner)
        check_thresholds(nodes, self._workspace, history.path)
        for node in nodes:
            check_node(node, self._workspace, history.path)
            self._define(node, history, owner)
        self._tree.add(map(self._context.intern_node, nodes))
        self._tree.remarks.update({n: Remark(*fields) for n, fields in remarks.items()})
        if owner == self.token:
            self.saving.saved = True
        if head is not None:
            self._tree.current, self._tree.redo = self._tree[head[0]].id, list(head[1])

    def _define(self, node: Node, history: History, owner: str) -> None:
        """Define the concept by example that a node added."""
        if node.kind != "add" or "shown" not in node.detail:
            return
        try:
            shown, other = (check_examples(node.detail.get(key) or []) for key in ("shown", "not_shown"))
            user = None if history is self._context.history_store and owner == MAIN else self
            self._context.words.define(str(node.detail["concept"]), shown, other, user)
        except InputError as error:
            raise StorageError(f"{history.path}: node {node.id}: {error}") from None

    @property
    def step_count(self) -> int:
        """Number of nodes besides those of the project's own history."""
        return len(self._tree) - self._shared

    @property
    def node(self) -> str:
        """The id of the current node."""
        return self._tree.current

    @property
    def current(self) -> Node:
        """The current node."""
        return self._tree[self._tree.current]

    def exams_taken(self) -> int:
        """Return the number of exams of this session and of the project's own sessions.

        Those in visits of other visitors are left out: a visit must not change what others see.
        """
        own = {node.id for node in self._tree if node.kind == "exam"}
        return len(own | self._context.history_store.exams() | self._store.exams())

    @property
    def redo_nodes(self) -> tuple[str, ...]:
        """Ids of the undone nodes; `redo` goes to the last one."""
        return tuple(self._tree.redo)

    def commit(
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
        """Add a node below the current one and move to it; a persistent session writes it to disk first.

        Parameters
        ----------
        kind : str
            Of the step, e.g. ``tune``; see `Node`.
        state : BranchState
            After the step.
        certificates : mapping from class to Certificate
            Of the classes that were refitted.
        classes, actions, focus, detail, note
            Written into the node.

        Returns
        -------
        Node
            The new node.

        Raises
        ------
        InputError
            The session has `max_steps` steps already.
        StorageError
            The history file cannot be written; the session stays where it was.
        """
        self._check_writable()
        if self.step_count >= self.max_steps:
            raise InputError(
                f"this visit has {self.step_count:,} steps and cannot have more: save a recipe, and "
                "replay it in a new visit"
            )
        old, w = self.state, self._workspace
        found = step_changes(w, old, state, kind, classes)
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
            note=_storable(note),
            lam=state.lam,
            solver={
                "link": w.students.link,
                "tol": TOLERANCE,
                "fits": {c: certificate.to_json() for c, certificate in certificates.items()},
            },
            data=self._context.data_hash,
            code=code_version(),
            before=found.before,
            after=found.after,
            weights=found.weights,
            changed=found.classes,
            added=state.added,
            dropped=state.dropped,
        )
        node = replace(node, id=node.computed_id())
        if self.persistent:
            self._store.add(MAIN, [node], node.id)
        self._tree.add([node])
        self._go(node.id, [])
        self.saving.note([node])
        return node

    # -- moving in the tree

    def undo(self) -> Node:
        """Go to the parent of the current node.

        Raises
        ------
        InputError
            The current node is the root.

        Examples
        --------
        >>> node = session.drop_concept("fish")
        >>> session.undo().kind, session.dropped
        ('root', frozenset())
        """
        with self.lock:
            parent = self.current.parent
            if parent is None:
                raise InputError("nothing to undo: this is the student as it was fitted")
            return self._move(parent, [*self._tree.redo, self.node])

    def redo(self) -> Node:
        """Go to the node that was undone last.

        Raises
        ------
        InputError
            Nothing was undone since the last step.

        Examples
        --------
        >>> node = session.drop_concept("fish")
        >>> before = session.undo()
        >>> session.redo() == node
        True
        """
        with self.lock:
            if not self._tree.redo:
                raise InputError("nothing to redo")
            return self._move(self._tree.redo[-1], self._tree.redo[:-1])

    def checkout(self, node: str) -> Node:
        """Go to any node; later steps branch off there.

        Parameters
        ----------
        node : str
            Its id, the beginning of its id, or its name.

        Returns
        -------
        Node
            The current node.

        Raises
        ------
        InputError
            No such node.

        Examples
        --------
        >>> node = session.drop_concept("fish")
        >>> session.name(session.tree()[0].node.id, "as fitted")
        >>> session.checkout("as fitted").kind
        'root'
        """
        with self.lock:
            return self._move(self._tree[node].id, [])

    def _check_writable(self) -> None:
        if self.read_only:
            raise RuntimeError("several visitors read this session, so it takes no steps")

    def _move(self, node: str, redo: list[str]) -> Node:
        self._check_writable()
        if self.persistent:
            self._store.move(MAIN, node, redo)
        self._go(node, redo)
        self.saving.note()
        return self._tree[node]

    def _go(self, node: str, redo: list[str]) -> None:
        state = self._tree.state(node)
        self._tree.current, self._tree.redo, self.state = node, redo, state

    @property
    def can_undo(self) -> bool:
        """Whether the current node has a parent."""
        return self.current.parent is not None

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone since the last step."""
        return bool(self._tree.redo)

    # -- reading the tree

    def tree(self) -> list[TreeNode]:
        """Return all nodes that the session can go to, parents before children.

        Examples
        --------
        >>> node = session.drop_concept("fish")
        >>> [(entry.node.kind, entry.depth, entry.current) for entry in session.tree()]
        [('root', 0, False), ('drop', 1, True)]
        """
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

    def path(self) -> list[Node]:
        """Return the steps from the root, which is left out, to the current node."""
        return self._tree.path(self.node)

    def find(self, node: str) -> Node:
        """Return a node by id, beginning of an id, or name.

        Examples
        --------
        >>> session.name(session.node, "start")
        >>> session.find("start").kind
        'root'
        """
        return self._tree[node]

    def state_at(self, node: str) -> BranchState:
        """Return the state at a node, given as for `find`."""
        return self._tree.state(self._tree[node].id)

    def compare(self, a: str, b: str) -> Comparison:
        """Compare two nodes: weights, metrics with intervals, images that changed subset.

        Raises
        ------
        InputError
            No such node.

        Examples
        --------
        >>> start = session.node
        >>> node = session.apply("water bird", {"kind": "mute", "concept": "group:water"})
        >>> change = session.compare(start, node.id).classes["water bird"]
        >>> change.before["extra"], change.after["extra"]
        (60, 33)
        """
        first, second = self._tree[a], self._tree[b]
        moved = compare_states(self._workspace, self._tree.state(first.id), self._tree.state(second.id))
        return Comparison(first, second, moved)

    # -- names and notes

    def name(self, node: str, text: str) -> None:
        """Name a node; an empty text removes the name.

        Examples
        --------
        >>> node = session.drop_concept("fish")
        >>> session.name(node.id, "without fish")
        >>> session.find("without fish") == node
        True
        """
        self._remark(node, name=one_line(text, NAME_LIMIT))

    def annotate(self, node: str, text: str) -> None:
        """Write a note about a node.

        Examples
        --------
        >>> session.annotate(session.node, "as fitted")
        >>> session.tree()[0].note
        'as fitted'
        """
        self._remark(node, note=_storable(text))

    def _remark(self, node: str, **fields: str) -> None:
        self._check_writable()
        with self.lock:
            found = self._tree[node].id
            if fields.get("name") and any(
                r.name == fields["name"] and n != found for n, r in self._tree.remarks.items()
            ):
                raise InputError(f"another node is named {fields['name']!r} already: choose another name")
            remark = replace(self._tree.remarks.get(found, Remark()), **fields)
            if self.persistent:
                self._store.remark(MAIN, found, remark.name, remark.note)
            self._tree.remarks[found] = remark
            self.saving.note(remark=found)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock the project's own history and go to its current node; no effect for other sessions.

        Examples
        --------
        >>> with session.exclusive():  # no other process moves the project's own history meanwhile
        ...     node = session.drop_concept("fish")
        >>> node.kind
        'drop'
        """
        if not self.persistent:
            yield
            return
        with self.lock, self._store.writing():
            self._read(self._store, MAIN)
            self._go(self._tree.current, self._tree.redo)
            yield

    def refresh(self) -> bool:
        """Read what other processes wrote to the project's own history, and go to its current node.

        Nothing is read during a step, and nothing for other sessions.

        Returns
        -------
        bool
            Whether the position, the steps or their names changed.

        Raises
        ------
        StorageError
            The history file is damaged.
        """
        if not self.persistent or not self.lock.acquire(blocking=False):
            return False
        try:
            before = self.revision
            with self._store.reading():
                head = self._store.head(MAIN)
                if head is None or (*head, self._store.remarks(MAIN)) == self._stored_position():
                    return False
                self._read(self._store, MAIN)
            self._go(self._tree.current, self._tree.redo)
            return self.revision != before
        finally:
            self.lock.release()

    def _stored_position(self) -> tuple[str, list[str], dict[str, tuple[str, str]]]:
        remarks = {n: (r.name, r.note) for n, r in self._tree.remarks.items()}
        return self._tree.current, list(self._tree.redo), remarks

    @property
    def revision(self) -> str:
        """Text that changes with the position, the number of steps, and every name and note."""
        return hashlib.sha256(repr((len(self._tree), *self._stored_position())).encode()).hexdigest()[:16]


def _storable(text: str) -> str:
    """Return a note cut to `NOTE_LIMIT`, unpaired surrogates replaced: UTF-8 cannot encode them."""
    return str(text)[:NOTE_LIMIT].encode("utf-8", "replace").decode()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "someone"
