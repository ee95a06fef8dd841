"""Read-only queries of a session: scores, metrics, subsets, influence, explanations of one image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError, unknown
from inficond.core.evaluation import SUBSETS, ClassMetrics
from inficond.core.evaluation.subsets import subset_codes
from inficond.core.sessions.metrics import state_metrics
from inficond.core.sessions.project_context import ProjectContext
from inficond.core.sessions.session_history import SessionHistory
from inficond.core.students import Students
from inficond.core.tuning import focus as focusing
from inficond.core.tuning.bounds import Bound, box
from inficond.core.tuning.columns import Columns
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

if TYPE_CHECKING:
    from inficond.core.concepts import Evidence
    from inficond.core.evaluation import Slice
    from inficond.core.students import Contributions

BINS = 16
"""Bins of a concept's histogram."""


@dataclass(frozen=True, eq=False)
class Influence:
    """The weights of a class, and how each concept's values differ between agreeing and misaligned images.

    Parameters
    ----------
    cls : str
        The class.
    concepts, groups : tuple of K str
        Columns; words added in this session come last.
    weights : ndarray of shape (K,)
        In standardised units.
    lower, upper : ndarray of shape (K,)
        The bounds in force, infinite where there is none.
    bounds : mapping from concept to Bound
        The actions that set the bounds.
    dropped : frozenset of str
        Concepts whose weight is 0 in every class.
    gap : ndarray of shape (K,)
        Mean of the standardised value in misaligned validation images minus that in agreeing ones; NaN
        where one side is empty.
    means : mapping from subset to ndarray of shape (K,)
        Mean raw value in each of the four subsets of the validation images, NaN for an empty one.
    edges : ndarray of shape (K, BINS + 1)
        Of the histograms, in raw units.
    agreeing, misaligned : ndarray of shape (K, BINS), int32
        Validation images by value of the concept.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> influence = Project.open(demo_project()).session().influence("water bird")
    >>> influence.weights.shape == (len(influence.concepts),)
    True
    >>> int(influence.misaligned[0].sum())  # images in the histogram of the first concept
    87
    """

    cls: str
    concepts: tuple[str, ...]
    groups: tuple[str, ...]
    weights: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    bounds: Mapping[str, Bound]
    dropped: frozenset[str]
    gap: NDArray[np.float32]
    means: Mapping[str, NDArray[np.float32]]
    edges: NDArray[np.float32] = field(repr=False)
    agreeing: NDArray[np.int32] = field(repr=False)
    misaligned: NDArray[np.int32] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Classification:
    """Teacher and student on an image outside the project.

    Parameters
    ----------
    classes : tuple of C str
    teacher : ndarray of shape (C,) or None
        Its responses; None if the project was made from a response table.
    student : ndarray of shape (C,)
        Probabilities at the current node.
    x : ndarray of shape (K,)
        The concept vector.
    regions : ndarray of shape (R, D), float16
        Region embeddings.
    assignment : ndarray of shape (h, w), uint8
        The region of each cell.
    contributions : mapping from class to Contributions
        How the student's probabilities come about.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> answer = project.session().classify(np.asarray(project.thumbnail_image(2)))
    >>> answer.teacher.shape, answer.student.shape, len(answer.contributions)
    ((10,), (10,), 10)
    """

    classes: tuple[str, ...]
    teacher: NDArray[np.float32] | None
    student: NDArray[np.float32]
    x: NDArray[np.float32] = field(repr=False)
    regions: NDArray[np.float16] = field(repr=False)
    assignment: NDArray[np.uint8] = field(repr=False)
    contributions: "Mapping[str, Contributions]" = field(repr=False)


class SessionQueries:
    """Read-only queries of a session at its current node.

    Parameters
    ----------
    context : ProjectContext
    history : SessionHistory
        Whose current node is queried.

    Examples
    --------
    `Session` has these methods too. The examples of the methods use this session.

    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> session = project.session()
    >>> session.queries.metrics("water bird") == session.metrics("water bird")
    True
    """

    def __init__(self, context: ProjectContext, history: SessionHistory) -> None:
        self._context, self._history = context, history

    @property
    def state(self) -> BranchState:
        """Weights, bounds, focus and overrides at the current node."""
        return self._history.state

    @property
    def workspace(self) -> Workspace:
        """Arrays and caches shared by all sessions on the project."""
        return self._context.workspace

    @property
    def columns(self) -> Columns:
        """Concept vectors of the project's concepts and the session's added words."""
        return self.workspace.columns(self.state.added)

    @property
    def X(self) -> NDArray[np.float32]:
        """Raw concept vectors, (N, K), added words last; read-only and shared."""
        return self.columns.X

    @property
    def concepts(self) -> list[str]:
        """Names of the K concepts; dropped ones keep their column, with weight 0."""
        return list(self.columns.names)

    @property
    def concept_groups(self) -> list[str]:
        """The group of each concept; ``added`` for words added in this session."""
        return list(self.columns.groups)

    @property
    def classes(self) -> list[str]:
        """Names of the C classes."""
        return list(self.state.classes)

    @property
    def image_ids(self) -> Sequence[str]:
        """Ids of the project's N images."""
        return self.workspace.image_ids

    @property
    def dropped(self) -> frozenset[str]:
        """Concepts whose weight is 0 in every class."""
        return self.state.dropped

    @property
    def students(self) -> Students:
        """The students at the current node, ready to predict, save or export."""
        root, columns = self.workspace.students, self.columns
        students = Students(
            root.classes,
            columns.names,
            self.state.weights(),
            self.state.bias().astype(np.float32),
            columns.mean,
            columns.scale,
            link=root.link,
            lam=self.state.lam,
            thresholds=self.workspace.thresholds(self.state),
            encoder=root.encoder,
            penalty=self.workspace.penalty(len(self.state.added)),
        )
        embeddings = self.embeddings
        if embeddings is not None:
            # Set on the frozen instance because the constructor would copy the array for every session.
            object.__setattr__(students, "embeddings", embeddings)
        return students

    @property
    def embeddings(self) -> NDArray[np.float32] | None:
        """Embeddings of the concepts, (K, D) float32, unit length; None if the project stores none."""
        stored = self._context.project.concept_embeddings
        if stored is None or not self.state.added:
            return stored
        added = self.state.added
        return self.workspace.cache.get(
            ("embeddings", added),
            lambda: np.concatenate([stored, np.stack([self._context.words.embedding(w) for w in added])]),
            lambda x: x.nbytes,
        )

    def class_index(self, cls: str) -> int:
        """Return the column of a class; raise `InputError` with the nearest names if there is none.

        Examples
        --------
        >>> session.class_index("land bird")
        1
        """
        return self.workspace.students.class_index(cls)

    def concept_index(self, name: str) -> int:
        """Return the column of a concept; raise `InputError` with the nearest names if there is none.

        Examples
        --------
        >>> session.concepts[session.concept_index("sea")]
        'sea'
        """
        if name not in self.columns.index:
            raise unknown("concept", name, self.columns.names)
        return self.columns.index[name]

    # -- numbers

    def scores(self) -> NDArray[np.float32]:
        """Return the students' probabilities for all images, (N, C).

        Examples
        --------
        >>> session.scores().shape == (len(session.image_ids), len(session.classes))
        True
        """
        return self.workspace.scores(self.state, "all")

    def targets(self, cls: str, overrides: bool = True) -> NDArray[np.float32]:
        """Return the teacher's probabilities of a class, (N,), by default after the person's overrides.

        Examples
        --------
        >>> targets = session.targets("water bird")
        >>> targets.shape, bool((targets <= 1).all())
        ((1200,), True)
        """
        c, w = self.class_index(cls), self.workspace
        out = np.empty(w.n_images, np.float32)
        out[w.training_rows] = w.targets(self.state, "training", overrides)[:, c]
        out[w.validation_rows] = w.targets(self.state, "validation", overrides)[:, c]
        return out

    def metrics(self, cls: str, overrides: bool = True) -> ClassMetrics:
        """Return fidelity, accuracy where labels exist, NEC and subset counts on the validation images.

        Parameters
        ----------
        cls : str
            The class.
        overrides : bool
            Compare with the teacher's responses after the person's overrides (True), or with the teacher
            alone.

        Returns
        -------
        ClassMetrics
            `anec5` is None: it needs fits of its own, which only the report makes.

        Examples
        --------
        >>> metrics = session.metrics("water bird")
        >>> metrics.n, metrics.nec, round(metrics.ap, 2)
        (480, 11, 0.28)
        """
        self.class_index(cls)
        return state_metrics(self.workspace, self.state, cls, overrides)

    def threshold(self, cls: str) -> float:
        """Return the probability from which the student of a class says yes.

        Examples
        --------
        >>> session.threshold("water bird")
        0.5
        """
        return self.workspace.threshold(self.state, self.class_index(cls))

    def subset(self, cls: str, name: str) -> NDArray[np.intp]:
        """Return the validation rows in one of the four subsets of a class, ascending.

        Examples
        --------
        >>> rows = session.subset("water bird", "missed")
        >>> len(rows) == session.metrics("water bird").counts["missed"]
        True
        """
        if name not in SUBSETS:
            raise unknown("subset", name, SUBSETS)
        return self.workspace.validation_rows[self._codes(cls) == SUBSETS.index(name)]

    def _codes(self, cls: str) -> NDArray[np.uint8]:
        c, w = self.class_index(cls), self.workspace
        return subset_codes(
            w.targets(self.state, "validation")[:, c],
            w.score(self.state, cls, "validation"),
            threshold=w.threshold(self.state, c),
        )

    def focus_size(self, cls: str, focus: Any) -> int:
        """Return how many training images a focus selects; `apply` rejects a focus on none.

        Examples
        --------
        >>> session.focus_size("water bird", "missed") > 0
        True
        """
        self.class_index(cls)
        return focusing.training_size(focus, self.workspace, self.state, cls)

    def bounds(self, cls: str) -> Mapping[str, Bound]:
        """Return the bounds in force for a class, by concept.

        Examples
        --------
        >>> node = session.apply("water bird", {"kind": "mute", "concept": "fish"})
        >>> bound = session.bounds("water bird")["fish"]
        >>> bound.lower, bound.upper
        (0.0, 0.0)
        """
        self.class_index(cls)
        return dict(self.state.classes[cls].bounds)

    def influence(self, cls: str) -> Influence:
        """Return weights, bounds, and each concept's distribution in agreeing and misaligned images.

        Examples
        --------
        >>> influence = session.influence("water bird")
        >>> strongest = abs(influence.weights).argmax()
        >>> influence.concepts[strongest], influence.groups[strongest]
        ('fish', 'water')
        """
        codes, columns, w = self._codes(cls), self.columns, self.workspace
        one = self.state.classes[cls]
        lower, upper = box(one.bounds, columns.index, len(columns.names), self.state.dropped)
        edges, bins = w.histogram_bins(self.state.added, BINS)
        K = len(columns.names)
        total = w.histogram(self.state.added, BINS)
        wrong = np.flatnonzero(codes >= 2)
        flat = bins[wrong].astype(np.int64) + np.arange(K) * BINS
        misaligned = np.bincount(flat.ravel(), minlength=K * BINS).reshape(K, BINS).astype(np.int32)
        sums = {name: _sum(columns.validation, codes == i) for i, name in enumerate(SUBSETS)}
        size = {name: int((codes == i).sum()) for i, name in enumerate(SUBSETS)}
        with np.errstate(invalid="ignore", divide="ignore"):
            means = {
                n: (columns.mean + columns.scale * (sums[n] / size[n])).astype(np.float32) for n in SUBSETS
            }
            gap = (sums["missed"] + sums["extra"]) / (size["missed"] + size["extra"]) - (
                sums["agree-pos"] + sums["agree-neg"]
            ) / (size["agree-pos"] + size["agree-neg"])
        return Influence(
            cls,
            columns.names,
            columns.groups,
            one.weights,
            lower,
            upper,
            dict(one.bounds),
            self.state.dropped,
            gap.astype(np.float32),
            means,
            edges,
            total - misaligned,
            misaligned,
        )

    def slices(self, cls: str) -> "list[Slice]":
        """Find groups of misaligned validation images that share one or two concepts, most significant first.

        Returns
        -------
        list of Slice
            `rows` and `misaligned` are rows of the project. All are significant after correction for the
            number of groups tried.

        Examples
        --------
        >>> [one.name for one in session.slices("water bird")[:2]]
        ['dolphin high', 'parachute high']
        """
        from inficond.core.evaluation.slices import find_slices

        c, w, columns = self.class_index(cls), self.workspace, self.columns
        found = find_slices(
            columns.validation,
            w.targets(self.state, "validation")[:, c],
            w.score(self.state, cls, "validation"),
            columns.names,
            groups=w.validation_groups,
            threshold=w.threshold(self.state, c),
        )
        rows = w.validation_rows
        return [replace(one, rows=rows[one.rows], misaligned=rows[one.misaligned]) for one in found]

    def slice_images(self, one: "Slice") -> NDArray[np.intp]:
        """Return the rows of all images, also training images, that meet a slice's conditions, ascending.

        Examples
        --------
        >>> one = session.slices("water bird")[0]
        >>> len(session.slice_images(one)) >= one.size
        True
        """
        wanted = [(c.concept, c.high) for c in one.conditions]
        return np.flatnonzero(focusing.slice_mask(self.workspace, self.state, wanted))

    # -- one image

    def contributions(self, cls: str, row: int) -> "Contributions":
        """Return the contribution of each concept to the student's logit for an image.

        Examples
        --------
        >>> parts = session.contributions("water bird", row=2)
        >>> [session.concepts[k] for k in parts.columns[:2]]
        ['duck', 'fish']
        """
        from inficond.core.students.contributions import contributions

        return contributions(self.students, self.class_index(cls), self.X[self._row(row)])

    def evidence(self, row: int, concept: str) -> "Evidence":
        """Return the region of an image that gives a concept its value, and the cells that show the concept.

        Examples
        --------
        >>> found = session.evidence(row=2, concept="water")
        >>> found.mask.shape, found.score > 0
        ((14, 14), True)
        """
        from inficond.core.concepts import evidence

        self.concept_index(concept)
        context, row = self._context, self._row(row)
        regions, assignment = context.project.regions(row), context.project.assignment(row)
        cells, word = context.cells(row), context.words.embedding(concept)
        text = None if cells is None else context.words.text(concept)
        return evidence(regions, assignment, word, cells, text)

    def similar(self, row: int, n: int = 12) -> NDArray[np.intp]:
        """Return the rows of the n most similar other images, by cosine of standardised concept vectors.

        Examples
        --------
        >>> rows = session.similar(row=2, n=5)
        >>> len(rows), 2 in rows
        (5, False)
        """
        row, w, columns = self._row(row), self.workspace, self.columns
        parts = ((w.training_rows, columns.training), (w.validation_rows, columns.validation))
        z = (np.asarray(self.X[row], np.float32) - columns.mean) / columns.scale
        like = np.empty(w.n_images, np.float32)
        for (rows, Z), norms in zip(parts, w.norms(self.state.added)):
            like[rows] = (Z @ z) / norms
        like[row] = -np.inf
        n = int(min(max(n, 0), w.n_images - 1))
        best = np.argpartition(-like, n)[:n] if n < w.n_images else np.arange(w.n_images)
        return best[np.argsort(-like[best], kind="stable")]

    def classify(self, rgb: NDArray[np.uint8]) -> Classification:
        """Apply teacher and student to a picture outside the project.

        Parameters
        ----------
        rgb : ndarray of shape (H, W, 3), uint8
            The upright picture.

        Returns
        -------
        Classification
            The session does not keep it.

        Examples
        --------
        >>> import numpy as np
        >>> answer = session.classify(np.asarray(project.thumbnail_image(2)))
        >>> answer.student.shape, answer.classes[0]
        ((10,), 'water bird')
        """
        from inficond.core.concepts import concept_vectors
        from inficond.core.students.contributions import contributions

        context, students = self._context, self.students
        encoder = context.encoder
        seen = encoder.encode(encoder.preprocess(rgb)[None])
        regions = np.asarray(seen.regions[0], np.float16)
        words = students.embeddings
        if words is None:
            raise InputError(
                f"the project {context.project.name!r} stores no concept embeddings: build it again"
            )
        x = concept_vectors(regions[None], np.asarray(words, np.float32))[0]
        teacher = context.respond(rgb)
        return Classification(
            tuple(self.classes),
            teacher,
            students.predict(x[None])[0],
            x,
            regions,
            np.asarray(seen.assignment[0], np.uint8).reshape(encoder.grid),
            {cls: contributions(students, c, x) for c, cls in enumerate(self.classes)},
        )

    def _row(self, row: int) -> int:
        n = self.workspace.n_images
        if not 0 <= int(row) < n:
            raise InputError(f"image {row} does not exist: the project has {n} images, counted from 0")
        return int(row)

    def row_of(self, image: str) -> int:
        """Return the row of an image id; raise `InputError` with the nearest ids if there is none.

        Examples
        --------
        >>> session.row_of(session.image_ids[7])
        7
        """
        if image not in self.workspace.image_index:
            raise unknown("image", image, self.workspace.image_ids)
        return self.workspace.image_index[image]

    def summary(self) -> dict[str, Any]:
        """Return name, sizes, models, λ and the metrics of every class, as plain values.

        Examples
        --------
        >>> summary = session.summary()
        >>> summary["images"], summary["validation"], summary["link"]
        (1200, 480, 'sigmoid')
        """
        p = self._context.project
        return {
            "name": p.name,
            "images": len(p.image_ids),
            "validation": int(self.workspace.validation_rows.size),
            "concepts": len(self.columns.names),
            "added": list(self.state.added),
            "dropped": sorted(self.state.dropped),
            "classes": {cls: self.metrics(cls).to_dict() for cls in self.classes},
            "lam": self.state.lam,
            "link": self.workspace.students.link,
            "encoder": p.config.get("encoder"),
            "teacher": p.config.get("teacher"),
            "corpus": p.config.get("corpus"),
            "split": p.config.get("split"),
        }


def _sum(Z: NDArray[np.float32], keep: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the sum of selected rows in one pass over Z."""
    return keep.astype(np.float32) @ Z
