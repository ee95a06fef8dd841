"""Focus: which training images count more in a refit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError, unknown
from inficond.core.evaluation import SUBSETS, Slice
from inficond.core.evaluation.slices import SHARE
from inficond.core.evaluation.subsets import subset_codes
from inficond.core.tuning.state import BranchState, Focus
from inficond.core.tuning.workspace import Workspace

FACTOR = 5.0
"""φ: how many times more an image in focus counts."""
MOST_CONDITIONS = 16
"""Conditions of one slice."""


def resolve(
    focus: Any,
    workspace: Workspace,
    state: BranchState,
    cls: str,
    factor: float = FACTOR,
) -> tuple[Focus | None, dict[str, Any] | None, NDArray[np.bool_] | None]:
    """What a focus means now.

    Parameters
    ----------
    focus : str, Slice, sequence of image ids, boolean mask (N,), mapping or None
        A subset by name (``missed`` …, of `cls` as the student is now), a slice (all images that meet its
        conditions), images by id, a mask over the project's images, or what this function returned as its
        second value.
    workspace, state, cls
        Where it is asked.
    factor : float
        φ, above 0.

    Returns
    -------
    focus : Focus or None
        The training images in it: validation images never enter a fit.
    record : dict or None
        To be kept in a history and resolved again by a replay.
    mask : ndarray of shape (N,) or None
        All images in it, validation ones included.

    Raises
    ------
    InputError
        Unknown subset, concept or image, or no training image in it.
    """
    if focus is None or (isinstance(focus, str) and focus in ("", "all")):
        return None, None, None
    if isinstance(focus, Slice):
        focus = focus.to_dict()
    if isinstance(focus, Mapping):
        factor = focus.get("factor", factor)
        if not isinstance(factor, int | float):
            raise InputError(f"the focus factor must be a number, not {factor!r:.40}")
    if not 0 < factor <= 1e4:  # false for NaN too
        raise InputError(f"the focus factor {factor!r:.40} must lie above 0 and at most at 10,000")
    record, mask = _found(focus, workspace, state, cls)
    training = mask & ~workspace.is_validation
    if not training.any():
        raise InputError(
            f"the focus on {record['label']} holds no training image, so it cannot change the fit: "
            "choose another subset, or tune without focus"
        )
    resolved = Focus.of(record["label"], training, factor)
    return resolved, {**record, "factor": factor, "size": resolved.size}, mask


def _found(
    focus: Any, workspace: Workspace, state: BranchState, cls: str
) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """The record of a focus and its images, (N,)."""
    if isinstance(focus, Mapping) and "conditions" in focus:
        wanted = _conditions(focus["conditions"])
        label = " and ".join(f"{name} {'high' if high else 'low'}" for name, high in wanted)
        # Nothing else of what was given is kept: a record is shown, stored and handed out again.
        levels = [{"concept": name, "level": "high" if high else "low"} for name, high in wanted]
        record = {"label": label, "conditions": levels}
        return record, slice_mask(workspace, state, wanted)
    if isinstance(focus, Mapping):
        focus = focus["images"] if "images" in focus else str(focus.get("label", ""))
    if isinstance(focus, str):
        if focus not in SUBSETS:
            raise unknown("subset", focus, SUBSETS)
        return {"label": focus}, subset_mask(workspace, state, cls, focus)
    if not isinstance(focus, Sequence | np.ndarray):
        raise InputError(f"a focus is a subset, a slice or a list of images, not {focus!r:.40}")
    try:
        mask = np.asarray(focus)
    except ValueError:  # lists of different lengths inside
        mask = np.zeros(0, object)
    if mask.dtype == bool:
        if mask.shape != (workspace.n_images,):
            raise InputError(f"a focus mask needs one value for each of the {workspace.n_images} images")
    else:
        mask = np.zeros(workspace.n_images, bool)
        for image in focus:
            if not isinstance(image, str) or image not in workspace.image_index:
                raise unknown("image", f"{image!s:.80}", workspace.image_ids)
            mask[workspace.image_index[image]] = True
    ids = [workspace.image_ids[i] for i in np.flatnonzero(mask).tolist()]
    return {"label": f"{len(ids)} image{'s' if len(ids) != 1 else ''}", "images": ids}, mask


def _conditions(given: Any) -> list[tuple[str, bool]]:
    """Concept and whether it is high, of each of a slice's conditions."""
    if not isinstance(given, Sequence) or isinstance(given, str) or not 0 < len(given) <= MOST_CONDITIONS:
        raise InputError(
            f"a focus on a slice needs 1 to {MOST_CONDITIONS} conditions: a concept and a level for each"
        )
    for c in given:
        if (
            not isinstance(c, Mapping)
            or not isinstance(c.get("concept"), str)
            or c.get("level") not in ("high", "low")
        ):
            raise InputError(f"a focus on a slice needs a concept and a level, high or low, not {c!r:.60}")
    return [(c["concept"], c["level"] == "high") for c in given]


def slice_mask(
    workspace: Workspace, state: BranchState, conditions: Sequence[tuple[str, bool]]
) -> NDArray[np.bool_]:
    """(N,) the images, training and validation, that meet all conditions (concept, high or low).

    A concept is high above the value that a fifth of the validation images exceed, as `find_slices` has it.
    """
    columns = workspace.columns(state.added)
    mask = np.ones(workspace.n_images, bool)
    for name, high in conditions:
        if name not in columns.index:
            raise unknown("concept", name, columns.names)
        k = columns.index[name]
        seen = np.sort(columns.validation[:, k])
        rank = max(1, round(SHARE * len(seen)))
        for rows, Z in (
            (workspace.training_rows, columns.training),
            (workspace.validation_rows, columns.validation),
        ):
            mask[rows] &= Z[:, k] > seen[len(seen) - rank - 1] if high else Z[:, k] < seen[rank]
    return mask


def training_size(focus: Any, workspace: Workspace, state: BranchState, cls: str) -> int:
    """How many training images a subset, slice or list of images holds; with none, `resolve` refuses it."""
    _, mask = _found(focus, workspace, state, cls)
    return int(np.count_nonzero(mask & ~workspace.is_validation))


def subset_mask(workspace: Workspace, state: BranchState, cls: str, name: str) -> NDArray[np.bool_]:
    """(N,) the images of one of the four subsets, training and validation."""
    c = workspace.students.class_index(cls)
    threshold = workspace.threshold(state, c)
    mask = np.zeros(workspace.n_images, bool)
    for part, rows in (("training", workspace.training_rows), ("validation", workspace.validation_rows)):
        t = workspace.targets(state, part)[:, c]
        codes = subset_codes(t, workspace.score(state, cls, part), threshold=threshold)
        mask[rows] = codes == SUBSETS.index(name)
    return mask
