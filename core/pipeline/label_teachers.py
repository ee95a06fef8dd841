"""Teachers made from labels: `labels` (the ground truth itself) and `probe` (a classifier fitted to it)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.images import ImageSet
from inficond.core.models.class_sets import ClassSet
from inficond.core.models.tables import Table
from inficond.core.pipeline.cached_probe import cached_probe
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.pipeline.label_alignment import aligned_labels, source_labels
from inficond.core.teachers.features import log_responses
from inficond.core.teachers.probe import Probe

KINDS = ("labels", "probe")
NEAR_CHANCE = 0.05
"""A probe that is not better than the most frequent answer by this much is reported."""


@dataclass(frozen=True)
class LabelTeacher:
    """Responses made from labels.

    Parameters
    ----------
    classes : ClassSet
    responses : (N, C) float32
    probe : Probe or None
        None for ground truth as responses.
    notes : tuple of str
        What was done, one line each.
    """

    classes: ClassSet
    responses: NDArray[np.float32]
    probe: Probe | None
    notes: tuple[str, ...]


def label_names(images: ImageSet, table: Table | None) -> tuple[str, ...]:
    """Return the names of the labels of a table, or else of the images' source."""
    return tuple(table.classes) if table is not None else images.classes


def label_matrix(images: ImageSet, table: Table | None, ids: Sequence[str]) -> NDArray[np.float32]:
    """Return the labels (N, L) of images; 1, 0, or NaN where unknown.

    Raises
    ------
    InputError
        There are no labels.
    """
    names = label_names(images, table)
    if table is not None:
        labels, _ = aligned_labels(table, ids, names)
    else:
        labels, _ = source_labels(images, ids, names)
    if labels is None:
        raise InputError(
            "these images have no labels: put them into one folder per class, name a table with --labels, or "
            "choose another --teacher"
        )
    return labels


def is_exclusive(labels: NDArray[np.floating]) -> bool:
    """Return whether every labelled image has exactly one of at least two classes."""
    known = labels[np.isfinite(labels).all(axis=1)]
    return labels.shape[1] > 1 and len(known) > 0 and bool((known.sum(axis=1) == 1).all())


def check_labels(chosen: ClassSet, labels: NDArray[np.float32]) -> None:
    """Check before any image is encoded that `teach_from_labels` has enough labels.

    Raises
    ------
    InputError
        Fewer than two images of every class.
    """
    _usable_classes(chosen, labels)


def _usable_classes(
    chosen: ClassSet, labels: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int]]:
    """Return the labels of the classes, the positives of each class, and the classes with two of them."""
    Y = chosen.responses(labels)
    positives = np.nansum(Y, axis=0)
    keep = [c for c in range(len(chosen.names)) if positives[c] >= 2]
    if not keep:
        raise InputError("no class has two labelled images: give more labelled images")
    return Y, positives, keep


def teach_from_labels(
    kind: str,
    chosen: ClassSet,
    labels: NDArray[np.float32],
    base_responses: NDArray[np.float32] | None,
    *,
    base_name: str = "",
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
    cache: EncodingCache | None = None,
) -> LabelTeacher:
    """Make responses from labels.

    Parameters
    ----------
    kind : {"labels", "probe"}
    chosen : ClassSet
        Classes over the labels.
    labels : (N, L) float32
        See `label_matrix`.
    base_responses : (N, M) float32 or None
        Responses of the teacher whose features a probe uses.
    base_name : str
        Name of that teacher, for messages.
    groups : sequence of N str or None, optional
        Images of one group are never used to answer each other.
    seed : int
        Of the folds of a probe.
    cache : EncodingCache, optional
        Where probes are kept.

    Returns
    -------
    LabelTeacher

    Raises
    ------
    InputError
        Fewer than two images of every class.
    """
    Y, positives, keep = _usable_classes(chosen, labels)
    notes = [
        f"class {chosen.names[c]!r} left out: it has {int(positives[c])} labelled image"
        f"{'' if positives[c] == 1 else 's'}, and a class needs two"
        for c in sorted(set(range(len(chosen.names))) - set(keep))
    ]
    chosen, Y = chosen.keep(keep), np.ascontiguousarray(Y[:, keep])
    if kind == "labels":
        notes.append("teacher: the labels themselves; they cannot answer for new images")
        return LabelTeacher(chosen, Y, None, tuple(notes))
    if base_responses is None:
        raise ValueError("a probe needs the responses of a base teacher")
    exclusive = is_exclusive(Y)
    if exclusive:
        Y = np.where(np.isfinite(Y).all(axis=1, keepdims=True), Y, np.nan)
    link = "softmax" if exclusive else "sigmoid"
    probe = cached_probe(cache, log_responses(base_responses), Y, link, groups=groups, seed=seed)
    notes.append(
        f"teacher: a probe on {base_name}, {probe.accuracy:.1%} right on images that it was not fitted to "
        f"(always the most frequent answer: {probe.chance:.1%})"
    )
    if probe.accuracy < probe.chance + NEAR_CHANCE:
        notes.append(
            "the probe is hardly better than always giving the most frequent answer: check the labels, or "
            "use another --teacher"
        )
    return LabelTeacher(chosen, probe.responses, probe, tuple(notes))
