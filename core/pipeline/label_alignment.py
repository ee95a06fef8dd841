"""Alignment of ground-truth labels with a project's images and classes."""

from collections.abc import Sequence
from unicodedata import normalize

import numpy as np

from inficond.core.errors import InputError
from inficond.core.images import ImageSet
from inficond.core.models.tables import Table


def aligned_labels(
    table: Table, ids: Sequence[str], classes: Sequence[str]
) -> tuple[np.ndarray | None, list[str]]:
    """Return labels by image and class.

    Parameters
    ----------
    table : Table
        Labels as read from a file.
    ids : sequence of N str
        Image ids.
    classes : sequence of C str
        Names, matched exactly, else regardless of case where that is unique.

    Returns
    -------
    labels : (N, C) float32 or None
        0, 1, or NaN where unknown; None if the table has no label for these classes.
    notes : list of str
        How the table was understood and matched; images and classes without labels; one line each.

    Raises
    ------
    InputError
        The table names none of the images.
    """
    matching = table.match(ids)
    rows, known = matching.rows, matching.rows >= 0
    if not known.any():
        raise unmatched(table, ids)
    notes = [*table.notes, f"{table.path.name}: {matching.spelled}"]
    used = {int(row) for row in rows[known]}
    absent = [name for row, name in enumerate(table.images) if row not in used]
    if absent:
        notes.append(
            f"{table.path.name}: labels for {len(absent):,} image(s) ignored that are missing or not usable, "
            f"first {absent[0]!r:.80}"
        )
    if not known.all():
        first = ids[int(np.argmin(known))]
        notes.append(f"{table.path.name}: no labels for {int((~known).sum()):,} image(s), first {first!r}")
    columns = _columns(table.classes)
    labels = np.full((len(ids), len(classes)), np.nan, np.float32)
    without = []
    for c, name in enumerate(classes):
        name = _normal(name)
        column = columns.get(name, columns.get(name.casefold()))
        if column is None:
            without.append(name)
        else:
            labels[known, c] = table.values[rows[known], column]
    if without:
        shown = ", ".join(without[:5]) + ("…" if len(without) > 5 else "")
        notes.append(
            f"{table.path.name}: no labels for the class(es) {shown}; it has {', '.join(table.classes[:8])}"
        )
    return (None if len(without) == len(classes) else labels), notes


def source_labels(
    images: ImageSet, ids: Sequence[str], classes: Sequence[str]
) -> tuple[np.ndarray | None, list[str]]:
    """Return the labels that the images' source has, by image and class.

    Parameters
    ----------
    images : ImageSet
    ids : sequence of N str
        Ids of some of the images.
    classes : sequence of C str
        Names, matched as in `aligned_labels`.

    Returns
    -------
    labels : (N, C) float32 or None
        0, 1, or NaN where unknown; None if the source has no label for these classes.
    notes : list of str
        The classes without labels, one line.
    """
    if not images.classes:
        return None, []
    columns = _columns(images.classes)
    found = [columns.get(name, columns.get(name.casefold())) for name in map(_normal, classes)]
    if all(column is None for column in found):
        shown = ", ".join(images.classes[:8]) + (", …" if len(images.classes) > 8 else "")
        return None, [f"labels of the images are not used: none of the classes is one of {shown}"]
    row_of = {record.id: row for row, record in enumerate(images.records)}
    rows = [row_of[id] for id in ids]
    labels = np.full((len(ids), len(classes)), np.nan, np.float32)
    known = [c for c, column in enumerate(found) if column is not None]
    names = [images.classes[column] for column in found if column is not None]
    labels[:, known] = images.label_matrix(names)[rows]
    without = [name for name, column in zip(classes, found) if column is None]
    notes = [f"no labels of the images for the class(es) {', '.join(without[:5])}"] if without else []
    return labels, notes


def unmatched(table: Table, ids: Sequence[str]) -> InputError:
    """Return the error for a table that names none of the images."""
    matching = table.match(ids)
    if matching.ambiguous is not None:
        name, one, other = matching.ambiguous
        return InputError(
            f"{table.path} names none of the images uniquely: {name!r:.120} may be {one!r:.120} or "
            f"{other!r:.120}; write their paths"
        )
    return InputError(
        f"{table.path} names none of the images: it has for example {table.images[0]!r:.120}, the images are "
        f"called like {ids[0]!r:.120}; choose another column with --image-column, or correct the names"
    )


def _normal(name: str) -> str:
    return normalize("NFC", name)


def _columns(classes: Sequence[str]) -> dict[str, int]:
    """Column by name, and by name in lower case where that is unique."""
    columns: dict[str, int] = {}
    folded: dict[str, int | None] = {}
    for c, name in enumerate(classes):
        columns[name] = c
        folded[name.casefold()] = None if name.casefold() in folded else c
    return {**{name: c for name, c in folded.items() if c is not None}, **columns}
