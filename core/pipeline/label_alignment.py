"""Ground truth brought into the order of a project's images and classes."""

from collections.abc import Sequence

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.tables import Table


def aligned_labels(
    table: Table | None, ids: Sequence[str], classes: Sequence[str]
) -> tuple[np.ndarray | None, list[str]]:
    """Labels by image and class.

    Parameters
    ----------
    table : Table or None
        As read from the person's file.
    ids : N image ids
    classes : C names
        Matched without regard to case.

    Returns
    -------
    labels : (N, C) float32 or None
        0, 1, or NaN where unknown; None where the file says nothing about these classes.
    notes : list of str
        Labels for images that are not there, images and classes without labels: a line each.

    Raises
    ------
    InputError
        The file names none of the images.
    """
    if table is None:
        return None, []
    notes = list(table.notes)
    rows = table.rows_for(ids)
    known = rows >= 0
    if not known.any():
        raise InputError(
            f"{table.path} names none of the images: it has e.g. {table.images[0]!r}, the project {ids[0]!r}"
        )
    used = {int(row) for row in rows[known]}
    absent = [name for row, name in enumerate(table.images) if row not in used]
    if absent:
        notes.append(
            f"{table.path.name}: labels for {len(absent):,} image(s) that are not there or not usable "
            f"ignored, the first is {absent[0]!r}"
        )
    if not known.all():
        first = ids[int(np.argmin(known))]
        notes.append(
            f"{table.path.name}: no labels for {int((~known).sum()):,} image(s), the first is {first!r}"
        )
    columns = {name.casefold(): c for c, name in enumerate(table.classes)}
    labels = np.full((len(ids), len(classes)), np.nan, np.float32)
    without = []
    for c, name in enumerate(classes):
        column = columns.get(name.casefold())
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
