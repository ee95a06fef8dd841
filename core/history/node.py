"""Nodes of a history: immutable records of steps with their effect.

A node's id is a hash of its content, including its parent's id, so changes to a history are detected.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from inficond.core.tuning.actions import Action, spell
from inficond.core.tuning.changes import WeightChange
from inficond.core.tuning.state import ClassState

KINDS = ("root", "tune", "add", "drop", "override", "lambda", "threshold", "exam")


def check_node(node: "Node") -> None:
    """Validate the field types of a node that was read from a file.

    Raises
    ------
    ValueError
        A field has another type, or a value out of range.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.history.node import check_node
    >>> session = Project.open(demo_project()).session()
    >>> check_node(session.drop_concept("fish"))  # raises ValueError if a field is wrong
    """
    named = (node.id, node.parent, node.when, node.who, node.note, node.data, node.code, *node.classes)
    if not all(isinstance(text, str) for text in (*named, *node.added, *node.dropped)):
        raise ValueError("a name is not text")
    if node.kind not in KINDS[1:] or not 0 < node.lam < np.inf:
        raise ValueError(f"its kind is {node.kind!r:.40} and its λ {node.lam!r:.40}")
    sections = (
        node.detail,
        node.solver,
        node.before,
        node.after,
        *node.before.values(),
        *node.after.values(),
    )
    if not all(isinstance(section, Mapping) for section in sections):
        raise ValueError("a section is not an object")
    if not (node.focus is None or isinstance(node.focus, Mapping)):
        raise ValueError("its focus is not an object")
    if not all(isinstance(w.cls, str) and isinstance(w.concept, str) for w in node.weights):
        raise ValueError("a weight has no name")
    if node.thresholds is not None and not all(0 <= at <= 1 for at in node.thresholds):
        raise ValueError("a threshold is not a probability")
    str(node.title)  # raises where a part of it is missing


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Node:
    """A step, and the states of the classes that it changed.

    Parameters
    ----------
    id : str
        12 hexadecimal digits; for the root a hash of the project's data.
    parent : str or None
        None for the root.
    kind : str
        ``root``, ``tune``, ``add`` (a concept), ``drop`` (a concept), ``override`` (of the teacher),
        ``lambda``, ``threshold`` or ``exam``, which changes no student.
    when : str
        UTC, ISO 8601.
    who : str
        Name of the person or program.
    classes : tuple of str
        Classes of the step.
    actions : tuple of Action
        As given, with groups as ``group:NAME``; only for ``tune``.
    focus : mapping or None
        ``label``, ``factor``, ``size`` and, for a list of images, ``images``.
    detail : mapping
        ``concept`` for ``add`` and ``drop``; ``renamed`` and ``label``, the old and the new name, for an
        ``add`` that renames a concept; ``shown`` and ``not_shown``, its examples, for an ``add`` of a concept
        by example; ``images`` and ``value`` for ``override``; ``lam`` for ``lambda``; for ``threshold`` the
        request as ``at`` and the resulting ``thresholds``; for ``exam`` the figures of
        `inficond.core.sessions.exam.exam_figures`.
    note : str
        Remark of the person.
    lam : float
        λ of the fit.
    solver : mapping
        ``link``, ``tol``, and per class that was refitted ``gap``, ``iterations``, ``converged``.
    data, code : str
        Hash of the project's arrays; version and source hash of the program.
    before, after : mapping from class to mapping from metric to float
        Metrics on validation images of the classes that changed.
    weights : tuple of WeightChange
        Changed weights.
    changed : mapping from class to ClassState
        States of the changed classes after the step.
    added : tuple of str
        Words added on the branch up to this step.
    dropped : frozenset of str
        Concepts dropped on the branch up to this step.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> node = session.drop_concept("fish", note="not in the pictures")
    >>> node.kind, node.title, node.detail, node.parent == session.tree()[0].node.id
    ('drop', 'drop concept fish', {'concept': 'fish'}, True)
    """

    id: str
    parent: str | None
    kind: str
    when: str
    who: str
    classes: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    focus: Mapping[str, Any] | None = None
    detail: Mapping[str, Any] = field(default_factory=_nothing)
    note: str = ""
    lam: float = 0.0
    solver: Mapping[str, Any] = field(default_factory=_nothing)
    data: str = ""
    code: str = ""
    before: Mapping[str, Mapping[str, float]] = field(default_factory=_nothing)
    after: Mapping[str, Mapping[str, float]] = field(default_factory=_nothing)
    weights: tuple[WeightChange, ...] = ()
    changed: Mapping[str, ClassState] = field(default_factory=_nothing, repr=False)
    added: tuple[str, ...] = ()
    dropped: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """Description of the step in one line."""
        where = ", ".join(self.classes)
        if self.kind == "root":
            return "as fitted"
        if self.kind == "tune":
            focus = f", focus on {self.focus['label']}" if self.focus else ""
            return f"{where}: {spell(self.actions)}{focus}"
        if self.kind == "override":
            n = len(self.detail["images"])
            value = self.detail["value"]
            said = "the teacher again" if value is None else f"{value:g}"
            return f"{where}: teacher overridden by {said} in {n} image{'s' if n != 1 else ''}"
        if self.kind == "lambda":
            return f"λ = {self.detail['lam']:g}"
        if self.kind == "threshold":
            at = self.detail["at"]
            said = "thresholds at the teacher's rate" if at == "matched" else f"thresholds = {at:g}"
            if "without_yes" not in self.detail:
                return said
            before, after = self.detail["without_yes"]
            return f"{said}; no class says yes: {before:.0%} → {after:.0%}"
        if self.kind == "exam":
            return f"exam {self.detail['number']:d} on {self.detail['images']:,} locked images"
        if "renamed" in self.detail:
            return f"rename {self.detail['renamed']} to {self.detail['label']}"
        return f"{self.kind} concept {self.detail['concept']}"

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """Thresholds of all classes from this step on; None if the step is of another kind."""
        return tuple(self.detail["thresholds"]) if self.kind == "threshold" else None

    def to_json(self, states: bool = False) -> dict[str, Any]:
        """Return plain JSON; with `states`, also the weights in hexadecimal, as needed to compute the id."""
        data: dict[str, Any] = {
            "id": self.id,
            "parent": self.parent,
            "kind": self.kind,
            "title": self.title,
            "when": self.when,
            "who": self.who,
            "classes": list(self.classes),
            "actions": [a.to_json() for a in self.actions],
            "focus": dict(self.focus) if self.focus else None,
            "detail": dict(self.detail),
            "note": self.note,
            "lam": self.lam,
            "solver": dict(self.solver),
            "data": self.data,
            "code": self.code,
            "before": {c: dict(m) for c, m in self.before.items()},
            "after": {c: dict(m) for c, m in self.after.items()},
            "weights": [[w.cls, w.concept, w.before, w.after] for w in self.weights],
            "added": list(self.added),
            "dropped": sorted(self.dropped),
        }
        if states:
            data["states"] = {
                c: {
                    "weights": s.weights.tobytes().hex(),
                    "bias": np.float64(s.bias).tobytes().hex(),
                    "bounds": {k: b.to_json() for k, b in sorted(s.bounds.items())},
                    "focus": None
                    if s.focus is None
                    else [s.focus.label, s.focus.factor, s.focus.packed.hex()],
                    "overrides": dict(sorted(s.overrides.items())),
                }
                for c, s in sorted(self.changed.items())
            }
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any], changed: Mapping[str, ClassState]) -> "Node":
        """Return the node of plain JSON and states."""
        return cls(
            id=data["id"],
            parent=data["parent"],
            kind=data["kind"],
            when=data["when"],
            who=data["who"],
            classes=tuple(data["classes"]),
            actions=tuple(Action.from_json(a) for a in data["actions"]),
            focus=data["focus"],
            detail=data["detail"],
            note=data["note"],
            lam=data["lam"],
            solver=data["solver"],
            data=data["data"],
            code=data["code"],
            before=data["before"],
            after=data["after"],
            weights=tuple(WeightChange(*w) for w in data["weights"]),
            changed=changed,
            added=tuple(data["added"]),
            dropped=frozenset(data["dropped"]),
        )

    def computed_id(self) -> str:
        """Return the hash of the node's content without its id."""
        said = self.to_json(states=True)
        del said["id"], said["title"]
        text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
