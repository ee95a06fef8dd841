"""Which images are held out: chosen once per project, seeded, per class, groups kept whole."""

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
    """Choose the validation images so that every class keeps its share of the teacher's yes.

    Parameters
    ----------
    T : array (N, C)
        The teacher's responses.
    groups : sequence of str or None, optional
        Images of one group share a source and never straddle; None means an image alone.
    given : sequence of {"train", "val", None}, optional
        What is decided already, for instance by a column of the person's CSV; None leaves it open.
    fraction : float
        Share to hold out, in (0, 1).
    seed : int
        Same seed and input, same split.
    teacher_threshold : float
        At or above it the teacher says yes.

    Returns
    -------
    array (N,), bool
        True for validation. Both parts hold an image, and a yes of every class that has two sources of it.

    Raises
    ------
    InputError
        Fewer than two images or sources, a group with both splits given, or lengths that do not fit.

    Notes
    -----
    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) over groups: the rarest class first, its
    sources in random order, large ones first, each to the part that still needs it.
    """
    T = np.asarray(T)
    if T.ndim != 2:
        raise InputError(f"the responses must have one row per image and one column per class, not {T.shape}")
    N = len(T)
    if not 0 < fraction < 1:
        raise InputError(f"the share of validation images must lie between 0 and 1, not {fraction!r}")
    for name, column in (("groups", groups), ("splits", given)):
        if column is not None and len(column) != N:
            raise InputError(f"{N} images need {N} {name}, not {len(column)}")
    unit = _units(groups, N)
    n_units = int(unit.max()) + 1 if N else 0
    if n_units < 2:
        raise InputError(
            f"{N} image{'s' * (N != 1)} from {n_units} source{'s' * (n_units != 1)} cannot be divided into "
            "training and validation; give at least two"
        )
    part = _given_parts(given, unit, n_units, groups)
    size = np.bincount(unit, minlength=n_units).astype(float)
    # The last column counts images, so that sources without a yes are shared out by the same rule.
    has = np.zeros((n_units, T.shape[1] + 1))
    np.add.at(has, unit, np.column_stack([teacher_threshold <= T, np.ones(N, bool)]).astype(float))
    order = np.random.default_rng(seed).permutation(n_units)
    target = fraction * has.sum(axis=0)

    waiting = set(range(T.shape[1]))
    while waiting:
        left = {c: has[part < 0, c].sum() for c in waiting}
        rarest = min(waiting, key=lambda c: (left[c], c))
        waiting.remove(rarest)
        _share_out(rarest, order, has, part, target[rarest])
        _both_parts(rarest, order, has, part, fixed=given is not None)
    _share_out(T.shape[1], order, has, part, target[-1])
    for value in (0, 1):  # a class with few sources may have drawn all images to one side
        if not (part == value).any():
            part[order[np.argmin(size[order])]] = value
    return part[unit] == 1


def _units(groups: Sequence[str | None] | None, N: int) -> NDArray[np.int64]:
    """Number of the source of each image, in order of first appearance."""
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
    """−1 undecided, 0 training, 1 validation, per source."""
    part: NDArray[np.int8] = np.full(n_units, -1, np.int8)
    for i, word in enumerate(given or ()):
        if word is None or word == "":
            continue
        if word not in ("train", "val"):
            raise InputError(f"image {i + 1} has the split {word!r:.40}; write train, val or nothing")
        value = 1 if word == "val" else 0
        if part[unit[i]] not in (-1, value):
            name = groups[i] if groups is not None else i
            raise InputError(
                f"the group {name!r:.80} has images in both train and val; keep a group whole in one"
            )
        part[unit[i]] = value
    return part


def _share_out(
    c: int, order: NDArray[np.int64], has: NDArray[np.float64], part: NDArray[np.int8], target: float
) -> None:
    """Decide every undecided source that holds column c; `part` is changed in place."""
    candidates = order[(part[order] < 0) & (has[order, c] > 0)]
    candidates = candidates[np.argsort(-has[candidates, c], kind="stable")]
    need = target - has[part == 1, c].sum()
    for u in candidates:
        # Closer to the target with it than without; exactly half way goes to training.
        take = need > has[u, c] / 2
        part[u] = int(take)
        need -= take * has[u, c]


def _both_parts(
    c: int, order: NDArray[np.int64], has: NDArray[np.float64], part: NDArray[np.int8], fixed: bool
) -> None:
    """Where a class has two sources, give each part one of them (the smallest that can go)."""
    holders = order[has[order, c] > 0]
    if len(holders) < 2 or fixed:
        return
    for value in (0, 1):
        if not (part[holders] == value).any():
            part[holders[np.argmin(has[holders, c])]] = value
