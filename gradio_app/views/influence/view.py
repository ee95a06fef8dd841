"""View 3: the weights of one class, and the values of each concept in agreeing and misaligned images."""

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from inficond.gradio_app.queries import (
    class_subset_codes,
    describe_filters,
    evenly_spaced,
    selected_rows,
    visible_columns,
)
from inficond.gradio_app.serialization import (
    QuantizedRows,
    encode_int32,
    encode_uint8,
    quantize_rows,
    to_plain,
)
from inficond.gradio_app.views import FILTERS, View, ViewPart

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

MAX_DOTS = 110
"""Dots on each side of the line."""
SUBSET_LABELS = {"missed": "missed", "extra": "extra", "agree-pos": "both yes", "agree-neg": "both no"}


class Points(TypedDict):
    """Values of the concepts in a sample of images; sides are 0 (agreeing), 1 (missed) or 2 (extra)."""

    rows: str
    sides: str
    concepts: list[str]
    values: QuantizedRows


class RowsPart(TypedDict):
    """The part ``influence.rows``."""

    cls: str
    part: str
    rows: list[dict[str, Any]]
    n_active: int
    n_concepts: int
    points: Points


def _rows(visitor: "Visitor", selection: "Selection") -> RowsPart:
    session = visitor.session
    influence = visitor.cached(("influence", selection.cls), lambda: session.influence(selection.cls))
    columns = visible_columns(visitor, selection)
    added = session.concepts[len(visitor.project.concepts) :]
    rows = [
        {
            "name": influence.concepts[k],
            "group": influence.groups[k],
            "weight": float(influence.weights[k]),
            "gap": float(influence.gap[k]),
            "added": influence.concepts[k] in added,
        }
        for k in columns
    ]
    subset = SUBSET_LABELS.get(selection.subset or "", "")
    filters = describe_filters(selection).removeprefix(f"{selection.cls} ")  # “called …” follows the class
    return {
        "cls": selection.cls,
        "part": selection.slice or ", ".join(filter(None, (subset, filters))),
        "rows": to_plain(rows),
        "n_active": int(np.count_nonzero(influence.weights)),
        "n_concepts": len(influence.concepts),
        "points": _points(visitor, selection, columns, [influence.concepts[k] for k in columns]),
    }


def _points(visitor: "Visitor", selection: "Selection", columns: list[int], names: list[str]) -> Points:
    """Return the values of a sample of validation images, of the selected images where some are selected."""
    codes = class_subset_codes(visitor, selection.cls)
    validation = visitor.project.validation_rows
    agreeing = validation[codes[validation] < 2]
    misaligned = validation[codes[validation] >= 2]
    filters = (selection.slice, selection.subset, selection.actual, selection.predicted, selection.moved)
    if any(filters) or selection.area:
        chosen = selected_rows(visitor, selection)
        if len(chosen):
            is_misaligned = codes[chosen] >= 2
            agreeing = chosen[~is_misaligned] if (~is_misaligned).any() else agreeing
            misaligned = chosen[is_misaligned] if is_misaligned.any() else misaligned
    rows = np.concatenate([evenly_spaced(agreeing, MAX_DOTS), evenly_spaced(misaligned, MAX_DOTS)])
    sides = np.select([codes[rows] == 2, codes[rows] == 3], [1, 2], 0)
    values = np.asarray(visitor.session.X[rows][:, columns], np.float32).T
    return {
        "rows": encode_int32(rows),
        "sides": encode_uint8(sides),
        "concepts": names,
        "values": quantize_rows(values),
    }


VIEW = View(
    "influence",
    3,
    "Concept influence",
    "The student: concepts for and against the class. Hover over a concept to see its images.",
    (
        ViewPart(
            "influence.rows", ("cls", "subset", "slice", "concepts", *FILTERS, "node"), _rows, shared=True
        ),
    ),
)
