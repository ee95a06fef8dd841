"""Queries that several views share: the rows, columns and subset codes of a selection."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation.subsets import SUBSETS, subset_codes

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor


MAX_ACTIVE = 40
"""Number of concepts with a non-zero weight that the views show, largest weights first."""
MAX_GAP = 10
"""Number of concepts with weight 0 that the views show, largest difference between agreeing and misaligned
images first."""


def class_subset_codes(visitor: "Visitor", cls: str) -> NDArray[np.uint8]:
    """Return the index into `SUBSETS` of every image of the project, training images included; shape (N,)."""

    def make() -> NDArray[np.uint8]:
        session = visitor.session
        c = session.class_index(cls)
        threshold = float(session.students.thresholds[c])
        return subset_codes(session.targets(cls), session.scores()[:, c], threshold=threshold)

    return visitor.cached(("codes", cls), make)


def selected_rows(visitor: "Visitor", selection: "Selection") -> NDArray[np.intp]:
    """Return the rows of the selected slice or subset, or of all images.

    Only validation images are returned unless the scope of the selection is ``all``.
    """
    if selection.slice is not None:
        found = visitor.slice(selection.cls, selection.slice)
        return np.asarray(found.misaligned if found is not None else [], np.intp)
    scope = np.ones(len(visitor.project), bool) if selection.scope == "all" else visitor.project.is_validation
    if selection.subset is not None:
        scope = scope & (class_subset_codes(visitor, selection.cls) == SUBSETS.index(selection.subset))
    return np.flatnonzero(scope)


def visible_columns(visitor: "Visitor", selection: "Selection") -> list[int]:
    """Return the columns of the concepts that the views show.

    These are the concepts with the largest weights, then those that are selected, added or bounded, then
    those with weight 0 whose values differ most between agreeing and misaligned images.
    """
    session = visitor.session
    influence = visitor.cached(("influence", selection.cls), lambda: session.influence(selection.cls))
    weights = influence.weights
    active = np.flatnonzero(weights)
    active = active[np.argsort(-np.abs(weights[active]), kind="stable")][:MAX_ACTIVE]
    inactive = np.flatnonzero(weights == 0)
    gaps = np.abs(np.nan_to_num(influence.gap[inactive]))
    by_gap = inactive[np.argsort(-gaps, kind="stable")][:MAX_GAP]
    index = visitor.concept_index
    added = session.concepts[len(visitor.project.concepts) :]
    requested = [index[c] for c in (*selection.concepts, *added, *influence.bounds) if c in index]
    columns = dict.fromkeys([*active.tolist(), *requested, *by_gap.tolist()])
    return [int(k) for k in columns if influence.concepts[k] not in influence.dropped]


def evenly_spaced(rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Return at most `count` of the rows, evenly spaced."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
