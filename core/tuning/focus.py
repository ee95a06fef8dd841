"""Focus: which training images count more in a refit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError, unknown
from inficond.core.students import SUBSETS
from inficond.core.students.subsets import subset_codes
from inficond.core.tuning.state import BranchState, Focus
from inficond.core.tuning.workspace import Workspace

FACTOR = 5.0
"""φ: how many times more an image in focus counts."""


def resolve(
    focus: str | Sequence[str] | NDArray[Any] | Mapping[str, Any] | None,
    workspace: Workspace,
    state: BranchState,
    cls: str,
    factor: float = FACTOR,
) -> tuple[Focus | None, dict[str, Any] | None, NDArray[np.bool_] | None]:
    """What a focus means now.

    Parameters
    ----------
    focus : str, sequence of image ids, boolean mask (N,), mapping or None
        A subset by name (``missed`` …, of `cls` as the student is now), images by id, a mask over the
        project's images, or what this function returned as its second value.
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
        Unknown subset or image, or no training image in it.
    """
    if focus is None or (isinstance(focus, str) and focus in ("", "all")):
        return None, None, None
    if isinstance(focus, Mapping):
        factor = float(focus.get("factor", factor))
        focus = focus["images"] if "images" in focus else str(focus["label"])
    if not (np.isfinite(factor) and 0 < factor <= 1e4):
        raise InputError(f"the focus factor {factor:g} must lie above 0 and below 10,000")
    record: dict[str, Any]
    if isinstance(focus, str):
        if focus not in SUBSETS:
            raise unknown("subset", focus, SUBSETS)
        label, mask = focus, subset_mask(workspace, state, cls, focus)
        record = {"label": label}
    else:
        mask = np.asarray(focus)
        if mask.dtype == bool:
            if mask.shape != (workspace.n_images,):
                raise InputError(f"a focus mask needs one value for each of the {workspace.n_images} images")
        else:
            mask = np.zeros(workspace.n_images, bool)
            for image in np.asarray(focus, object).ravel():
                if image not in workspace.image_index:
                    raise unknown("image", str(image), workspace.image_ids)
                mask[workspace.image_index[image]] = True
        ids = [workspace.image_ids[i] for i in np.flatnonzero(mask).tolist()]
        label = f"{len(ids)} image{'s' if len(ids) != 1 else ''}"
        record = {"label": label, "images": ids}
    training = mask & ~workspace.is_validation
    if not training.any():
        raise InputError(
            f"the focus on {label} holds no training image, so it cannot change the fit: "
            "choose another subset, or tune without focus"
        )
    resolved = Focus.of(label, training, factor)
    return resolved, {**record, "factor": factor, "size": resolved.size}, mask


def subset_mask(workspace: Workspace, state: BranchState, cls: str, name: str) -> NDArray[np.bool_]:
    """(N,) the images of one of the four subsets, training and validation."""
    c = workspace.students.class_index(cls)
    threshold = float(workspace.students.thresholds[c])
    mask = np.zeros(workspace.n_images, bool)
    for part, rows in (("training", workspace.training_rows), ("validation", workspace.validation_rows)):
        t = workspace.targets(state, part)[:, c]
        codes = subset_codes(t, workspace.score(state, cls, part), threshold=threshold)
        mask[rows] = codes == SUBSETS.index(name)
    return mask
