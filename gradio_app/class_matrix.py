"""The class × concept matrix and the confused classes as the page shows them."""

from typing import Any, TypedDict

import numpy as np

from inficond.core.sessions.class_matrix import class_matrix
from inficond.core.sessions.confused_pairs import ConfusedPair, confused_pairs
from inficond.gradio_app.queries import reference_of
from inficond.gradio_app.selection import Selection
from inficond.gradio_app.serialization import encode_float32, encode_int32
from inficond.gradio_app.visitor import Visitor

MOST_SHARED = 4
"""Shared and separating concepts of a pair that are named."""


class PairPayload(TypedDict):
    """Two confused classes: `line` says what they share, `advice` what is lacking; see `ConfusedPair`."""

    actual: str
    predicted: str
    images: int
    share: float
    line: str
    advice: str
    kind: str
    concept: str | None
    shared: list[str]


class MatrixPayload(TypedDict):
    """Weights of all classes that are not 0, as packed columns, and orders of classes and concepts."""

    classes: list[str]
    concepts: list[str]
    groups: list[str]
    n_concepts: int
    rows: str
    columns: str
    weights: str
    class_order: str
    concept_order: str
    exclusive: bool
    pairs: list[PairPayload]


def matrix_payload(visitor: Visitor, selection: Selection) -> MatrixPayload:
    """Return the matrix at the visitor's current node."""
    session = visitor.session
    reference = reference_of(visitor, selection)
    matrix = visitor.cached(("matrix",), lambda: class_matrix(session))
    pairs = visitor.cached(("confused pairs", reference), lambda: confused_pairs(session, reference))
    return {
        "classes": list(matrix.classes),
        "concepts": list(matrix.concepts),
        "groups": list(matrix.groups),
        "n_concepts": matrix.n_concepts,
        "rows": encode_int32(matrix.rows),
        "columns": encode_int32(matrix.columns),
        "weights": encode_float32(matrix.weights),
        "class_order": encode_int32(np.asarray(matrix.class_order)),
        "concept_order": encode_int32(np.asarray(matrix.concept_order)),
        "exclusive": reference is not None,
        "pairs": [_pair(pair) for pair in pairs],
    }


def _pair(pair: ConfusedPair) -> PairPayload:
    shared = _names(pair.shared) or "no concept"
    apart = _names(pair.separating) or "no concept"
    return {
        "actual": pair.actual,
        "predicted": pair.predicted,
        "images": pair.images,
        "share": pair.share,
        "line": f"Shared: {shared}. Different: {apart}.",
        "advice": _advice(pair),
        "kind": pair.kind,
        "concept": pair.concept,
        "shared": list(pair.shared[:MOST_SHARED]),
    }


def _names(concepts: tuple[str, ...]) -> str:
    more = len(concepts) - MOST_SHARED
    return ", ".join(concepts[:MOST_SHARED]) + (f" and {more} more" if more > 0 else "")


def _advice(pair: ConfusedPair) -> str:
    apart = f"“{pair.concept}” differs between them by {pair.effect:.1f} standard deviations"
    lines: dict[str, Any] = {
        "unused": f"{apart}, but neither class uses it: tune it.",
        "alike": f"{apart}, but both classes use it alike: tune it.",
        "missing": "No concept of the project differs clearly between them: add one.",
        "used": f"{apart} and is used: its weight may be too small.",
        "few": "Too few training images to compare the two classes.",
    }
    return str(lines[pair.kind])
