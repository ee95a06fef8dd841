"""Classes of a project and the teacher's responses for them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.class_sets import ClassSet, class_set, most_frequent

MIN_SPREAD = 1e-6
"""Difference between the largest and the smallest response below which a class is constant."""


def class_responses(
    blocks: Callable[[], Iterable[np.ndarray]],
    n_images: int,
    labels: Sequence[str],
    groups: Mapping[str, list[str]] | None,
    given: Mapping[str, list[str]] | str | None,
    choose: bool,
    remark: Callable[[str], None],
) -> tuple[ClassSet, np.ndarray]:
    """Choose the classes and sum the teacher's probabilities over the labels of each.

    Parameters
    ----------
    blocks : callable
        Returns the teacher's probabilities, (n, L) blocks that add up to all images.
    n_images : int
    labels : sequence of L str
        The teacher's labels.
    groups : mapping, optional
        The teacher's groups of labels.
    given : mapping or str, optional
        The classes that were asked for.
    choose : bool
        Whether to keep only the most frequent classes if none were asked for.
    remark : callable
        Gets one line for each change that was made.

    Returns
    -------
    classes : ClassSet
    T : (N, C) float32

    Raises
    ------
    InputError
        More classes than images, or the teacher's responses are constant in every class.
    """
    chosen = class_set(given, labels, groups)
    if not isinstance(given, Mapping):
        chosen = most_frequent(chosen, blocks()) if choose else chosen
    else:
        check_count(n_images, len(chosen.names))
    T = np.concatenate([chosen.responses(block) for block in blocks()])
    chosen, T = _without_constant(chosen, T, remark)
    if len(chosen.names) > n_images:
        chosen, T = chosen.keep(range(n_images)), T[:, :n_images]
        remark(f"only {n_images} images: the {n_images} most frequent classes are kept")
    return chosen, T


def check_count(n_images: int, n_classes: int) -> None:
    """Check that there are at least as many images as classes that were asked for.

    Raises
    ------
    InputError
        There are fewer.
    """
    if n_classes > n_images:
        raise InputError(
            f"{n_images} images for {n_classes} classes: give more images, or fewer classes with --classes"
        )


def _without_constant(
    chosen: ClassSet, T: np.ndarray, remark: Callable[[str], None]
) -> tuple[ClassSet, np.ndarray]:
    spread = T.max(axis=0) - T.min(axis=0)
    for c in np.flatnonzero(spread <= MIN_SPREAD):
        remark(
            f"class {chosen.names[c]!r} left out: the teacher's response is {T[0, c]:.3g} for every image, "
            "so there is nothing to learn"
        )
    keep = np.flatnonzero(spread > MIN_SPREAD).tolist()
    if not keep:
        raise InputError(
            "the teacher's responses are the same for every image, in every class: there is nothing to learn"
        )
    return chosen.keep(keep), np.ascontiguousarray(T[:, keep])


def normalised(T: np.ndarray, remark: Callable[[str], None]) -> np.ndarray:
    """Return the responses as one distribution over the classes; uniform where they sum to 0."""
    total = T.sum(axis=1, keepdims=True)
    off = int((np.abs(total - 1) > 1e-3).sum())
    if off:
        remark(f"softmax: the responses of {off:,} images do not sum to 1 over the classes; rescaled")
    scaled = np.where(total > 1e-6, T / np.maximum(total, 1e-6), np.float32(1 / T.shape[1]))
    return scaled.astype(np.float32)
