"""Overrides of the teacher: other target probabilities for chosen images."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError, unknown


def checked_overrides(
    images: Iterable[str], value: float | None, known: Mapping[str, int]
) -> dict[str, float | None]:
    """Validate an override.

    Parameters
    ----------
    images : iterable of str
        Image ids.
    value : float or None
        The correct response in [0, 1]; None removes the override.
    known : mapping from image id to row
        Images of the project.

    Returns
    -------
    dict from image id to value
        In the given order, without repetitions.

    Raises
    ------
    InputError
        There is no image, one is unknown (similar names are listed), or the value is outside [0, 1].
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
    """Return earlier overrides updated by `asked`, where None removes one."""
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
    """Return teacher responses with overrides applied.

    Parameters
    ----------
    T : ndarray of shape (n, C)
        Teacher responses.
    link : {"sigmoid", "softmax"}
        Under a softmax, the other classes of an image share the remaining probability in proportion to their
        earlier values.
    overrides : mapping from class column to mapping from row of T to value

    Returns
    -------
    ndarray of shape (n, C)
        `T` itself if there is no override, otherwise a copy.
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
            if given > 1.0:  # overrides that sum to more than 1 are scaled down to 1
                asked = {c: v / given for c, v in asked.items()}
                given = 1.0
            rest = np.setdiff1d(np.arange(T.shape[1]), columns)
            before = 1.0 - float(T[row, columns].sum(dtype=np.float64))
            if before > 1e-9:
                out[row, rest] = T[row, rest] * ((1.0 - given) / before)
            elif rest.size:  # the others had probability 0: they share equally
                out[row, rest] = (1.0 - given) / rest.size
        out[row, columns] = list(asked.values())
    return out
