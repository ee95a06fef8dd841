"""Queries that several views share: the rows, columns and subset codes of a selection."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation.subsets import SUBSETS, subset_codes
from inficond.core.sessions.class_confusion import actual_classes, predicted_classes
from inficond.core.sessions.map_area import images_in
from inficond.gradio_app.comparison import describe_moved, moved_rows

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
        rows = np.asarray(found.misaligned if found is not None else [], np.intp)
        return rows if selection.area is None else rows[area_mask(visitor, selection.area)[rows]]
    scope = scope_mask(visitor, selection)
    if selection.subset is not None:
        scope = scope & (class_subset_codes(visitor, selection.cls) == SUBSETS.index(selection.subset))
    return np.flatnonzero(scope)


def scope_mask(visitor: "Visitor", selection: "Selection") -> NDArray[np.bool_]:
    """Return which images the scope and the filters leave, whatever the subset; shape (N,)."""
    project, session = visitor.project, visitor.session
    if selection.moved is not None:  # teachers are compared on training images too
        mask = np.zeros(len(project), bool)
        mask[moved_rows(visitor, selection.cls, selection.moved)] = True
    else:
        mask = np.ones(len(project), bool) if selection.scope == "all" else project.is_validation
    if selection.actual is not None:
        mask = mask & _has_actual_class(visitor, selection)
    if selection.predicted is not None:
        predicted = visitor.cached(("predicted",), lambda: predicted_classes(session))
        mask = mask & (predicted == session.class_index(selection.predicted))
    if selection.area is not None:
        mask = mask & area_mask(visitor, selection.area)
    return mask


def area_mask(visitor: "Visitor", area: str) -> NDArray[np.bool_]:
    """Return which images lie in an area of the map, (N,)."""
    return visitor.cached(("area", area), lambda: images_in(visitor.session.context.image_map(), area))


def describe_filters(selection: "Selection") -> str:
    """Return the filters as text: ``rose called tulip``, ``area of the map``; empty without filters."""
    moved = describe_moved(selection.moved) if selection.moved else ""
    area = "area of the map" if selection.area else ""
    return ", ".join(filter(None, (_describe_classes(selection), moved, area)))


def _describe_classes(selection: "Selection") -> str:
    if selection.actual and selection.predicted:
        return f"{selection.actual} called {selection.predicted}"
    if selection.predicted:
        return f"called {selection.predicted}"
    reference = "teacher" if selection.reference == "teacher" else "label"
    return f"{reference} {selection.actual}" if selection.actual else ""


def reference_of(visitor: "Visitor", selection: "Selection") -> str | None:
    """Return what the actual classes are taken from; None if the classes do not exclude each other."""
    known = visitor.class_references()
    return selection.reference if selection.reference in known else next(iter(known), None)


def _has_actual_class(visitor: "Visitor", selection: "Selection") -> NDArray[np.bool_]:
    """Return which images have the selected actual class, (N,).

    An image can have the labels of several classes; of the teacher's classes only the most probable counts.
    """
    assert selection.actual is not None
    c = visitor.session.class_index(selection.actual)
    labels = visitor.project.labels
    if labels is not None and selection.reference != "teacher":
        return np.asarray(labels[:, c]) >= 0.5
    return visitor.cached(("teacher's",), lambda: actual_classes(visitor.session, "teacher")) == c


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
