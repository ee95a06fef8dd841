"""Steps that change the concepts of a session: add, add by example, rename, drop."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.history.node import Node
from inficond.core.sessions.image_queries import ImageQueries
from inficond.core.sessions.project_context import ProjectContext
from inficond.core.sessions.renamed_concepts import label_of, new_name
from inficond.core.sessions.session_history import SessionHistory
from inficond.core.sessions.session_queries import SessionQueries
from inficond.core.sessions.shown_concepts import SUFFIX, Example, ImageRegion, check_examples, distinct_label
from inficond.core.tuning import concepts

RENAMED_EXAMPLES = 12
"""Images whose evidence regions define a renamed concept."""


class ConceptSteps:
    """Steps that change the concepts and refit every class.

    Parameters
    ----------
    context : ProjectContext
    history : SessionHistory
        To which the steps are committed.
    queries : SessionQueries
    images : ImageQueries
        At the current node of the history.

    Examples
    --------
    `Session` has these methods too. The examples of the methods use this session.

    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> session = project.session()
    >>> session.concept_steps.drop_concept("fish").kind
    'drop'
    """

    def __init__(
        self, context: ProjectContext, history: SessionHistory, queries: SessionQueries, images: ImageQueries
    ) -> None:
        self._context, self._history, self._queries, self._images = context, history, queries, images
        self._workspace = context.workspace

    def add_concept(self, word: str, note: str = "") -> Node:
        """Add a word, or restore a dropped concept, and refit every class.

        Raises
        ------
        InputError
            The word is a concept already or not printable, the project stores no regions, or its encoder
            cannot be loaded.

        Examples
        --------
        >>> node = session.add_concept("beak")
        >>> node.title, session.concepts[-1]
        ('add concept beak', 'beak')
        """
        with self._history.lock:
            state, certificates = concepts.added(self._workspace, self._history.state, word)
            return self._history.commit(
                "add", state, certificates, detail={"concept": word.strip()}, note=note
            )

    def add_example(
        self,
        name: str,
        shown: Sequence[Example],
        not_shown: Sequence[Example] = (),
        note: str = "",
    ) -> Node:
        """Add a concept that regions of images define, and refit every class.

        Parameters
        ----------
        name : str
            The person's label; ``(by example)`` is appended.
        shown, not_shown : sequence of (image id, region)
            Regions that show the concept, and regions that do not; region -1 is the whole image. A region of
            a picture outside the project is a pair of `OWN_IMAGE` and its embedding as text. See
            `inficond.core.sessions.shown_concepts`.
        note : str
            Stored with the node.

        Raises
        ------
        InputError
            The examples are invalid or contradict each other, or the name is taken.

        Examples
        --------
        >>> shown = [(session.image_ids[row], 0) for row in session.subset("water bird", "missed")[:4]]
        >>> node = session.add_example("grey feathers", shown)
        >>> session.concepts[-1]
        'grey feathers (by example)'
        """
        label = " ".join(name.removesuffix(SUFFIX).split())
        if not label:
            raise InputError("a concept by example needs a name")
        full = label + SUFFIX
        shown, not_shown = check_examples(shown), check_examples(not_shown)
        with self._history.lock:
            user = None if self._history.persistent else self._history
            self._context.words.define(full, shown, not_shown, user)
            state, certificates = concepts.added(self._workspace, self._history.state, full)
            detail = {"concept": full, **_as_detail(shown, not_shown)}
            return self._history.commit("add", state, certificates, detail=detail, note=note)

    def rename_concept(self, old: str, new: str, note: str = "", by_example: bool = False) -> Node:
        """Rename a concept in one step.

        A word keeps its vector, evidence, weights and bounds; its name becomes ``NEW (was OLD)``. A concept
        by example keeps its examples.

        Parameters
        ----------
        old, new : str
            The concept, and its new name.
        note : str
            Stored with the node.
        by_example : bool
            In two steps, drop the concept and add what it showed as a concept by example: the evidence
            regions of the training images with the largest values.

        Raises
        ------
        InputError
            The old concept is unknown or dropped, or the name is empty, too long or that of another concept.

        Examples
        --------
        >>> node = session.rename_concept("foam", "white water")
        >>> node.title
        'rename foam to white water'
        >>> session.concepts[-1], "foam" in session.dropped
        ('white water (was foam)', True)
        """
        with self._history.lock:
            self._queries.concept_index(old)
            dropped = self._queries.dropped
            in_force = [name for name in self._queries.columns.names if name not in dropped]
            examples = self._context.words.examples(old)
            full = new_name(old, new, in_force, by_example or examples is not None)
            if by_example:
                regions = self._evidence_regions(old)
                self.drop_concept(old, note)
                return self.add_example(full, regions, note=note)
            detail: dict[str, Any] = {"renamed": old, "label": label_of(full)}
            if examples is not None:
                user = None if self._history.persistent else self._history
                if user is not None:
                    full = distinct_label(label_of(full), *examples) + SUFFIX
                self._context.words.define(full, *examples, user)
                detail |= _as_detail(*examples)
            detail["concept"] = full
            state, certificates = concepts.renamed(self._workspace, self._history.state, old, full)
            return self._history.commit("add", state, certificates, detail=detail, note=note)

    def _evidence_regions(self, concept: str) -> list[ImageRegion]:
        """Return the evidence regions of the training images with the largest values of a concept."""
        rows = self._context.project.training_rows
        columns, image_ids = self._queries.columns, self._queries.image_ids
        values = columns.training[:, columns.index[concept]]
        best = rows[np.argsort(-values, kind="stable")[:RENAMED_EXAMPLES]].tolist()
        return [(str(image_ids[row]), self._images.evidence(row, concept).region) for row in best]

    def drop_concept(self, name: str, note: str = "") -> Node:
        """Fix the weight of a concept to 0 in every class and refit.

        Raises
        ------
        InputError
            Unknown concept, or dropped before.

        Examples
        --------
        >>> node = session.drop_concept("fish")
        >>> session.dropped
        frozenset({'fish'})
        """
        with self._history.lock:
            state, certificates = concepts.dropped(self._workspace, self._history.state, name)
            return self._history.commit("drop", state, certificates, detail={"concept": name}, note=note)


def _as_detail(shown: Sequence[Example], not_shown: Sequence[Example]) -> dict[str, Any]:
    """Return examples as a node stores them."""
    named = {"shown": shown, "not_shown": not_shown}
    return {key: [list(pair) for pair in pairs] for key, pairs in named.items() if pairs}
