"""Stratified split into training and validation images, once per project, with whole groups."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError

FRACTION = 0.3
"""Share of images held out for validation."""


def stratified_split(
    T: ArrayLike,
    *,
    groups: Sequence[str | None] | None = None,
    given: Sequence[str | None] | None = None,
    fraction: float = FRACTION,
    seed: int = 0,
    teacher_threshold: float = 0.5,
) -> NDArray[np.bool_]:
    """Choose the validation images so that every class keeps its share of positives.

    Parameters
    ----------
    T : array (N, C)
        Responses of the teacher.
    groups : sequence of str or None, optional
        Images of one group share a source and stay in one part; None is a group of one image.
    given : sequence of {"train", "val", None}, optional
        Parts given by the user, for instance in a column of a table; None is undecided.
    fraction : float
        Share of validation images, in (0, 1).
    seed : int
        Seed of the random order.
    teacher_threshold : float
        Responses at or above it are positive.

    Returns
    -------
    array (N,), bool
        True for validation. Both parts have an image, and a positive of every class with two sources of
        positives.

    Raises
    ------
    InputError
        There are fewer than two images or sources, a group is given in both parts, or lengths do not agree.

    Notes
    -----
    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) over groups: the rarest class first, its
    sources in descending size and random order, each to the part that needs it most.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation import stratified_split
    >>> T = np.eye(2)[np.arange(100) % 10 // 9]  # 90 images of one class, 10 of another
    >>> held_out = stratified_split(T, fraction=0.4)
    >>> T[held_out].sum(axis=0).tolist()
    [36.0, 4.0]
    """
    T = np.asarray(T)
    if T.ndim != 2:
        raise InputError(
            f"responses must have one row per image and one column per class: their shape is {T.shape}"
        )
    N = len(T)
    if not 0 < fraction < 1:
        raise InputError(f"the share of validation images must be between 0 and 1, not {fraction!r}")
    for name, column in (("groups", groups), ("splits", given)):
        if column is not None and len(column) != N:
            raise InputError(f"{name} must have one entry for each of {N} images: there are {len(column)}")
    unit = sources_of(groups, N)
    n_units = int(unit.max()) + 1 if N else 0
    if n_units < 2:
        raise InputError(
            f"{N} image{'s' * (N != 1)} from {n_units} source{'s' * (n_units != 1)} cannot be split into "
            "training and validation; at least two are needed"
        )
    part = _given_parts(given, unit, n_units, groups)
    size = np.bincount(unit, minlength=n_units).astype(float)
    # The last column counts images, so that sources without positives are assigned by the same rule.
    has = np.zeros((n_units, T.shape[1] + 1))
    np.add.at(has, unit, np.column_stack([teacher_threshold <= T, np.ones(N, bool)]).astype(float))
    order = np.random.default_rng(seed).permutation(n_units)
    target = fraction * has.sum(axis=0)

    remaining = set(range(T.shape[1]))
    while remaining:
        left = {c: has[part < 0, c].sum() for c in remaining}
        rarest = min(remaining, key=lambda c: (left[c], c))
        remaining.remove(rarest)
        _assign(rarest, order, has, part, target[rarest])
        _fill_both_parts(rarest, order, has, part, fixed=given is not None)
    _assign(T.shape[1], order, has, part, target[-1])
    for value in (0, 1):  # classes with few sources may leave one part empty
        if not (part == value).any():
            part[order[np.argmin(size[order])]] = value
    return part[unit] == 1


def sources_of(groups: Sequence[str | None] | None, N: int) -> NDArray[np.int64]:
    """Return the number of the source of each image, in order of first appearance."""
    if groups is None:
        return np.arange(N)
    seen: dict[object, int] = {}
    return np.array(
        [seen.setdefault(i if g is None else ("group", g), len(seen)) for i, g in enumerate(groups)], np.int64
    )


def _given_parts(
    given: Sequence[str | None] | None,
    unit: NDArray[np.int64],
    n_units: int,
    groups: Sequence[str | None] | None,
) -> NDArray[np.int8]:
    """Return −1 (undecided), 0 (training) or 1 (validation) per source."""
    part: NDArray[np.int8] = np.full(n_units, -1, np.int8)
    for i, word in enumerate(given or ()):
        if word is None or word == "":
            continue
        if word not in ("train", "val"):
            raise InputError(f"image {i + 1} has the split {word!r:.40}; use train, val or nothing")
        value = 1 if word == "val" else 0
        if part[unit[i]] not in (-1, value):
            name = groups[i] if groups is not None else i
            raise InputError(
                f"the group {name!r:.80} has images in both train and val; use one split per group"
            )
        part[unit[i]] = value
    return part


def _assign(
    c: int, order: NDArray[np.int64], has: NDArray[np.float64], part: NDArray[np.int8], target: float
) -> None:
    """Assign every undecided source with a positive in column c; `part` is updated."""
    candidates = order[(part[order] < 0) & (has[order, c] > 0)]
    candidates = candidates[np.argsort(-has[candidates, c], kind="stable")]
    need = target - has[part == 1, c].sum()
    for u in candidates:
        # Validation if that is closer to the target; a tie goes to training.
        take = need > has[u, c] / 2
        part[u] = int(take)
        need -= take * has[u, c]


def _fill_both_parts(
    c: int, order: NDArray[np.int64], has: NDArray[np.float64], part: NDArray[np.int8], fixed: bool
) -> None:
    """Move the smallest source of a class with two sources or more into a part that has none of them."""
    holders = order[has[order, c] > 0]
    if len(holders) < 2 or fixed:
        return
    for value in (0, 1):
        if not (part[holders] == value).any():
            part[holders[np.argmin(has[holders, c])]] = value
