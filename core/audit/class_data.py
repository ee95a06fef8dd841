"""Numbers that the audit of one class uses: truth, answers, and features of the images."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inficond.core.audit.properties import LEVELS, PROPERTIES, ImageProperties
from inficond.core.sessions.session import Session

Float64 = NDArray[np.float64]
LEAST_LABELS = 16
"""Labelled images of the tune part from which the labels are the truth; the teacher is it below."""
LEAST_OF_EACH = 6
"""Positives and negatives without which a class is not audited."""
MANY_SOURCES, SMALL_SOURCE = 40, 5.0
"""Fewer sources with more images each are too few for a test that keeps their images together."""
_TINY = 1e-6


@dataclass(frozen=True)
class Feature:
    """A feature of images.

    Parameters
    ----------
    kind : {"concept", "property", "label"}
    name : str
    column : int
        Column of the concept, of the property, or of the label's class.
    """

    kind: str
    name: str
    column: int

    def level(self, high: bool) -> str:
        """Return how an image with a large or a small value is called, to follow "images"."""
        if self.kind == "property":
            return LEVELS[self.name][0 if high else 1]
        if self.kind == "label":
            return f"labelled {self.name}" if high else f"not labelled {self.name}"
        return f"with {self.name}" if high else f"without {self.name}"

    @property
    def title(self) -> str:
        """Name with the kind where it is not a concept."""
        return self.name if self.kind == "concept" else f"{self.name} (of the image)"


@dataclass(frozen=True, eq=False)
class ClassData:
    """One class on the images of the tune part.

    Parameters
    ----------
    cls : str
    rows : (n,) int
        Rows of the project.
    truth : (n,) bool
        Labels, or the teacher's decisions.
    by_labels : bool
        Whether the truth is that of labels.
    teacher : (n,) bool
        The teacher's decisions.
    logit : (n,) float64
        Of the student, minus that of its threshold: at or above 0 it says yes.
    sources : (n,) int
        Images of equal value share a source.
    features : list of F Feature
    values : (n, F) float64
        Standardised over these images.
    """

    cls: str
    rows: NDArray[np.intp]
    truth: NDArray[np.bool_]
    by_labels: bool
    teacher: NDArray[np.bool_]
    logit: Float64
    sources: NDArray[np.intp]
    features: list[Feature]
    values: Float64 = field(repr=False)

    @property
    def flipped_together(self) -> NDArray[np.intp] | None:
        """Sources for the tests; None, images are taken as independent, where sources are few and large."""
        count = len(np.unique(self.sources))
        few = count < MANY_SOURCES and len(self.sources) > SMALL_SOURCE * count
        return None if few else self.sources

    @property
    def said(self) -> NDArray[np.bool_]:
        """The student's decisions, (n,)."""
        return self.logit >= 0

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Images that the student answers wrongly, (n,)."""
        return self.said != self.truth

    @property
    def problem(self) -> str | None:
        """Why the class cannot be audited, or None."""
        yes = int(self.truth.sum())
        no = len(self.truth) - yes
        kind = "labelled as" if self.by_labels else "that the teacher calls"
        if min(yes, no) < LEAST_OF_EACH:
            return (
                f"{yes} of {len(self.truth)} images of the tune part are {kind} {self.cls}; an audit needs "
                f"{LEAST_OF_EACH} images with it and {LEAST_OF_EACH} without it: add images"
            )
        if len(np.unique(self.sources)) < 2 * LEAST_OF_EACH:
            return (
                f"the {len(self.truth)} images of the tune part come from "
                f"{len(np.unique(self.sources))} sources; an audit needs {2 * LEAST_OF_EACH} sources: add "
                "images from others"
            )
        return None


def balanced_error(truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> float:
    """Return the mean of the error rates on positives and on negatives; a missing side counts 0."""
    wrong = said != truth
    return 0.5 * (float(wrong[truth].mean()) if truth.any() else 0.0) + 0.5 * (
        float(wrong[~truth].mean()) if (~truth).any() else 0.0
    )


def log_odds(p: NDArray[np.floating]) -> Float64:
    """Return the logits of probabilities, clipped to finite numbers."""
    p = np.clip(np.asarray(p, np.float64), 1e-9, 1 - 1e-9)
    return np.log(p) - np.log1p(-p)


def class_data(session: Session, cls: str, properties: ImageProperties | None) -> ClassData:
    """Collect the numbers of a class at the current node of a session.

    Parameters
    ----------
    session : Session
    cls : str
    properties : ImageProperties or None

    Returns
    -------
    ClassData

    Raises
    ------
    InputError
        The class is unknown.
    """
    workspace, state = session.workspace, session.state
    c = session.class_index(cls)
    rows = workspace.validation_rows
    teacher = workspace.targets(state, "validation")[:, c] >= 0.5
    labels = workspace.labels_validation
    known = ~np.isnan(labels[:, c])
    by_labels = int(known.sum()) >= LEAST_LABELS and 0 < int((labels[known, c] >= 0.5).sum()) < known.sum()
    keep = np.flatnonzero(known) if by_labels else np.arange(len(rows))
    truth = labels[keep, c] >= 0.5 if by_labels else teacher[keep]
    if workspace.students.link == "softmax":
        logit = log_odds(workspace.score(state, cls, "validation"))
    else:
        one = state.classes[cls]
        logit = workspace.logits(one.weights, one.bias, state.added, "validation").astype(np.float64)
    logit = logit - float(log_odds(np.array([workspace.threshold(state, c)]))[0])
    groups = workspace.validation_groups
    sources = np.arange(len(rows)) if groups is None else np.asarray(groups, np.intp)
    features, values = _features(session, labels, rows, keep, c, properties, by_labels)
    return ClassData(
        cls, rows[keep], truth, by_labels, teacher[keep], logit[keep], sources[keep], features, values
    )


def _features(
    session: Session,
    labels: NDArray[np.float32],
    rows: NDArray[np.intp],
    keep: NDArray[np.intp],
    c: int,
    properties: ImageProperties | None,
    by_labels: bool,
) -> tuple[list[Feature], Float64]:
    """Return the features that vary, and their standardised values (n, F)."""
    columns = session.workspace.columns(session.state.added)
    features = [
        Feature("concept", name, k) for k, name in enumerate(columns.names) if name not in session.dropped
    ]
    parts = [columns.validation[keep][:, [f.column for f in features]].astype(np.float64)]
    if properties is not None:
        features += [Feature("property", name, k) for k, name in enumerate(PROPERTIES)]
        values = properties.values[rows[keep]].astype(np.float64)
        middle = np.nanmedian(values, axis=0) if np.isfinite(values).any() else np.zeros(values.shape[1])
        parts.append(np.where(np.isfinite(values), values, middle))
    if by_labels and not exclusive(labels):
        # With exclusive classes another label excludes this class, so it would explain every extra yes.
        others = [k for k in range(labels.shape[1]) if k != c and not np.isnan(labels[keep, k]).any()]
        features += [Feature("label", session.classes[k], k) for k in others]
        parts.append(labels[keep][:, others].astype(np.float64))
    values = np.hstack(parts)
    if not len(values):
        return [], values[:, :0]
    # A heavy tail would give a few images most of the leverage.
    low, high = np.quantile(values, [0.01, 0.99], axis=0)
    values = np.clip(values, np.minimum(low, high), high)
    spread = values.std(axis=0)
    usable = np.flatnonzero(spread > _TINY)
    values = (values[:, usable] - values[:, usable].mean(axis=0)) / spread[usable]
    return [features[i] for i in usable.tolist()], values


def exclusive(labels: NDArray[np.float32]) -> bool:
    """Return whether no image has two labels."""
    return bool((np.nansum(labels >= 0.5, axis=1) <= 1).all())
