"""Where a person says that the teacher is wrong: other targets for chosen images, logged and reversible."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError, unknown


def checked_overrides(
    images: Iterable[str], value: float | None, known: Mapping[str, int]
) -> dict[str, float | None]:
    """What an override asks, checked.

    Parameters
    ----------
    images : iterable of str
        Image ids.
    value : float or None
        The right response in [0, 1]; None gives the word back to the teacher.
    known : mapping from image id to row
        The project's images.

    Returns
    -------
    dict from image id to value
        In the order given, each image once.

    Raises
    ------
    InputError
        No image, one that is not there (the nearest names are told), or a value outside [0, 1].
    """
    wanted = dict.fromkeys([images] if isinstance(images, str) else images)
    if not wanted:
        raise InputError("an override needs at least one image")
    for image in wanted:
        if image not in known:
            raise unknown("image", str(image), known)
    if value is not None:
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"an override needs a probability, not {value!r:.80}") from None
        if not 0.0 <= value <= 1.0:
            raise InputError(f"an override needs a probability between 0 and 1, not {value:g}")
    return dict.fromkeys(wanted, value)


def merged(before: Mapping[str, float], asked: Mapping[str, float | None]) -> dict[str, float]:
    """The overrides in force after `asked`; None lifts one."""
    out = dict(before)
    for image, value in asked.items():
        if value is None:
            out.pop(image, None)
        else:
            out[image] = value
    return out


def overridden(
    T: NDArray[np.float32],
    link: str,
    overrides: Mapping[int, Mapping[int, float]],
) -> NDArray[np.float32]:
    """The teacher's responses with overrides in place.

    Parameters
    ----------
    T : ndarray of shape (n, C)
        The teacher.
    link : {"sigmoid", "softmax"}
        Under softmax the other classes of an image share what the override leaves, in their old proportion.
    overrides : mapping from class column to mapping from row of T to value
        What is asked.

    Returns
    -------
    ndarray of shape (n, C)
        `T` itself where nothing is asked, else a copy.
    """
    if not any(overrides.values()):
        return T
    out = T.copy()
    by_row: dict[int, dict[int, float]] = {}
    for c, rows in overrides.items():
        for row, value in rows.items():
            by_row.setdefault(row, {})[c] = value
    for row, asked in by_row.items():
        columns = list(asked)
        if link == "softmax":
            given = sum(asked.values())
            if (
                given > 1.0
            ):  # two classes cannot both be certain: they share the whole in the proportion asked
                asked = {c: v / given for c, v in asked.items()}
                given = 1.0
            rest = np.setdiff1d(np.arange(T.shape[1]), columns)
            before = 1.0 - float(T[row, columns].sum(dtype=np.float64))
            if before > 1e-9:
                out[row, rest] = T[row, rest] * ((1.0 - given) / before)
            elif rest.size:  # they had everything, so there is no old proportion to keep
                out[row, rest] = (1.0 - given) / rest.size
        out[row, columns] = list(asked.values())
    return out
