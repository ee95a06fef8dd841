"""Two sides on the same images: metrics with paired intervals, weights, and images that changed sides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.comparison.match import CommonImages, common_images
from inficond.core.comparison.sides import Side
from inficond.core.errors import InputError
from inficond.core.evaluation.bootstrap import LEVEL, Change, Interval
from inficond.core.evaluation.confusion import UNKNOWN, are_exclusive, labelled_class, top_class
from inficond.core.evaluation.exam import group_numbers
from inficond.core.evaluation.paired import PairedBootstrap

ANSWER_CHANGES = ("yes-no", "no-yes")
LABEL_CHANGES = ("right-wrong", "wrong-right")
TEACHER_CHANGES = ("agree-disagree", "disagree-agree")
CHANGES = (*ANSWER_CHANGES, *LABEL_CHANGES, *TEACHER_CHANGES)
"""How an image changes from the first side to the second: by answers, labels, and each side's own teacher."""


@dataclass(frozen=True)
class WeightPair:
    """A concept's weight on both sides, in standardised units; None where the side lacks the concept."""

    concept: str
    a: float | None
    b: float | None

    @property
    def difference(self) -> float:
        """The second weight minus the first; a missing one counts as 0."""
        return (self.b or 0.0) - (self.a or 0.0)


@dataclass(frozen=True, eq=False)
class ClassComparison:
    """One class on both sides.

    Parameters
    ----------
    cls : str
    fidelity : mapping from metric to Change, or None
        Of each student compared with its own teacher; None unless both sides are students.
    accuracy : mapping from metric to Change, or None
        Compared with the labels; ``agreement`` is then the share of right answers. None without labels.
    same_answer : Interval
        Share of images to which both sides give the same answer.
    changed : mapping from kind to array of int
        Positions in the common images, by name in `CHANGES`; kinds without a reference are missing.
    weights : tuple of WeightPair
        Concepts with a weight on either side, the largest difference first; empty unless both are students.
    """

    cls: str
    fidelity: Mapping[str, Change] | None
    accuracy: Mapping[str, Change] | None
    same_answer: Interval
    changed: Mapping[str, NDArray[np.intp]] = field(repr=False)
    weights: tuple[WeightPair, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Two sides on their common images.

    Parameters
    ----------
    a, b : Side
    images : CommonImages
    classes : mapping from class to ClassComparison
        The classes that both sides have.
    fidelity, accuracy : mapping from metric to Change, or None
        Of the mean over these classes.
    top1 : Change or None
        Share of labelled images whose most probable class is the label, where classes exclude each other.
    left_out : tuple of str
        Classes that only one side has.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.comparison.measure import side_by_side
    >>> from inficond.core.comparison.sides import student_side
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> fitted = session.node
    >>> node = session.apply("water bird", {"kind": "mute", "concept": "group:water"})
    >>> found = side_by_side(student_side(session, fitted), student_side(session))
    >>> len(found.rows("a", "water bird", "yes-no")), found.classes["land bird"].fidelity["ap"].verdict
    (41, 'no clear change')
    """

    a: Side
    b: Side
    images: CommonImages
    classes: Mapping[str, ClassComparison]
    fidelity: Mapping[str, Change] | None
    accuracy: Mapping[str, Change] | None
    top1: Change | None
    left_out: tuple[str, ...]

    def rows(self, side: str, cls: str, kind: str) -> NDArray[np.intp]:
        """Return the rows of side ``a`` or ``b`` that changed in a class, ascending.

        Raises
        ------
        InputError
            There is no such class or kind of change.
        """
        if cls not in self.classes or kind not in self.classes[cls].changed:
            raise InputError(
                f"no change {kind!r} of class {cls!r}: the classes are {', '.join(self.classes)}, the "
                f"changes {', '.join(self.kinds)}"
            )
        positions = self.classes[cls].changed[kind]
        return np.sort((self.images.first if side == "a" else self.images.second)[positions])

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of change that can be told, in the order of `CHANGES`."""
        one = next(iter(self.classes.values()))
        return tuple(kind for kind in CHANGES if kind in one.changed)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; images by their names on the first side."""
        ids = self.a.image_ids
        return {
            "a": {"name": self.a.name, "kind": self.a.kind},
            "b": {"name": self.b.name, "kind": self.b.kind},
            "images": len(self.images.first),
            "common": self.images.found,
            "matched_by": self.images.matched_by,
            "note": self.images.note,
            "left_out": list(self.left_out),
            "level": LEVEL,
            "mean": {"fidelity": _plain(self.fidelity), "accuracy": _plain(self.accuracy)},
            "top1": None if self.top1 is None else self.top1.to_dict(),
            "classes": {
                cls: {
                    "fidelity": _plain(one.fidelity),
                    "accuracy": _plain(one.accuracy),
                    "same_answer": one.same_answer.to_dict(),
                    "changed": {
                        kind: [ids[int(self.images.first[i])] for i in positions]
                        for kind, positions in one.changed.items()
                    },
                    "weights": [{"concept": w.concept, "a": w.a, "b": w.b} for w in one.weights],
                }
                for cls, one in self.classes.items()
            },
        }


def side_by_side(a: Side, b: Side, *, replicates: int | None = None, seed: int = 0) -> SideBySide:
    """Compare two sides on the images that both have and that neither was fitted on.

    Parameters
    ----------
    a, b : Side
    replicates : int, optional
        Number of bootstrap replicates.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    InputError
        The sides have no image or no class in common.
    """
    images = common_images(a, b)
    names = [cls for cls in a.classes if cls in b.classes]
    if not names:
        raise InputError(
            f"{a.name!r} and {b.name!r} have no class in common: {_listed(a.classes)} and "
            f"{_listed(b.classes)}"
        )
    at = [[side.classes.index(cls) for cls in names] for side in (a, b)]
    rows = (images.first, images.second)
    answers = [side.answers(r)[:, c] for side, r, c in zip((a, b), rows, at)]
    thresholds = [np.asarray(side.thresholds)[c] for side, c in zip((a, b), at)]
    labels = _labels(a, b, rows, at)
    targets = _targets(a, b, rows, at)
    groups = _groups(a, b, rows)
    sides = {
        kind: PairedBootstrap(groups, replicates=replicates, seed=seed) for kind in ("fidelity", "accuracy")
    }
    classes = {}
    for c, cls in enumerate(names):
        s = (answers[0][:, c], answers[1][:, c])
        cut = (float(thresholds[0][c]), float(thresholds[1][c]))
        yes = (s[0] >= cut[0], s[1] >= cut[1])
        changed = {"yes-no": yes[0] & ~yes[1], "no-yes": ~yes[0] & yes[1]}
        fidelity = accuracy = None
        if labels is not None:
            truth = labels[:, c]
            if np.isfinite(truth).any():
                accuracy = sides["accuracy"].add((truth, truth), s, cut)
            right = [np.isfinite(truth) & (one == (truth >= 0.5)) for one in yes]
            changed |= _turned(LABEL_CHANGES, right[0], right[1], np.isfinite(truth))
        if targets is not None:
            t = (targets[0][:, c], targets[1][:, c])
            fidelity = sides["fidelity"].add(t, s, cut)
            agrees = [one == (target >= 0.5) for one, target in zip(yes, t)]
            changed |= _turned(TEACHER_CHANGES, agrees[0], agrees[1], np.ones(len(s[0]), bool))
        classes[cls] = ClassComparison(
            cls=cls,
            fidelity=fidelity,
            accuracy=accuracy,
            same_answer=sides["fidelity"].proportion(yes[0] == yes[1]),
            changed={kind: np.flatnonzero(changed[kind]) for kind in CHANGES if kind in changed},
            weights=_weights(a, b, at[0][c], at[1][c]),
        )
    return SideBySide(
        a=a,
        b=b,
        images=images,
        classes=classes,
        fidelity=sides["fidelity"].mean() or None,
        accuracy=sides["accuracy"].mean() or None,
        top1=_top1(labels, targets, answers, groups, replicates, seed),
        left_out=tuple(dict.fromkeys(c for c in (*a.classes, *b.classes) if c not in names)),
    )


def _turned(
    kinds: tuple[str, str],
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> dict[str, NDArray[np.bool_]]:
    """Return the images that hold on the first side only, and on the second side only."""
    return {kinds[0]: known & first & ~second, kinds[1]: known & ~first & second}


def _labels(a: Side, b: Side, rows: Any, at: Any) -> NDArray[np.float64] | None:
    """Return the labels of the common images, (n, C): those of the first side, else those of the second."""
    known = [
        np.asarray(side.labels, np.float64)[np.ix_(r, c)]
        for side, r, c in zip((a, b), rows, at)
        if side.labels is not None
    ]
    if not known:
        return None
    labels: NDArray[np.float64] = known[0] if len(known) == 1 else np.where(np.isfinite(known[0]), *known)
    return labels if np.isfinite(labels).any() else None


def _targets(a: Side, b: Side, rows: Any, at: Any) -> list[NDArray[Any]] | None:
    """Return what each student is compared with; two steps of one project have the second one's overrides."""
    if a.targets is None or b.targets is None:
        return None
    second = b.targets(rows[1])[:, at[1]]
    if a.project is not None and b.project is not None and a.project.path == b.project.path:
        return [second, second]
    return [a.targets(rows[0])[:, at[0]], second]


def _groups(a: Side, b: Side, rows: Any) -> NDArray[np.int64] | None:
    for side, r in zip((a, b), rows):
        if side.image_groups is not None:
            return group_numbers([side.image_groups[int(i)] for i in r])
    return None


def _weights(a: Side, b: Side, c: int, d: int) -> tuple[WeightPair, ...]:
    if a.weights is None or b.weights is None or a.concepts is None or b.concepts is None:
        return ()
    first = dict(zip(a.concepts, a.weights[c].tolist()))
    second = dict(zip(b.concepts, b.weights[d].tolist()))
    pairs = [
        WeightPair(concept, first.get(concept), second.get(concept))
        for concept in dict.fromkeys((*first, *second))
        if first.get(concept) or second.get(concept)
    ]
    return tuple(sorted(pairs, key=lambda pair: -abs(pair.difference)))


def _top1(
    labels: NDArray[np.float64] | None,
    targets: list[NDArray[Any]] | None,
    answers: list[NDArray[Any]],
    groups: NDArray[np.int64] | None,
    replicates: int | None,
    seed: int,
) -> Change | None:
    if labels is None or not are_exclusive(labels):
        return None
    if not all(are_exclusive(one) for one in (targets if targets is not None else answers)):
        return None
    truth = labelled_class(labels)
    known = truth != UNKNOWN
    if not known.any():
        return None
    paired = PairedBootstrap(None if groups is None else groups[known], replicates=replicates, seed=seed)
    right = [top_class(one[known]) == truth[known] for one in answers]
    return paired.share(right[0], right[1])


def _plain(changes: Mapping[str, Change] | None) -> dict[str, Any] | None:
    return None if changes is None else {name: change.to_dict() for name, change in changes.items()}


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + ("…" if len(names) > 5 else "")
