"""Audit of a session: shortcuts with repairs, groups with many errors, and duplicates across parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inficond.core.audit.class_data import ClassData, balanced_error, class_data
from inficond.core.audit.findings import ALPHA, Shortcut, find_shortcuts
from inficond.core.audit.properties import ImageProperties, image_properties
from inficond.core.audit.repair import Repair, find_repair
from inficond.core.audit.tree import Group, error_tree
from inficond.core.progress import Progress, Silent
from inficond.core.sessions.session import Session

FORMAT = 1
"""Version of the audit's JSON. Fields may be added under the same version, but not removed."""
SHOWN = 24
"""Images of a finding that are listed."""
FAULTY = 0.35
"""Share of a finding's images on which the teacher is wrong too, from which it is called at fault."""
METHOD = (
    "A feature is a shortcut if the student follows it and the truth, given the student's logit, goes "
    "against it. Scores are tested by flipping signs source by source (Hemerik, Goeman and Finos 2020). The "
    "largest score over all features corrects for their number (maxT, Westfall and Young 1993). Level: 1 % "
    "for each step, divided among the classes."
)


@dataclass(frozen=True, eq=False)
class Finding:
    """A shortcut with its sentence, its images and its repair.

    Parameters
    ----------
    cls : str
    shortcut : Shortcut
    sentence, advice : str
        What was found, and what repairs it.
    extra, missed : list of int
        Rows of the images that are wrong because of it.
    teacher_fault : bool
        Whether the teacher is wrong on many of these images too.
    repair : Repair or None
        None if no action helps.
    """

    cls: str
    shortcut: Shortcut
    sentence: str
    advice: str
    extra: list[int]
    missed: list[int]
    teacher_fault: bool
    repair: Repair | None


@dataclass(frozen=True, eq=False)
class ClassAudit:
    """Audit of one class.

    Parameters
    ----------
    cls : str
    problem : str or None
        Why it could not be audited.
    truth : str
        ``labels`` or ``teacher``.
    note : str or None
        What weakens its tests.
    error : float or None
        Balanced error of the student on the tune part.
    findings : list of Finding
        Those that explain most of the error first.
    tree : tuple of Group
    """

    cls: str
    problem: str | None
    truth: str
    error: float | None
    note: str | None = None
    findings: list[Finding] = field(default_factory=list)
    tree: tuple[Group, ...] = ()


@dataclass(frozen=True, eq=False)
class Audit:
    """Audit of a session at one node.

    Parameters
    ----------
    project, node : str
    classes : list of ClassAudit
    duplicates : list of (int, int)
        Rows of an image of the tune part and of a near-duplicate among the training images.
    images : sequence of str
        Ids by row.
    """

    project: str
    node: str
    classes: list[ClassAudit]
    duplicates: list[tuple[int, int]]
    images: Sequence[str] = field(repr=False)

    @property
    def findings(self) -> list[Finding]:
        """Findings of all classes, those that explain most of their class's error first."""
        found = [finding for one in self.classes for finding in one.findings]
        return sorted(found, key=lambda finding: -finding.shortcut.explained.value)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "format": FORMAT,
            "project": self.project,
            "node": self.node,
            "method": METHOD,
            "classes": [self._class(one) for one in self.classes],
            "duplicates": [[self.images[a], self.images[b]] for a, b in self.duplicates],
        }

    def _class(self, one: ClassAudit) -> dict[str, Any]:
        return {
            "class": one.cls,
            "problem": one.problem,
            "truth": one.truth,
            "error": one.error,
            "note": one.note,
            "findings": [self._finding(finding) for finding in one.findings],
            "groups": [self._group(group) for group in one.tree],
        }

    def _finding(self, one: Finding) -> dict[str, Any]:
        repair = one.repair
        return {
            "feature": one.shortcut.feature.name,
            "kind": one.shortcut.feature.kind,
            "members": [{"kind": f.kind, "name": f.name} for f in one.shortcut.members],
            "sentence": one.sentence,
            "advice": one.advice,
            "p_value": one.shortcut.p_value,
            "explained": one.shortcut.explained.to_dict(),
            "teacher_fault": one.teacher_fault,
            "extra": [self.images[row] for row in one.extra[:SHOWN]],
            "missed": [self.images[row] for row in one.missed[:SHOWN]],
            "repair": None
            if repair is None
            else {
                "actions": [action.to_json() for action in repair.actions],
                "focus": list(repair.focus),
                "overrides": list(repair.overrides),
                "value": repair.value if repair.overrides else None,
                "text": repair.text,
                "error_before": repair.before,
                "error_after": repair.after,
                "fixed": len(repair.fixed),
                "broken": len(repair.broken),
            },
        }

    def _group(self, one: Group) -> dict[str, Any]:
        return {
            "name": one.name,
            "answer": "yes" if one.answer else "no",
            "size": len(one.rows),
            "wrong": len(one.wrong),
            "share_of_errors": one.share,
            "p_value": None if not one.conditions else one.p_value,
            "images": [self.images[row] for row in one.wrong[:SHOWN].tolist()],
            "parts": [self._group(part) for part in one.parts],
        }


def audit(
    session: Session,
    classes: Sequence[str] | None = None,
    *,
    repairs: bool = True,
    alpha: float = ALPHA,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Audit the students of a session at its current node, on the tune part.

    Parameters
    ----------
    session : Session
    classes : sequence of str, optional
        All by default.
    repairs : bool
        Whether to look for repairs, which takes a few refits for each finding.
    alpha : float
        Probability of a false finding, divided among the classes.
    seed : int
        Of sign flips and bootstrap.
    progress : Progress, optional
        Counts images and classes; cancels between them.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        A class is unknown.
    """
    progress = progress or Silent()
    names = list(session.classes if classes is None else classes)
    for name in names:
        session.class_index(name)
    project, workspace = session.project, session.workspace
    properties = image_properties(project, progress) if len(workspace.validation_rows) else None
    pairs: list[tuple[int, int]] = []
    if properties is not None:
        pairs = properties.duplicates(workspace.validation_rows, workspace.training_rows)
    progress.start("auditing classes", len(names))
    made = []
    for name in names:
        made.append(_audited(session, name, properties, repairs, alpha / len(names), seed))
        progress.advance()
    return Audit(project.name, session.node, made, pairs, session.image_ids)


def _audited(
    session: Session,
    cls: str,
    properties: ImageProperties | None,
    repairs: bool,
    alpha: float,
    seed: int,
) -> ClassAudit:
    data = class_data(session, cls, properties)
    truth = "labels" if data.by_labels else "teacher"
    if data.problem is not None:
        return ClassAudit(cls, data.problem, truth, None)
    findings = []
    for shortcut in find_shortcuts(data, alpha, seed):
        fault = _teacher_is_wrong(data, shortcut)
        repair = find_repair(session, data, shortcut, properties, fault) if repairs else None
        findings.append(_finding(data, shortcut, repair, repairs, fault))
    tree = error_tree(data, alpha, seed)
    note = None
    if data.flipped_together is None:
        note = (
            f"the images come from {len(np.unique(data.sources))} sources only, so tests take images of one "
            "source as independent: p-values are too small"
        )
    return ClassAudit(cls, None, truth, balanced_error(data.truth, data.said), note, findings, tree)


def _teacher_is_wrong(data: ClassData, shortcut: Shortcut) -> bool:
    """Return whether the teacher is wrong on many images of a finding."""
    affected = np.concatenate([shortcut.extra, shortcut.missed])
    if not data.by_labels or not len(affected):
        return False
    return bool((data.teacher[affected] != data.truth[affected]).mean() > FAULTY)


def _finding(data: ClassData, shortcut: Shortcut, repair: Repair | None, tried: bool, fault: bool) -> Finding:
    present = shortcut.follows > 0
    feature = shortcut.feature
    having, lacking = feature.level(present), feature.level(not present)
    parts = []
    if len(shortcut.extra):
        parts.append(f"yes to {len(shortcut.extra)} images {having} that are not {data.cls}")
    if len(shortcut.missed):
        parts.append(f"no to {len(shortcut.missed)} images of {data.cls} {lacking}")
    more = ", ".join(member.name for member in shortcut.members)
    share = shortcut.explained
    sentence = (
        f"{data.cls}: the student follows {feature.title}"
        + (f" (also {more})" if more else "")
        + (f": it says {' and '.join(parts)}" if parts else "")
        + f". This explains {100 * share.value:.0f} % of its error "
        f"(95 % {100 * share.low:.0f} to {100 * share.high:.0f} %)."
        + (" The teacher is wrong on many of these images too." if fault else "")
    )
    if repair is not None:
        advice = (
            f"{repair.text}: balanced error {100 * repair.before:.0f} → {100 * repair.after:.0f} %, "
            f"{len(repair.fixed)} images fixed, {len(repair.broken)} broken"
        )
    elif tried:
        advice = (
            f"No action on the concepts lowers the error. Collect more images of {data.cls} {lacking}, and "
            f"images {having} that are not {data.cls}."
        )
    else:
        advice = ""
    rows = data.rows
    return Finding(
        data.cls,
        shortcut,
        sentence,
        advice,
        rows[shortcut.extra].tolist(),
        rows[shortcut.missed].tolist(),
        fault,
        repair,
    )
