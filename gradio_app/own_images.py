"""Predictions for an image that a visitor uploads."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from inficond.core.errors import InputError
from inficond.core.images.crop import centre_crop
from inficond.gradio_app.own_regions import OwnRegions
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.presenters import ContributionBar, contribution_bars, is_unclear, not_seen_line
from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.visitor import Visitor

if TYPE_CHECKING:
    import numpy as np

MAX_BARS = 10
MAX_FULL_PIXELS = 24_000_000
"""Pixels up to which an own image is decoded at full size."""
REDUCED_SIDE = 2000
"""Shorter side to which a larger image is reduced at most."""


class PredictionRow(TypedDict):
    """Probabilities and contributions of one class on an own image."""

    name: str
    teacher: float | None
    student: float
    bars: list[ContributionBar]


class PredictionPayload(TypedDict):
    """Teacher and student on an own image, with the evidence region of each concept shown.

    `key` names the image in requests; `regions` is the region of each cell of the grid, row by row.
    """

    name: str
    url: str
    key: str
    regions: list[int]
    rows: list[PredictionRow]
    evidence: dict[str, dict[str, Any]]
    grid: list[int]
    crop: list[float]
    line: str


def classify(visitor: Visitor, address: Any, name: Any) -> PredictionPayload:
    """Return the predictions of teacher and student for an uploaded image; delete the upload.

    Parameters
    ----------
    visitor : Visitor
    address : str
        Of an upload of this visitor.
    name : str
        Name of the person's file, for messages.

    Raises
    ------
    InputError
        There is no such upload, or it is not a readable image.
    """
    from PIL import Image

    files = visitor.files
    path = files.find_upload(address, visitor.token)
    shown = str(name)[:120] if isinstance(name, str) and name else path.name
    try:
        rgb = _decode(path, shown, files)
    finally:
        files.delete_upload(path)
    session, project = visitor.session, visitor.project
    found = session.classify(rgb)
    own = visitor.own_regions = OwnRegions(found.regions)
    rows: list[PredictionRow] = [
        {
            "name": cls,
            "teacher": None if found.teacher is None else to_plain(float(found.teacher[c])),
            "student": to_plain(float(found.student[c])),
            "bars": to_plain(contribution_bars(found.contributions[cls], session.students, MAX_BARS)),
        }
        for c, cls in enumerate(found.classes)
    ]
    rows.sort(key=lambda r: -max(r["student"], r["teacher"] or 0.0))
    line = "The image is used only while it is open here. It is deleted when you close it."
    if found.teacher is None:
        line += " The teacher of this project is a file of responses, which does not cover new images."
    share = (project.config.get("encoder") or {}).get("crop_share", 1.0)
    return {
        "name": shown,
        "url": files.add_own_image(visitor.token, Image.fromarray(rgb)),
        "key": own.key,
        "regions": [int(region) for region in found.assignment.ravel()],
        "rows": rows,
        "evidence": to_plain(_evidence(session, found, rows, rgb)),
        "grid": list(found.assignment.shape),
        "crop": list(centre_crop(rgb.shape[1], rgb.shape[0], share)),
        "line": line,
    }


def discard(visitor: Visitor) -> None:
    """Delete the visitor's own image and its regions."""
    visitor.own_regions = None
    visitor.files.discard_own_image(visitor.token)


def _decode(path: Path, shown: str, files: PageFiles) -> "np.ndarray":
    from PIL import Image

    from inficond.core.images.decode import UnreadableImage

    try:
        with Image.open(path) as image:
            is_large = image.size[0] * image.size[1] > MAX_FULL_PIXELS
    except Exception:  # `decode` explains what is wrong
        is_large = False
    try:
        return files.decoder.decode(path, REDUCED_SIDE if is_large else None)
    except UnreadableImage as error:
        raise InputError(f"“{shown}” cannot be used: {error.reason}. Your session is unchanged.") from None


def _evidence(
    session: Any, found: Any, rows: list[PredictionRow], rgb: "np.ndarray"
) -> dict[str, dict[str, Any]]:
    """Return the evidence of each concept in the bars: its score and its cells."""
    import numpy as np

    from inficond.core.concepts import evidence

    bars = [bar for row in rows for bar in row["bars"]]
    concepts = {bar["name"] for bar in bars if bar["kind"] == "concept" and "absence" not in bar}
    shown = session.context.cells_of(rgb)
    regions, unclear = {}, set[str]()
    for concept in concepts:
        embedding = session.context.words.embedding(concept)
        text = None if shown is None else session.context.words.text(concept)
        if shown is not None and is_unclear(
            session.context.clearness_in(shown, found.regions, found.assignment, concept)
        ):
            unclear.add(concept)
            continue
        region = evidence(found.regions, found.assignment, embedding, shown, text)
        cells = "".join("1" if v else "0" for v in np.asarray(region.mask, bool).ravel())
        regions[concept] = {"score": float(region.score), "cells": cells}
    for bar in bars:
        if bar["name"] in unclear and bar["kind"] == "concept" and "absence" not in bar:
            bar["unclear"] = not_seen_line(bar["name"])
    return regions
