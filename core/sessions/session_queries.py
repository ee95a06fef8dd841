"""Read-only queries of a session: scores, metrics, subsets, slices."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from inficond.core.tuning.bounds import Bound
from inficond.core.tuning.columns import Columns
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

if TYPE_CHECKING:
    from inficond.core.evaluation import Slice


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

    def required_embeddings(self) -> NDArray[np.float32]:
        """Return `embeddings`.

        Raises
        ------
        InputError
            The project stores none.
        """
        found = self.embeddings
        if found is None:
            name = self._context.project.name
            raise InputError(f"the project {name!r} stores no concept embeddings: build it again")
        return found

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
        return self.workspace.validation_rows[self.subset_codes(cls) == SUBSETS.index(name)]

    def subset_codes(self, cls: str) -> NDArray[np.uint8]:
        """Return the index into `SUBSETS` of each validation image, in the order of the validation rows."""
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
