"""Read-only queries about one image: contributions, evidence, similar images, classification."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.sessions.project_context import ProjectContext
from inficond.core.sessions.session_queries import SessionQueries

if TYPE_CHECKING:
    from inficond.core.concepts import Evidence
    from inficond.core.students import Contributions


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


class ImageQueries:
    """Explanations of one image at the current node of a session.

    Parameters
    ----------
    context : ProjectContext
    queries : SessionQueries
        Of the session.

    Examples
    --------
    `Session` has these methods too. The examples of the methods use this session.

    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> session = project.session()
    >>> len(session.image_queries.similar(row=2, n=5))
    5
    """

    def __init__(self, context: ProjectContext, queries: SessionQueries) -> None:
        self._context, self._queries = context, queries

    def contributions(self, cls: str, row: int) -> "Contributions":
        """Return the contribution of each concept to the student's logit for an image.

        Examples
        --------
        >>> parts = session.contributions("water bird", row=2)
        >>> [session.concepts[k] for k in parts.columns[:2]]
        ['duck', 'fish']
        """
        from inficond.core.students.contributions import contributions

        queries = self._queries
        return contributions(queries.students, queries.class_index(cls), queries.X[self._row(row)])

    def evidence(self, row: int, concept: str) -> "Evidence":
        """Return the region of an image that gives a concept its value, and the cells that show the concept.

        Examples
        --------
        >>> found = session.evidence(row=2, concept="water")
        >>> found.mask.shape, found.score > 0
        ((14, 14), True)
        """
        from inficond.core.concepts import evidence

        self._queries.concept_index(concept)
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
        queries, row = self._queries, self._row(row)
        w, columns = queries.workspace, queries.columns
        parts = ((w.training_rows, columns.training), (w.validation_rows, columns.validation))
        z = (np.asarray(queries.X[row], np.float32) - columns.mean) / columns.scale
        like = np.empty(w.n_images, np.float32)
        for (rows, Z), norms in zip(parts, w.norms(queries.state.added)):
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

        context, students = self._context, self._queries.students
        encoder = context.encoder
        seen = encoder.encode(encoder.preprocess(rgb)[None])
        regions = np.asarray(seen.regions[0], np.float16)
        x = concept_vectors(regions[None], self._queries.required_embeddings())[0]
        teacher = context.respond(rgb)
        return Classification(
            tuple(students.classes),
            teacher,
            students.predict(x[None])[0],
            x,
            regions,
            np.asarray(seen.assignment[0], np.uint8).reshape(encoder.grid),
            {cls: contributions(students, c, x) for c, cls in enumerate(students.classes)},
        )

    def _row(self, row: int) -> int:
        n = self._queries.workspace.n_images
        if not 0 <= int(row) < n:
            raise InputError(f"image {row} does not exist: the project has {n} images, counted from 0")
        return int(row)
