"""Repair of a shortcut: the action, among those of the project, that lowers the class's error most."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inficond.core.audit.class_data import ClassData, Feature, Float64, balanced_error
from inficond.core.audit.findings import Shortcut, within_slopes
from inficond.core.audit.properties import ImageProperties
from inficond.core.errors import InputError
from inficond.core.history.node import Node
from inficond.core.sessions.session import Session
from inficond.core.tuning.actions import GROUP_PREFIX, Action, spell
from inficond.core.tuning.overrides import checked_overrides, merged
from inficond.core.tuning.refit import refit
from inficond.core.tuning.state import BranchState

RELATED = 0.5
"""Correlation over the training images from which an unused concept would replace a muted one."""
BUNDLE = 12
"""Concepts of a step, at most."""
LOWERED = 3.0
"""Strength by which the leading concept is lowered below zero, so that it cancels what others carry."""
CARRIED = 0.8
"""Share of the dependence on a property that the concepts of a step carry."""
VIOLATING = 0.1
"""Share of the training images of either side that a focus selects: those that contradict it most."""
LEAST_FOCUS = 4


@dataclass(frozen=True, eq=False)
class Repair:
    """A step that lowers the error of a class.

    Parameters
    ----------
    actions : tuple of Action
    focus : tuple of str
        Training images that the refit emphasises; empty without a focus.
    overrides : tuple of str
        Training images whose label replaces the teacher's response; there are no actions then.
    value : float
        The label of these images.
    before, after : float
        Balanced error on the tune part.
    fixed, broken : (m,) int
        Rows of the images that become right, and wrong.
    """

    actions: tuple[Action, ...]
    focus: tuple[str, ...]
    overrides: tuple[str, ...]
    value: float
    before: float
    after: float
    fixed: NDArray[np.intp] = field(repr=False)
    broken: NDArray[np.intp] = field(repr=False)

    @property
    def text(self) -> str:
        """One line."""
        if self.overrides:
            said = "yes" if self.value >= 0.5 else "no"
            return f"override the teacher with the label {said} for {len(self.overrides)} training images"
        more = f", with a focus on {len(self.focus)} training images" if self.focus else ""
        return f"{spell(self.actions)}{more}"


def find_repair(
    session: Session,
    data: ClassData,
    shortcut: Shortcut,
    properties: ImageProperties | None,
    teacher_fault: bool = False,
) -> Repair | None:
    """Return the step that repairs a shortcut best; None if no step lowers the error.

    Candidates mute the concepts of the finding, those that carry it, and their group; each also with a focus
    on the training images that contradict the shortcut. Where the teacher is at fault, the training images
    with the feature whose label differs get their label. All are refitted; the error is on the tune part.

    Parameters
    ----------
    session : Session
    data : ClassData
    shortcut : Shortcut
    properties : ImageProperties or None
        For a shortcut by a property.
    teacher_fault : bool
        Whether the teacher is wrong on the images of the finding.

    Returns
    -------
    Repair or None
    """
    if not session.workspace.training_rows.size:
        return None
    focus = _contradicting(session, data.cls, shortcut, properties)
    best: Repair | None = None
    for actions in _candidates(session, data, shortcut):
        for images in ((), focus) if focus else ((),):
            made = _tried(session, data, actions, images)
            if made is not None and (best is None or made.after < best.after - 1e-12):
                best = made
    if teacher_fault:
        for value in (0.0, 1.0):
            made = _overridden(session, data, shortcut, properties, value)
            if made is not None and (best is None or made.after < best.after - 1e-12):
                best = made
    if best is None or best.after >= best.before or not _clear(len(best.fixed), len(best.broken)):
        return None
    return best


def _clear(fixed: int, broken: int) -> bool:
    """Return whether more images are fixed than broken beyond chance (McNemar's test, one-sided, 5 %)."""
    return fixed - broken > 1.645 * float(np.sqrt(fixed + broken))


def _candidates(session: Session, data: ClassData, shortcut: Shortcut) -> list[tuple[Action, ...]]:
    """Return the steps to try."""
    state = session.state
    columns = session.workspace.columns(state.added)
    weights = state.classes[data.cls].weights
    held = set(state.classes[data.cls].bounds) | set(state.dropped)
    features = [shortcut.feature, *shortcut.members]
    named = [f.column for f in features if f.kind == "concept" and f.name not in held]
    carriers = _carriers(data, shortcut, weights, held)
    sets = [named[:1], [k for k in named if weights[k] != 0], named, carriers]
    for used in (carriers, [k for k in named if weights[k] != 0]):
        sets.append([*used, *_replacing(session, used, held)])
    sets.append([*carriers, *[k for k in named if k not in carriers]])
    found: dict[tuple[str, ...], tuple[Action, ...]] = {}
    for ks in sets:
        names = tuple(columns.names[k] for k in dict.fromkeys(ks))[:BUNDLE]
        if names:
            found[tuple(sorted(names))] = tuple(Action("mute", name) for name in names)
    kind = "down" if shortcut.follows > 0 else "up"
    for k in named[:1]:
        found[(kind, columns.names[k])] = (Action(kind, columns.names[k], LOWERED),)
    groups = [columns.groups[k] for k in dict.fromkeys([*named[:4], *carriers[:4]])]
    for group in sorted({g for g in groups if groups.count(g) > 1}):
        members = [n for n, g in zip(columns.names, columns.groups) if g == group and n not in state.dropped]
        if not held & set(members):
            found[("group", group)] = (Action("mute", GROUP_PREFIX + group),)
    return list(found.values())


def _carriers(data: ClassData, shortcut: Shortcut, weights: NDArray[np.float32], held: set[str]) -> list[int]:
    """Return the used concepts through which the logit follows the feature, the largest part first."""
    at = data.features.index(shortcut.feature)
    parts = []
    for j, feature in enumerate(data.features):
        if feature.kind == "concept" and weights[feature.column] != 0 and feature.name not in held:
            slope = within_slopes(data, data.values[:, [at]], data.values[:, j])[0]
            parts.append((float(weights[feature.column]) * slope * np.sign(shortcut.follows), feature.column))
    parts = sorted((part for part in parts if part[0] > 0), reverse=True)
    total, kept = sum(part[0] for part in parts), []
    for share, column in parts[:BUNDLE]:
        kept.append(column)
        total -= share
        if total <= (1 - CARRIED) * sum(part[0] for part in parts):
            break
    return kept


def _replacing(session: Session, used: Sequence[int], held: set[str]) -> list[int]:
    """Return unused concepts that would replace muted ones."""
    if not used:
        return []
    state = session.state
    names = session.workspace.columns(state.added).names
    related = session.workspace.correlations(state.added, tuple(used)).max(axis=0)
    order = np.argsort(-related)[: 3 * BUNDLE].tolist()
    return [k for k in order if related[k] >= RELATED and k not in used and names[k] not in held]


def _contradicting(
    session: Session, cls: str, shortcut: Shortcut, properties: ImageProperties | None
) -> tuple[str, ...]:
    """Return the training images that contradict a shortcut most."""
    workspace, state = session.workspace, session.state
    x = training_values(session, shortcut.feature, properties)
    if x is None:
        return ()
    t = workspace.targets(state, "training")[:, session.class_index(cls)] >= 0.5
    along = x * (1.0 if shortcut.follows > 0 else -1.0)
    chosen = []
    for side, order in ((t, along), (~t, -along)):
        rows = np.flatnonzero(side)
        count = max(1, round(VIOLATING * len(rows)))
        chosen += rows[np.argsort(order[rows], kind="stable")[:count]].tolist()
    if len(chosen) < LEAST_FOCUS:
        return ()
    rows = workspace.training_rows[np.sort(np.array(chosen, np.intp))]
    return tuple(str(workspace.image_ids[row]) for row in rows.tolist())


def training_values(session: Session, feature: Feature, properties: ImageProperties | None) -> Float64 | None:
    """Return the values of a feature on the training images, (n,); None where they are not known."""
    workspace = session.workspace
    if feature.kind == "concept":
        return workspace.columns(session.state.added).training[:, feature.column].astype(np.float64)
    if feature.kind == "property" and properties is not None:
        values = properties.values[workspace.training_rows, feature.column].astype(np.float64)
        return np.where(np.isfinite(values), values, np.nanmean(values))
    return None


def _tried(
    session: Session, data: ClassData, actions: tuple[Action, ...], focus: tuple[str, ...]
) -> Repair | None:
    """Refit with a step and count the answers that change."""
    try:
        state = session.refitted(data.cls, actions, list(focus) or None)
    except InputError:  # a bound of an earlier step contradicts it
        return None
    said = _said(session, state, data)
    return _repair(data, said, actions, focus)


def _overridden(
    session: Session,
    data: ClassData,
    shortcut: Shortcut,
    properties: ImageProperties | None,
    value: float,
) -> Repair | None:
    """Refit with the labels of the training images with the feature on which the teacher is wrong."""
    workspace, state = session.workspace, session.state
    x = training_values(session, shortcut.feature, properties)
    if x is None or workspace.labels is None:
        return None
    c, rows = session.class_index(data.cls), workspace.training_rows
    labels = np.asarray(workspace.labels[rows, c])
    t = workspace.targets(state, "training")[:, c] >= 0.5
    present = (x - x.mean()) * shortcut.follows * (1 if value < 0.5 else -1) > 0
    chosen = present & ~np.isnan(labels) & ((labels >= 0.5) == (value >= 0.5)) & (t != (value >= 0.5))
    images = tuple(str(workspace.image_ids[row]) for row in rows[chosen].tolist())
    if not images:
        return None
    one = state.classes[data.cls]
    asked = checked_overrides(images, value, workspace.image_index)
    state = state.with_classes({data.cls: replace(one, overrides=merged(one.overrides, asked))})
    said = _said(session, refit(workspace, state, [data.cls], before=session.state)[0], data)
    return _repair(data, said, (), (), images, value)


def apply_repair(session: Session, cls: str, repair: Repair, note: str = "audit") -> Node:
    """Take the step of a repair; return the new node."""
    if repair.overrides:
        return session.override(repair.overrides, cls, repair.value, note)
    return session.apply(cls, repair.actions, list(repair.focus) or None, note)


def _repair(
    data: ClassData,
    said: NDArray[np.bool_],
    actions: tuple[Action, ...],
    focus: tuple[str, ...],
    overrides: tuple[str, ...] = (),
    value: float = 0.0,
) -> Repair:
    before, after = data.wrong, said != data.truth
    return Repair(
        actions,
        focus,
        overrides,
        value,
        balanced_error(data.truth, data.said),
        balanced_error(data.truth, said),
        data.rows[before & ~after],
        data.rows[after & ~before],
    )


def _said(session: Session, state: BranchState, data: ClassData) -> NDArray[np.bool_]:
    """Return the decisions at a state on the images of the class's data."""
    workspace = session.workspace
    scores = workspace.score(state, data.cls, "validation")
    at = np.searchsorted(workspace.validation_rows, data.rows)
    return np.asarray(scores[at] >= workspace.threshold(state, session.class_index(data.cls)))
