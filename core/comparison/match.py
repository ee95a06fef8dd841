"""Images that two sides have in common."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.comparison.sides import Side
from inficond.core.errors import InputError
from inficond.core.project.folder import ProjectFolder
from inficond.core.tables import match_names

NOT_HELD_OUT = (
    "No common image is held out on both sides, so the comparison is on images of which some were used for "
    "fitting."
)

MOST_DIFFERENT = 8.0
"""Mean difference, in grey values from 0 to 255, of 16 × 16 thumbnails of one image stored in two ways."""


@dataclass(frozen=True, eq=False)
class CommonImages:
    """Pairs of rows that show the same image.

    Parameters
    ----------
    first, second : array (n,)
        Rows of both sides, in the order of the first.
    matched_by : str
        ``project``, ``content`` or ``name``.
    found : int
        Common images, with those that a student was fitted on.
    note : str
        A sentence for the person; empty if there is none.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    matched_by: str
    found: int
    note: str = ""


def common_images(a: Side, b: Side) -> CommonImages:
    """Return the images that both sides have and that none of them was fitted on.

    Images of two projects are the same if their stored thumbnails are, whatever their names. If no thumbnails
    are the same, for instance because one project stores smaller ones, images of the same name whose
    thumbnails look alike are. Other sides are matched by names.

    Raises
    ------
    InputError
        There is no common image.
    """
    if a.project is not None and b.project is not None:
        if a.project.path == b.project.path:
            rows = np.arange(len(a.image_ids))
            return _unseen(a, b, rows, rows, "project")
        first, second = _by_content(a.project, b.project)
        if len(first):
            return _unseen(a, b, first, second, "content")
        first, second = _by_name(a, b)
        pairs = zip(first.tolist(), second.tolist())
        alike = np.array([_may_be_the_same(a.project, i, b.project, j) for i, j in pairs], bool)
        first, second = first[alike], second[alike]
    else:
        first, second = _by_name(a, b)
    if not len(first):
        raise InputError(
            f"{a.name!r} and {b.name!r} have no image in common: {len(a.image_ids):,} and "
            f"{len(b.image_ids):,} images, compared by content and name; build both from the same images"
        )
    return _unseen(a, b, first, second, "name")


def _unseen(
    a: Side, b: Side, first: NDArray[np.intp], second: NDArray[np.intp], matched_by: str
) -> CommonImages:
    keep = a.unseen[first] & b.unseen[second]
    if not keep.any():
        return CommonImages(first, second, matched_by, len(first), NOT_HELD_OUT)
    return CommonImages(first[keep], second[keep], matched_by, len(first))


def _by_content(a: ProjectFolder, b: ProjectFolder) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows whose thumbnails have the same bytes; of equal images, those of equal names first."""
    sums = (a.thumbnail_checksums, b.thumbnail_checksums)
    shared = np.setdiff1d(np.intersect1d(*sums), [0])  # 0: there is no thumbnail
    candidates: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(np.isin(sums[1], shared)).tolist():
        candidates[int(sums[1][row])].append(row)
    pairs = []
    for row in np.flatnonzero(np.isin(sums[0], shared)).tolist():
        left = candidates[int(sums[0][row])]
        # A checksum has 32 bits: among 100,000 images a few different ones have the same. Images of the same
        # name are not read.
        named = [other for other in left if a.image_ids[row] == b.image_ids[other]]
        found = named[:1] or [other for other in left if _same_bytes(a, row, b, other)][:1]
        if found:
            left.remove(found[0])
            pairs.append((row, found[0]))
    rows = np.array(pairs, np.intp).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _same_bytes(a: ProjectFolder, row: int, b: ProjectFolder, other: int) -> bool:
    try:
        return a.thumbnail_bytes(row) == b.thumbnail_bytes(other)
    except InputError:
        return False


def _by_name(a: Side, b: Side) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of equal names; of a table also those whose names are unique in another form."""
    known = {name: row for row, name in enumerate(b.image_ids)}
    rows = np.array([known.get(name, -1) for name in a.image_ids], np.intp)
    if not (rows >= 0).any() and (a.project is None or b.project is None):
        rows = np.asarray(match_names(b.image_ids, a.image_ids).rows, np.intp)
    first = np.flatnonzero(rows >= 0)
    return first, rows[first]


def _may_be_the_same(a: ProjectFolder, i: int, b: ProjectFolder, j: int) -> bool:
    """Return whether two images of the same name can be one image stored in two ways."""
    if not a.thumbnail_checksums[i] or not b.thumbnail_checksums[j]:
        sizes = (a.image_size(i), b.image_size(j))
        return None in sizes or sizes[0] == sizes[1]
    try:
        first, second = (_coarse(project, row) for project, row in ((a, i), (b, j)))
    except InputError:
        return False
    return float(np.abs(first - second).mean()) < MOST_DIFFERENT


def _coarse(project: ProjectFolder, row: int) -> NDArray[np.float32]:
    """Return a thumbnail as 16 × 16 grey values from 0 to 255."""
    from PIL.Image import Resampling

    small = project.thumbnail_image(row).convert("L").resize((16, 16), Resampling.BOX)
    return np.asarray(small, np.float32)
