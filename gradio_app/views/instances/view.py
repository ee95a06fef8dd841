"""View 5: the selected images, and one of them opened: why the student says so, and where it looked."""

from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.evaluation.subsets import SUBSETS
from inficond.gradio_app import pictures
from inficond.gradio_app.presenters import bars_of
from inficond.gradio_app.queries import codes_of, columns_of, rows_of
from inficond.gradio_app.serialization import ints, octets, plain, quantised, shares
from inficond.gradio_app.views import Part, View

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

MOST_NAMED = 160
"""Images whose names come with the first page: more than fit on a screen."""
MOST_BARS = 14
MOST_EVIDENCE = 12


def _index(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    """How the sheets of thumbnails are laid out, and the names of the images that are seen first.

    All names follow in a part of their own: a page on many images is not to wait for them.
    """
    project = visitor.project
    rows = rows_of(visitor, selection)
    c = visitor.session.class_index(selection.cls)
    disputed = np.abs(visitor.session.targets(selection.cls)[rows] - visitor.session.scores()[rows, c])
    first = rows[np.argsort(-disputed, kind="stable")[:MOST_NAMED]]
    return {
        "n": len(project),
        "rows": ints(first),
        "ids": [project.image_ids[r] for r in first],
        "held_out": ints(project.validation_rows),
        "tile": pictures.TILE,
        "columns": pictures.COLUMNS,
        "per_sheet": pictures.PER_SHEET,
        "sheets": [visitor.sheet_url(i) for i in range((len(project) - 1) // pictures.PER_SHEET + 1)],
    }


def _ids(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    return {"ids": visitor.project.image_ids}


def _gallery(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    session = visitor.session
    rows = rows_of(visitor, selection)
    c = session.class_index(selection.cls)
    codes = codes_of(visitor, selection.cls)
    everything = selection.scope == "all"
    scope = np.ones(len(codes), bool) if everything else visitor.project.is_validation
    counts = np.bincount(codes[scope], minlength=len(SUBSETS))
    return {
        "rows": ints(rows),
        "teacher": shares(session.targets(selection.cls)[rows]),
        "student": shares(session.scores()[rows, c]),
        "codes": octets(codes[rows]),
        "counts": {name: int(counts[i]) for i, name in enumerate(SUBSETS)},
        "total": int(scope.sum()),
        "caption": _caption(selection, len(rows)),
    }


def _caption(selection: "Selection", n: int) -> str:
    shown = f"{n:,}".replace(",", "\u202f")
    if selection.slice:
        return f"{shown} misaligned in “{selection.slice}”"
    if selection.subset is None:
        return f"all {shown} images" if selection.scope == "all" else f"all {shown} held-out images"
    where = "of all images" if selection.scope == "all" else "of the held-out images"
    what = {
        "missed": "teacher yes, student no",
        "extra": "teacher no, student yes",
        "agree-pos": "both say yes",
        "agree-neg": "both say no",
    }[selection.subset]
    return f"{shown} {where}: {what}"


def _values(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    """The value of each concept that the views speak of in each shown image, for hovering and brushing."""
    session = visitor.session
    columns, rows, names = columns_of(visitor, selection), rows_of(visitor, selection), session.concepts
    return {
        "rows": ints(rows),
        "concepts": [names[k] for k in columns],
        "values": quantised(np.asarray(session.X[rows][:, columns], np.float32).T),
    }


def _opened(visitor: "Visitor", selection: "Selection") -> dict[str, Any] | None:
    if selection.image is None:
        return None
    session, project = visitor.session, visitor.project
    row = visitor.image_index[selection.image]
    c = session.class_index(selection.cls)
    why = session.contributions(selection.cls, row)
    bars = bars_of(why, session.concepts, MOST_BARS)
    evidence = {}
    try:
        for bar in [b for b in bars if b["kind"] == "concept"][:MOST_EVIDENCE]:
            found = session.evidence(row, bar["name"])
            cells = np.asarray(found.mask, bool).ravel()
            evidence[bar["name"]] = {
                "score": float(found.score),
                "cells": "".join("1" if v else "0" for v in cells),
            }
    except InputError:
        evidence = {}  # a project without regions: the bars stand alone
    label = None if project.labels is None else float(project.labels[row, c])
    first = next((b["name"] for b in bars if b["kind"] == "concept" and b["name"] in evidence), None)
    return plain(
        {
            "id": selection.image,
            "row": row,
            "url": visitor.picture_url(row),
            "teacher": float(session.targets(selection.cls)[row]),
            "student": float(session.scores()[row, c]),
            "label": None if label is None or label != label else bool(label >= 0.5),
            "bars": [{**b, "evidence": b["name"] in evidence} for b in bars],
            "evidence": evidence,
            "first": first,
            "grid": list(project.grid or (1, 1)),
            "crop": list(project.crop(row)),
            "validation": bool(project.is_validation[row]),
        }
    )


VIEW = View(
    "instances",
    5,
    "Instances",
    "The images behind the numbers. Open one to see why, and where.",
    (
        Part("instances.index", (), _index),
        Part("instances.gallery", ("cls", "subset", "slice", "scope", "node"), _gallery),
        Part("instances.opened", ("cls", "image", "node"), _opened),
        Part("instances.ids", (), _ids, slow=1),
        Part("instances.values", ("cls", "subset", "slice", "scope", "concepts", "node"), _values, slow=1),
    ),
)
