"""The map of the images as the page shows it: positions, colours and thumbnails."""

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from inficond.core.errors import InputError, unknown
from inficond.core.progress import Progress
from inficond.core.project.image_map import LEAST_IMAGES, STEPS, ImageMap
from inficond.core.sessions.map_colours import (
    Categories,
    Values,
    class_categories,
    concept_values,
    probability_values,
    slice_categories,
)
from inficond.gradio_app.queries import class_subset_codes
from inficond.gradio_app.selection import Selection
from inficond.gradio_app.serialization import encode_probabilities, encode_uint8
from inficond.gradio_app.visitor import Visitor

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = (
    "subset", "slice", "teacher-class", "student-class", "label-class", "teacher", "student", "concept",
)  # fmt: skip
"""What the images of the map can be coloured by."""
TILE = 64
"""Side of a thumbnail on the map, in pixels."""
COLUMNS = 8
MOST_TILES = 64
"""Thumbnails in one response."""


class MapPayload(TypedDict):
    """Positions of all images in the unit square, as `encode_probabilities` packs them.

    `unavailable` is the reason for which there is no map.
    """

    unavailable: str
    n: int
    layout: str
    x: str
    y: str
    about: str
    labelled: bool


class ColoursPayload(TypedDict):
    """A category or a value of each image: `codes` are indices into `names`, or levels from `low` to `high`.

    255 is the code of an image without a category.
    """

    by: str
    kind: Literal["subsets", "categories", "values"]
    title: str
    codes: str
    names: list[str]
    low: float
    high: float


class TilesPayload(TypedDict):
    """Thumbnails of some images as one picture, row by row."""

    rows: list[int]
    url: str
    tile: int
    columns: int


def map_payload(visitor: Visitor) -> MapPayload | None:
    """Return the map of the images, or None if it is not computed yet."""
    if len(visitor.project) < LEAST_IMAGES:
        return _unavailable(visitor)
    found = visitor.session.context.known_map()
    return None if found is None else _packed(visitor, found)


def compute_map(visitor: Visitor, progress: Progress) -> MapPayload:
    """Compute the map of the images, or wait until another thread has done so."""
    return _packed(visitor, visitor.session.context.image_map(progress))


def _unavailable(visitor: Visitor) -> MapPayload:
    n = len(visitor.project)
    line = (
        f"A map needs at least {LEAST_IMAGES} images, and this project has {n}. Build the project again with "
        "more images."
    )
    return {"unavailable": line, "n": n, "layout": "", "x": "", "y": "", "about": "", "labelled": False}


def _packed(visitor: Visitor, found: ImageMap) -> MapPayload:
    x, y = (found.positions[:, i] / STEPS for i in (0, 1))
    return {
        "unavailable": "",
        "n": len(found.positions),
        "layout": found.layout,
        "x": encode_probabilities(x),
        "y": encode_probabilities(y),
        "about": _about(found),
        "labelled": visitor.project.labels is not None,
    }


def _about(found: ImageMap) -> str:
    made_of = {
        "regions": "mean embedding of each image's regions",
        "concepts": "concept values, since the project stores no embeddings",
    }[found.source]
    share = 100 * sum(found.variance)
    return f"First two principal components of the {made_of}: {share:.0f} % of the variance."


def colours_payload(visitor: Visitor, selection: Selection, request: Mapping[str, Any]) -> ColoursPayload:
    """Return the colours of the map for a selection.

    Raises
    ------
    InputError
        The kind of colours or the concept is unknown, or the project has no labels.
    """
    by = request.get("by", COLOURS[0])
    if by not in COLOURS:
        raise unknown("colouring of the map", f"{by!s:.40}", COLOURS)
    session, cls = visitor.session, selection.cls
    if by == "subset":
        codes = class_subset_codes(visitor, cls)
        return _colours(by, Categories(codes, ()), f"teacher and student on {cls}", "subsets")
    if by == "slice":
        found = visitor.cached(("map slices", cls), lambda: slice_categories(session, visitor.slices(cls)))
        return _colours(by, found, f"slices of {cls}")
    if by == "concept":
        concept = request.get("concept")
        name = concept if isinstance(concept, str) and concept else _strongest(visitor, cls)
        return _colours(by, concept_values(session, name), name)
    source, _, of_class = by.partition("-")
    if of_class:
        found = visitor.cached(("map classes", source), lambda: class_categories(session, source))
        title = {"teacher": "teacher's class", "student": "student's class", "label": "labelled class"}[
            source
        ]
        return _colours(by, found, title)
    return _colours(by, probability_values(session, source, cls), f"{source}'s probability of {cls}")


def _strongest(visitor: Visitor, cls: str) -> str:
    """Return the concept with the largest weight of a class."""
    weights = np.abs(visitor.session.influence(cls).weights)
    return visitor.session.concepts[int(weights.argmax())]


def _colours(
    by: str,
    found: Categories | Values,
    title: str,
    kind: Literal["subsets", "categories", "values"] = "categories",
) -> ColoursPayload:
    if isinstance(found, Values):
        codes, names, low, high = found.levels, tuple[str, ...](), found.low, found.high
        kind = "values"
    else:
        codes, names, low, high = found.codes, found.names, 0.0, 0.0
    return {
        "by": by,
        "kind": kind,
        "title": title,
        "codes": encode_uint8(codes),
        "names": list(names),
        "low": low,
        "high": high,
    }


def tiles_payload(visitor: Visitor, requested: Any) -> TilesPayload:
    """Return the thumbnails of some images as one picture.

    Raises
    ------
    InputError
        The rows are not 1 to `MOST_TILES` rows of the project.
    """
    n = len(visitor.project)
    if not isinstance(requested, list) or not 0 < len(requested) <= MOST_TILES:
        raise InputError(f"the request needs a list of 1 to {MOST_TILES} rows")
    if not all(isinstance(r, int) and not isinstance(r, bool) and 0 <= r < n for r in requested):
        raise InputError(f"a row is not an image of this project: rows are integers from 0 to {n - 1}")
    picture = _picture(visitor, requested)
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=80, method=0)
    url = f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
    return {"rows": requested, "url": url, "tile": TILE, "columns": COLUMNS}


def _picture(visitor: Visitor, rows: list[int]) -> "Image":
    from PIL import Image, ImageOps

    lines = -(-len(rows) // COLUMNS)
    picture = Image.new("RGB", (COLUMNS * TILE, lines * TILE), (128, 136, 146))
    for i, row in enumerate(rows):
        try:
            tile = ImageOps.fit(visitor.project.thumbnail_image(row), (TILE, TILE))
        except InputError:
            continue  # a missing or damaged thumbnail becomes a grey tile
        picture.paste(tile, (i % COLUMNS * TILE, i // COLUMNS * TILE))
    return picture
