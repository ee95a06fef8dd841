"""Measurements of a project's current students, as plain JSON values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.evaluation.bootstrap import bootstrap_intervals, paired_bootstrap
from inficond.core.evaluation.metrics import (
    ClassMetrics,
    average_precision,
    class_metrics,
    mean_kl,
    plain_number,
)
from inficond.core.evaluation.slices import Slice, find_slices
from inficond.core.evaluation.subsets import SUBSETS, subsets
from inficond.core.progress import Progress, Silent
from inficond.core.report import wording
from inficond.core.report.controls import control_lines
from inficond.core.report.exam_lines import exam_summary
from inficond.core.sessions.exam_records import exam_record
from inficond.core.students.baseline import random_concept_baseline, random_concept_vectors
from inficond.core.students.distil import keep_largest
from inficond.core.students.student import Students
from inficond.core.version import __version__

if TYPE_CHECKING:
    from inficond.core.facade import Project
    from inficond.core.sessions.session import Session

FORMAT = 1
"""Version of the report's JSON. Fields may be added under the same version, but not removed."""
TOP, EVIDENCE, SHOWN = 8, 3, 12
"""Concepts per class; evidence images per concept; images of each misaligned subset."""


def report(
    project: "Project | Session",
    *,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure the current students of a project on its validation images.

    Parameters
    ----------
    project : Project or Session
        The current node of the project or session is reported.
    classes : sequence of str, optional
        Classes to report; all by default.
    seed : int
        Seed of bootstrap and permutations; the same project gives the same report.
    progress : Progress, optional
        Reports every class.

    Returns
    -------
    dict
        JSON values only; None for undefined metrics. Images are identified by id and row.

    Raises
    ------
    InputError
        A class is unknown.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.report import report
    >>> measured = report(Project.open(demo_project()), classes=["water bird"])
    >>> measured["classes"][0]["metrics"]["counts"]
    {'agree-pos': 21, 'agree-neg': 372, 'missed': 27, 'extra': 60}
    """
    session: Any = project.session() if hasattr(project, "session") else project  # pyright: ignore[reportAttributeAccessIssue]
    p: Project = session.project
    progress = progress or Silent()
    students: Students = session.students
    names = list(students.classes if classes is None else classes)
    columns = [students.class_index(name) for name in names]
    rows, train = np.flatnonzero(p.is_validation), np.flatnonzero(~p.is_validation)
    progress.start("measuring", len(names) + 3)
    X = np.asarray(session.X[rows], np.float32)
    S = session.scores()[rows]
    T = np.stack([session.targets(name) for name in students.classes], axis=1)
    progress.advance()
    few = keep_largest(students, session.X[train], T[train], 5).predict(X)
    progress.advance()
    random = _random_row(p, students, T, rows, train)
    progress.advance()
    measured = []
    for name, c in zip(names, columns):
        one = _Class(p, students, name, c, rows, X, T[rows, c], S[:, c], seed)
        measured.append(one.measure(few[:, c], random))
        progress.advance()
    overall = _overall(measured, students, T[rows], S)
    exam = exam_record(session.last_exam())
    out = {
        "format": FORMAT,
        "inficond": __version__,
        "project": _about(p, session, students, rows, train),
        "overall": overall,
        "classes": measured,
        "controls": p.config.get("controls"),
        "exam": exam,
    }
    out["summary"] = [
        *wording.summary(out),
        *control_lines(p.config.get("controls")),
        *exam_summary(exam, p.exam is not None),
    ]
    return out


class _Class:
    """Report of one class."""

    def __init__(
        self,
        p: "Project",
        students: Students,
        name: str,
        c: int,
        rows: NDArray[np.intp],
        X: NDArray[np.float32],
        t: NDArray[np.float32],
        s: NDArray[np.float32],
        seed: int,
    ) -> None:
        self.p, self.students, self.name, self.c = p, students, name, c
        self.rows, self.X, self.t, self.s, self.seed = rows, X, t, s, seed
        self.threshold = float(students.thresholds[c])
        self.groups = _groups(p.image_groups, rows)
        self.subsets = subsets(t, s, threshold=self.threshold)

    def measure(self, few: NDArray[np.float32], random: "_Random | None") -> dict[str, Any]:
        """Return the entry of the class."""
        t, s, at = self.t, self.s, self.threshold
        labels = None if self.p.labels is None else np.asarray(self.p.labels[self.rows, self.c])
        if labels is not None and np.isnan(labels).all():
            labels = None
        metrics = class_metrics(
            t, s, threshold=at, labels=labels, nec=int(self.students.nec()[self.c]),
            anec5=average_precision(t >= 0.5, few),
        )  # fmt: skip
        intervals = bootstrap_intervals(t, s, groups=self.groups, threshold=at, seed=self.seed)
        entry: dict[str, Any] = {
            "name": self.name,
            "metrics": metrics.to_dict(),
            "intervals": {k: v.to_dict() for k, v in intervals.items()},
            "accuracy": self._accuracy(labels),
            "baseline": self._baseline(random),
            "concepts": self._concepts(),
            "subsets": {name: self._images(self.subsets[name], name) for name in SUBSETS},
            "slices": [self._slice(x) for x in self._slices()],
        }
        entry["reading"] = wording.reading(entry)
        return entry

    def _accuracy(self, labels: NDArray[np.float32] | None) -> dict[str, Any] | None:
        """Return intervals of teacher and student compared with ground truth."""
        if labels is None:
            return None
        known = ~np.isnan(labels)
        groups = None if self.groups is None else self.groups[known]
        out = {}
        for model, scores, at in (("teacher", self.t, 0.5), ("student", self.s, self.threshold)):
            found = bootstrap_intervals(
                labels[known], scores[known], groups=groups, threshold=at, seed=self.seed
            )
            out[model] = {k: found[k].to_dict() for k in ("ap", "f1", "balanced_agreement")}
            out[model]["balanced_accuracy"] = out[model].pop("balanced_agreement")
        return out

    def _baseline(self, random: "_Random | None") -> dict[str, Any] | None:
        """Return the metrics of random directions, and the change from them to words."""
        if random is None:
            return None
        at = float(random.students.thresholds[self.c])
        s = random.S[:, self.c]
        metrics = class_metrics(
            self.t, s, threshold=at, nec=int(random.students.nec()[self.c]),
            anec5=average_precision(self.t >= 0.5, random.few[:, self.c]),
        )  # fmt: skip
        change = paired_bootstrap(
            self.t, s, self.s, groups=self.groups, threshold=at, threshold_after=self.threshold,
            seed=self.seed,
        )  # fmt: skip
        return {
            "metrics": metrics.to_dict(),
            "words_against_random": {k: v.to_dict() for k, v in change.items()},
        }

    def _concepts(self) -> list[dict[str, Any]]:
        """Return the concepts with the largest weights, each with the images of its largest values."""
        out = []
        positive = (self.t >= 0.5) | (self.s >= self.threshold)
        for k in self.students.top(self.c, TOP):
            weight = float(self.students.weights[self.c, k])
            # Positive weights are shown on images that teacher or student assign to the class.
            among = np.flatnonzero(positive if weight > 0 else ~positive)
            if not len(among):
                among = np.arange(len(self.rows))
            best = among[np.argsort(-self.X[among, k], kind="stable")[:EVIDENCE]]
            out.append(
                {
                    "name": self.students.concepts[k],
                    "weight": weight,
                    "evidence": [
                        {**self._image(i), "value": float(self.X[i, k])} for i in best if self.X[i, k] > 0
                    ],
                }
            )
        return out

    def _slices(self) -> list[Slice]:
        return find_slices(
            self.X, self.t, self.s, self.students.concepts,
            groups=self.groups, threshold=self.threshold, seed=self.seed,
        )  # fmt: skip

    def _slice(self, found: Slice) -> dict[str, Any]:
        out = found.to_dict()
        out["rows"] = self.rows[found.rows].tolist()
        out["misaligned"] = self.rows[found.misaligned].tolist()
        worst = found.misaligned[np.argsort(-np.abs(self.t - self.s)[found.misaligned], kind="stable")]
        out["images"] = [self._image(i) for i in worst[:SHOWN]]
        return out

    def _images(self, members: NDArray[np.intp], name: str) -> dict[str, Any]:
        """Return the size of a subset and its images with the largest disagreement or the highest scores."""
        d = self.s - self.t
        key = {"missed": d, "extra": -d, "agree-pos": -self.s, "agree-neg": self.s}[name]
        shown = members[np.argsort(key[members], kind="stable")[:SHOWN]]
        return {"size": len(members), "images": [self._image(i) for i in shown]}

    def _image(self, i: int) -> dict[str, Any]:
        row = int(self.rows[i])
        return {
            "image": self.p.image_ids[row],
            "row": row,
            "teacher": float(self.t[i]),
            "student": float(self.s[i]),
        }


@dataclass(frozen=True, eq=False)
class _Random:
    """Random-concept baseline: its students and their probabilities on validation images."""

    students: Students
    S: NDArray[np.float32]
    few: NDArray[np.float32]
    """Probabilities with the five largest directions of each class, refitted."""


def _random_row(
    p: "Project", students: Students, T: NDArray[np.float32], rows: NDArray[np.intp], train: NDArray[np.intp]
) -> _Random | None:
    """Return the stored random-concept students, or newly fitted ones; None without regions."""
    try:
        regions = p.region_embeddings
    except InputError:
        return None
    made = p.baseline
    # The stored students are only comparable if λ and classes are the same.
    if (
        made is None
        or made.embeddings is None
        or made.lam != students.lam
        or made.classes != students.classes
    ):
        made = random_concept_baseline(
            regions, T, ~p.is_validation, students.classes, students.n_concepts,
            lam=students.lam, link=students.link,
        ).students  # fmt: skip
    directions = np.asarray(made.embeddings)
    S = made.predict(_vectors(regions, rows, directions))
    # Concept vectors of training images are only needed for the five directions of each class.
    top = np.unique(np.concatenate([made.top(c, 5) for c in range(made.n_classes)] + [np.zeros(1, np.int64)]))
    small = Students(
        made.classes, [made.concepts[int(k)] for k in top], made.weights[:, top], made.bias, made.mean[top],
        made.scale[top], link=made.link, lam=made.lam,
    )  # fmt: skip
    few = keep_largest(small, _vectors(regions, train, directions[top]), T[train], 5)
    return _Random(made, S, few.predict(_vectors(regions, rows, directions[top])))


def _vectors(regions: Any, rows: NDArray[np.intp], words: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return concept vectors of some images, computed in blocks."""
    pieces = [random_concept_vectors(regions[rows[i : i + 2048]], words) for i in range(0, len(rows), 2048)]
    return np.concatenate(pieces) if pieces else np.zeros((0, len(words)), np.float32)


def _overall(
    entries: Sequence[dict[str, Any]],
    students: Students,
    T: NDArray[np.float32],
    S: NDArray[np.float32],
) -> dict[str, Any]:
    """Return means over the classes with both positives and negatives; others cannot be ranked."""
    ranked = [e for e in entries if 0 < e["metrics"]["positives"] < e["metrics"]["n"]]

    def mean(*keys: str) -> float | None:
        values = []
        for entry in ranked:
            value: Any = entry
            for key in keys:
                value = None if value is None else value.get(key)
            if value is not None:
                values.append(value)
        return float(np.mean(values)) if values else None

    out: dict[str, Any] = {
        "fidelity": {k: mean("metrics", k) for k in ("ap", "balanced_agreement", "agreement", "f1", "bce")},
        "nec": mean("metrics", "nec"),
        "anec5": mean("metrics", "anec5"),
        "baseline": {
            k: mean("baseline", "metrics", k)
            for k in ("ap", "balanced_agreement", "f1", "bce", "nec", "anec5")
        }
        if any(e["baseline"] for e in entries)
        else None,
        "accuracy": None,
        "undefined": [e["name"] for e in entries if e not in ranked],
    }
    if any(e["accuracy"] for e in entries):
        out["accuracy"] = {
            model: {k: mean("metrics", f"{model}_accuracy", k) for k in ("ap", "f1", "balanced_accuracy")}
            for model in ("teacher", "student")
        }
    if students.link == "softmax":
        out["fidelity"]["kl"] = plain_number(mean_kl(T, S))
        out["fidelity"]["same_top_class"] = (
            float((T.argmax(axis=1) == S.argmax(axis=1)).mean()) if len(T) else None
        )
    return out


def _about(
    p: "Project", session: Any, students: Students, rows: NDArray[np.intp], train: NDArray[np.intp]
) -> dict[str, Any]:
    config = p.config
    return {
        "name": p.name,
        "node": str(session.node),
        "created": config.get("created"),
        "images": len(p.image_ids),
        "training": len(train),
        "validation": len(rows),
        "grouped": _groups(p.image_groups, rows) is not None,
        "concepts": students.n_concepts,
        "classes": students.n_classes,
        "lam": students.lam,
        "link": students.link,
        "teacher": config.get("teacher"),
        "encoder": config.get("encoder"),
        "labels": p.labels is not None,
    }


def _groups(groups: Sequence[str | None], rows: NDArray[np.intp]) -> NDArray[np.int64] | None:
    """Return the source of each row as a number; None if no two rows share one."""
    seen: dict[Any, int] = {}
    member = np.array(
        [seen.setdefault((int(r),) if groups[r] is None else groups[r], len(seen)) for r in rows], np.int64
    )
    return member if len(seen) < len(member) else None


__all__ = ["FORMAT", "ClassMetrics", "report"]
