"""Which images a selection means, and in which of the four subsets each of them is."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation.subsets import SUBSETS, subset_codes

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor


MOST_ACTIVE = 40
"""Concepts with weight, the largest first."""
BY_GAP = 10
"""Concepts without weight that tell agreeing from misaligned images best: what the student does not use,
but might."""


def codes_of(visitor: "Visitor", cls: str) -> NDArray[np.uint8]:
    """(N,) index into `SUBSETS` of every image of the project, training images included."""

    def make() -> NDArray[np.uint8]:
        session = visitor.session
        c = session.class_index(cls)
        threshold = float(session.students.thresholds[c])
        return subset_codes(session.targets(cls), session.scores()[:, c], threshold=threshold)

    return visitor.memo(("codes", cls), make)


def rows_of(visitor: "Visitor", selection: "Selection") -> NDArray[np.intp]:
    """The rows that the selection shows: of a slice, a subset, or all; validation images unless told
    otherwise."""
    if selection.slice is not None:
        found = visitor.slice(selection.cls, selection.slice)
        return np.asarray(found.misaligned if found is not None else [], np.intp)
    scope = np.ones(len(visitor.project), bool) if selection.scope == "all" else visitor.project.is_validation
    if selection.subset is not None:
        scope = scope & (codes_of(visitor, selection.cls) == SUBSETS.index(selection.subset))
    return np.flatnonzero(scope)


def columns_of(visitor: "Visitor", selection: "Selection") -> list[int]:
    """The concepts that the views speak of: with weight, the largest first; picked, added or bounded ones;
    those without weight that tell agreeing from misaligned images best."""
    session = visitor.session
    found = visitor.memo(("influence", selection.cls), lambda: session.influence(selection.cls))
    weights = found.weights
    active = np.flatnonzero(weights)
    active = active[np.argsort(-np.abs(weights[active]), kind="stable")][:MOST_ACTIVE]
    idle = np.flatnonzero(weights == 0)
    telling = idle[np.argsort(-np.abs(np.nan_to_num(found.gap[idle])), kind="stable")][:BY_GAP]
    index = visitor.concept_index
    added = session.concepts[len(visitor.project.concepts) :]
    wanted = [index[c] for c in (*selection.concepts, *added, *found.bounds) if c in index]
    shown = dict.fromkeys([*active.tolist(), *wanted, *telling.tolist()])
    return [int(k) for k in shown if found.concepts[k] not in found.dropped]


def spread(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most `most` of the rows, evenly spaced: the same ones every time."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
