"""View 5: the selected images, and the explanation of one opened image."""

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from inficond.core.errors import InputError
from inficond.core.evaluation.subsets import SUBSETS
from inficond.gradio_app.comparison import describe_moved
from inficond.gradio_app.presenters import contribution_bars, is_unclear, not_seen_line
from inficond.gradio_app.project_images import COLUMNS, PER_SHEET, TILE
from inficond.gradio_app.queries import (
    class_subset_codes,
    describe_filters,
    scope_mask,
    selected_rows,
    visible_columns,
)
from inficond.gradio_app.serialization import (
    QuantizedRows,
    encode_int32,
    encode_probabilities,
    encode_uint8,
    quantize_rows,
    to_plain,
)
from inficond.gradio_app.views import FILTERS, View, ViewPart

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

IMAGES = ("cls", "subset", "slice", "scope", *FILTERS)
"""Fields of the selection that determine the images shown."""
MAX_NAMES = 160
"""Images whose names are sent with the first page; more than fit on a screen."""
MAX_BARS = 14
MAX_EVIDENCE = 12
MAX_CLASSES = 200
"""Classes whose responses to the opened image are sent, the most probable first."""
SUBSET_CAPTIONS = {
    "missed": "teacher yes, student no",
    "extra": "teacher no, student yes",
    "agree-pos": "both yes",
    "agree-neg": "both no",
}


class IndexPart(TypedDict):
    """The part ``instances.index``: the layout of the thumbnail sheets, and the first image names."""

    n: int
    rows: str
    ids: list[str]
    held_out: str
    tile: int
    columns: int
    per_sheet: int
    sheets: list[str | None]


class IdsPart(TypedDict):
    """The part ``instances.ids``: the names of all images, in the order of the project."""

    ids: list[str]


class FilterChip(TypedDict):
    """An active filter: the field of the selection and its text."""

    field: str
    text: str


class GalleryPart(TypedDict):
    """The part ``instances.gallery``: probabilities and subset codes of the selected images."""

    rows: str
    teacher: str
    student: str
    codes: str
    counts: dict[str, int]
    total: int
    caption: str
    labels: list[str]
    filters: list[FilterChip]


class ClassResponse(TypedDict):
    """The probabilities of a class for an image, and whether the image is labelled with it."""

    name: str
    teacher: float
    student: float
    label: bool


class ValuesPart(TypedDict):
    """The part ``instances.values``: values of the visible concepts in the selected images."""

    rows: str
    concepts: list[str]
    values: QuantizedRows


def _index(visitor: "Visitor", selection: "Selection") -> IndexPart:
    """Return the layout of the thumbnail sheets, and the names of the images with the largest disagreement.

    A part of its own holds all names, so that the first page does not wait for them.
    """
    project = visitor.project
    rows = selected_rows(visitor, selection)
    c = visitor.session.class_index(selection.cls)
    disagreement = np.abs(visitor.session.targets(selection.cls)[rows] - visitor.session.scores()[rows, c])
    first = rows[np.argsort(-disagreement, kind="stable")[:MAX_NAMES]]
    return {
        "n": len(project),
        "rows": encode_int32(first),
        "ids": [project.image_ids[r] for r in first],
        "held_out": encode_int32(project.validation_rows),
        "tile": TILE,
        "columns": COLUMNS,
        "per_sheet": PER_SHEET,
        "sheets": [visitor.sheet_url(i) for i in range((len(project) - 1) // PER_SHEET + 1)],
    }


def _ids(visitor: "Visitor", selection: "Selection") -> IdsPart:
    return {"ids": list(visitor.project.image_ids)}


def _gallery(visitor: "Visitor", selection: "Selection") -> GalleryPart:
    session = visitor.session
    rows = selected_rows(visitor, selection)
    c = session.class_index(selection.cls)
    codes = class_subset_codes(visitor, selection.cls)
    scope = scope_mask(visitor, selection)
    counts = np.bincount(codes[scope], minlength=len(SUBSETS))
    return {
        "rows": encode_int32(rows),
        "teacher": encode_probabilities(session.targets(selection.cls)[rows]),
        "student": encode_probabilities(session.scores()[rows, c]),
        "codes": encode_uint8(codes[rows]),
        "counts": {name: int(counts[i]) for i, name in enumerate(SUBSETS)},
        "total": int(scope.sum()),
        "caption": _caption(selection, len(rows)),
        "labels": list(visitor.project.classes) if visitor.project.labels is not None else [],
        "filters": _filters(selection),
    }


def _filters(selection: "Selection") -> list[FilterChip]:
    filters: list[FilterChip] = []
    if selection.actual:
        name = "teacher" if selection.reference == "teacher" else "label"
        filters.append({"field": "actual", "text": f"{name}: {selection.actual}"})
    if selection.predicted:
        filters.append({"field": "predicted", "text": f"student: {selection.predicted}"})
    if selection.moved:
        filters.append({"field": "moved", "text": describe_moved(selection.moved)})
    if selection.area:
        filters.append({"field": "area", "text": "area of the map"})
    return filters


def _caption(selection: "Selection", n: int) -> str:
    count = f"{n:,}".replace(",", "\u202f")
    if selection.slice:
        return f"{count} misaligned in “{selection.slice}”"
    filters = describe_filters(selection)
    if filters:
        subset = f", {SUBSET_CAPTIONS[selection.subset]}" if selection.subset else ""
        return f"{count} images: {filters}{subset}" if subset else f"{count} images"
    if selection.subset is None:
        return f"all {count} images" if selection.scope == "all" else f"all {count} held-out images"
    scope = "of all images" if selection.scope == "all" else "of the held-out images"
    return f"{count} {scope}: {SUBSET_CAPTIONS[selection.subset]}"


def _values(visitor: "Visitor", selection: "Selection") -> ValuesPart:
    """Return the values of the visible concepts in the selected images, for hovering and brushing."""
    session = visitor.session
    columns = visible_columns(visitor, selection)
    rows = selected_rows(visitor, selection)
    return {
        "rows": encode_int32(rows),
        "concepts": [session.concepts[k] for k in columns],
        "values": quantize_rows(np.asarray(session.X[rows][:, columns], np.float32).T),
    }


def _opened(visitor: "Visitor", selection: "Selection") -> dict[str, Any] | None:
    """Return the opened image: probabilities, contributions, and the evidence region of each concept."""
    if selection.image is None:
        return None
    session, project = visitor.session, visitor.project
    row = visitor.image_index[selection.image]
    c = session.class_index(selection.cls)
    bars = contribution_bars(session.contributions(selection.cls, row), session.students, MAX_BARS)
    evidence = {}
    try:
        present = [b for b in bars if b["kind"] == "concept" and "absence" not in b]
        for bar in present[:MAX_EVIDENCE]:
            if is_unclear(session.context.clearness(row, bar["name"])):
                bar["unclear"] = not_seen_line(bar["name"])
                continue
            region = session.evidence(row, bar["name"])
            cells = np.asarray(region.mask, bool).ravel()
            evidence[bar["name"]] = {
                "score": float(region.score),
                "cells": "".join("1" if v else "0" for v in cells),
            }
    except InputError:
        evidence = {}  # the project has no regions
    label = None if project.labels is None else float(project.labels[row, c])
    named = [b["name"] for b in bars if b["kind"] == "concept"]
    first = next((name for name in named if name in evidence), named[0] if named else None)
    payload: dict[str, Any] = to_plain(
        {
            "id": selection.image,
            "row": row,
            "url": visitor.image_url(row),
            "teacher": float(session.targets(selection.cls)[row]),
            "student": float(session.scores()[row, c]),
            "label": None if label is None or label != label else bool(label >= 0.5),
            "classes": _class_responses(visitor, row),
            "bars": [{**b, "evidence": b["name"] in evidence} for b in bars],
            "evidence": evidence,
            "first": first,
            "grid": list(project.grid or (1, 1)),
            "crop": list(project.crop(row)),
            "validation": bool(project.is_validation[row]),
        }
    )
    return payload


def _class_responses(visitor: "Visitor", row: int) -> list[ClassResponse]:
    """Return the responses of teacher and student to an image for all classes, the most probable first."""
    session, project = visitor.session, visitor.project
    student = session.scores()[row]
    found: list[ClassResponse] = [
        {
            "name": cls,
            "teacher": float(session.targets(cls)[row]),
            "student": float(student[c]),
            "label": project.labels is not None and bool(project.labels[row, c] >= 0.5),
        }
        for c, cls in enumerate(project.classes)
    ]
    found.sort(key=lambda r: -max(r["teacher"], r["student"]))
    return found[:MAX_CLASSES]


VIEW = View(
    "instances",
    5,
    "Instances",
    "The images behind the numbers. Open one to see why, and where.",
    (
        ViewPart("instances.index", (), _index),
        ViewPart("instances.gallery", (*IMAGES, "node"), _gallery, shared=True),
        ViewPart("instances.opened", ("cls", "image", "node"), _opened),
        ViewPart("instances.ids", (), _ids, slow=1),
        ViewPart("instances.values", (*IMAGES, "concepts", "node"), _values, slow=1),
    ),
)
