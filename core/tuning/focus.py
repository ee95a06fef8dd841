"""Focus: training images with a larger weight in a refit."""

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
"""Default of φ, the factor by which the weight of an image in focus is multiplied."""
MOST_CONDITIONS = 16
"""Conditions of a slice, at most."""


def resolve(
    focus: Any,
    workspace: Workspace,
    state: BranchState,
    cls: str,
    factor: float = FACTOR,
) -> tuple[Focus | None, dict[str, Any] | None, NDArray[np.bool_] | None]:
    """Resolve a focus to images.

    Parameters
    ----------
    focus : str, Slice, sequence of image ids, boolean mask (N,), mapping or None
        Name of a subset of the current student (``missed`` …), a slice (all images that meet its conditions),
        image ids, a mask over the project's images, or a record that this function returned.
    workspace : Workspace
    state : BranchState
    cls : str
        The class.
    factor : float
        φ, above 0.

    Returns
    -------
    focus : Focus or None
        Its training images; validation images never enter a fit.
    record : dict or None
        Description that is stored in a history and resolved again by a replay.
    mask : ndarray of shape (N,), bool, or None
        All its images, including validation images.

    Raises
    ------
    InputError
        A subset, concept or image is unknown, or no training image is in focus.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.tuning.focus import resolve
    >>> session = Project.open(demo_project()).session()
    >>> focus, record, mask = resolve("missed", session.workspace, session.state, "water bird")
    >>> record["label"], record["factor"], mask.shape
    ('missed', 5.0, (1200,))
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
        raise InputError(f"the focus factor {factor!r:.40} must be above 0 and at most 10,000")
    record, mask = _found(focus, workspace, state, cls)
    training = mask & ~workspace.is_validation
    if not training.any():
        raise InputError(
            f"the focus on {record['label']} contains no training image and cannot change the fit: "
            "choose another subset, or tune without focus"
        )
    resolved = Focus.of(record["label"], training, factor)
    return resolved, {**record, "factor": factor, "size": resolved.size}, mask


def _found(
    focus: Any, workspace: Workspace, state: BranchState, cls: str
) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Return the record of a focus and the mask (N,) of its images."""
    if isinstance(focus, Mapping) and "conditions" in focus:
        wanted = _conditions(focus["conditions"])
        label = " and ".join(f"{name} {'high' if high else 'low'}" for name, high in wanted)
        # Only known fields: a record is stored, shown and returned to clients.
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
        raise InputError(f"a focus must be a subset, a slice or a list of images, not {focus!r:.40}")
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
    """Return the concept of each condition of a slice, and whether it must be high."""
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
    """Return the mask (N,) of the images that meet all conditions, training and validation images.

    As in `find_slices`, a concept is high in images whose value is among the highest fifth of the validation
    images, and low among the lowest fifth.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.tuning.focus import slice_mask
    >>> session = Project.open(demo_project()).session()
    >>> mask = slice_mask(session.workspace, session.state, [("water", True)])  # "water" is high
    >>> mask.shape, bool(0.1 < mask.mean() < 0.3)
    ((1200,), True)
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
    """Return the number of training images of a focus; `resolve` refuses one without any.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.tuning.focus import training_size
    >>> session = Project.open(demo_project()).session()
    >>> images = [session.image_ids[row] for row in session.project.training_rows[:3]]
    >>> training_size(images, session.workspace, session.state, "water bird")
    3
    """
    _, mask = _found(focus, workspace, state, cls)
    return int(np.count_nonzero(mask & ~workspace.is_validation))


def subset_mask(workspace: Workspace, state: BranchState, cls: str, name: str) -> NDArray[np.bool_]:
    """Return the mask (N,) of the images in one of the four subsets, training and validation images.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.tuning.focus import subset_mask
    >>> session = Project.open(demo_project()).session()
    >>> mask = subset_mask(session.workspace, session.state, "water bird", "missed")
    >>> bool(mask[session.subset("water bird", "missed")].all())
    True
    """
    c = workspace.students.class_index(cls)
    threshold = workspace.threshold(state, c)
    mask = np.zeros(workspace.n_images, bool)
    for part, rows in (("training", workspace.training_rows), ("validation", workspace.validation_rows)):
        t = workspace.targets(state, part)[:, c]
        codes = subset_codes(t, workspace.score(state, cls, part), threshold=threshold)
        mask[rows] = codes == SUBSETS.index(name)
    return mask
