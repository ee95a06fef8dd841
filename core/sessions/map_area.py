"""Areas of the map of the images: polygons as short texts, and the images inside."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.project.image_map import ImageMap

STEPS = 36**3 - 1
"""Largest coordinate in the text of an area."""
LEAST_CORNERS, MOST_CORNERS = 3, 64
_DIGITS = 3
_OUTDATED = "draw it again on the map"


def format_area(layout: str, polygon: NDArray[np.float64]) -> str:
    """Return the text of an area.

    Parameters
    ----------
    layout : str
        Layout of the map on which the area was drawn.
    polygon : array (m, 2)
        Corners in the unit square, `LEAST_CORNERS` to `MOST_CORNERS`.

    Examples
    --------
    >>> import numpy as np
    >>> format_area("pca", np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    'pca.000000zzz000zzzzzz'
    """
    steps = np.round(np.clip(polygon, 0, 1) * STEPS).astype(int)
    return f"{layout}." + "".join(np.base_repr(v, 36).lower().zfill(_DIGITS) for v in steps.ravel().tolist())


def parse_area(text: str, layout: str) -> NDArray[np.float64]:
    """Return the polygon of an area, (m, 2), in the unit square.

    Raises
    ------
    InputError
        The text is not an area, or the area was drawn on a map of another layout.

    Examples
    --------
    >>> parse_area("pca.000000zzz000zzzzzz", "pca").tolist()
    [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    """
    named, _, digits = text.partition(".")
    corners, rest = divmod(len(digits), 2 * _DIGITS)
    well_formed = digits.isascii() and digits.isalnum() and not rest
    if not well_formed or not LEAST_CORNERS <= corners <= MOST_CORNERS:
        raise InputError(f"the area {text[:40]!r} is not an area of the map: {_OUTDATED}")
    if named != layout:
        raise InputError(f"the area was drawn on a map of the layout {named[:20]!r}: {_OUTDATED}")
    numbers = [int(digits[i : i + _DIGITS], 36) for i in range(0, len(digits), _DIGITS)]
    return np.array(numbers, np.float64).reshape(corners, 2) / STEPS


def images_in(found: ImageMap, area: str) -> NDArray[np.bool_]:
    """Return which images of a project lie in an area of its map, (N,).

    Raises
    ------
    InputError
        As `parse_area`.
    """
    return found.inside(parse_area(area, found.layout))
