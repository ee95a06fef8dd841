"""Description of a folder of images before a project is built from it."""

from pathlib import Path
from typing import TypedDict

SHOWN = 4
"""Lines about images that are left out."""


class SourcePayload(TypedDict):
    """Images and labels found in a folder."""

    images: int
    classes: list[str]
    lines: list[str]


def describe_source(folder: Path, labels: Path | None = None) -> SourcePayload:
    """Find the images and labels of a folder; nothing is decoded.

    Parameters
    ----------
    folder : Path
    labels : Path, optional
        A table of labels, which is matched with the images.

    Returns
    -------
    SourcePayload
        The number of images, the names of the classes, and what was found, one line each.

    Raises
    ------
    InputError
        There are no images, or the table cannot be used.
    """
    from inficond.core.images import open_source
    from inficond.core.models.tables import read_labels
    from inficond.core.pipeline.label_alignment import aligned_labels

    left_out: list[str] = []
    found = open_source(folder, lambda name, reason: left_out.append(f"{name}: {reason}"))
    lines = [f"{len(found.records):,} images", *found.notes]
    classes = list(found.classes)
    if labels is not None:
        table = read_labels(labels)
        _, notes = aligned_labels(table, [record.id for record in found.records], table.classes)
        classes = list(table.classes)
        lines += notes
    lines += left_out[:SHOWN]
    if len(left_out) > SHOWN:
        lines.append(f"{len(left_out) - SHOWN:,} more files are left out")
    return {"images": len(found.records), "classes": classes, "lines": lines}
