"""Trial run of a classifier on made-up pictures, to find out whether it returns logits or probabilities."""

import numpy as np

from inficond.core.errors import InputError

PICTURES = 8
_SEED = 20261128
SUM_TOLERANCE, SUM_TOLERANCE_16, SUM_TOLERANCE_8 = 1e-3, 2e-2, 5e-2
"""Rounding error of the sum of probabilities: of float32, of float16, of a quantized graph's 8 bits."""
BATCH_SHARE = 0.05
"""Largest effect of the other pictures of a batch, relative to the range of the outputs."""


def trial_pictures(size: tuple[int, int]) -> np.ndarray:
    """Return made-up pictures that differ in colour, shape and texture.

    Parameters
    ----------
    size : (H, W)

    Returns
    -------
    (8, H, W, 3) uint8
        A shape on a gradient with noise; the same at each call.
    """
    rng = np.random.default_rng(_SEED)
    height, width = size
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pictures = np.empty((PICTURES, height, width, 3), np.uint8)
    for picture in pictures:
        start, end, shape = rng.uniform(0, 255, (3, 3))
        ground = start + (end - start) * (x if rng.random() < 0.5 else y)[..., None]
        (cy, cx), radius = rng.uniform(0.25, 0.75, 2), rng.uniform(0.1, 0.4)
        inside = (np.hypot(y - cy, x - cx) < radius)[..., None]
        noise = rng.normal(0, rng.uniform(2, 40), (height, width, 3))
        picture[:] = np.clip(np.where(inside, shape, ground) + noise, 0, 255)
    return pictures


def output_kind(outputs: np.ndarray, stated: str | None, name: str) -> tuple[str, str]:
    """Decide whether a classifier returns logits or probabilities.

    Parameters
    ----------
    outputs : (n, L) float
        Of n different pictures, as the graph returns them.
    stated : {"logits", "probabilities"} or None
        Kind stated in its manifest.
    name : str
        Of the model, for messages.

    Returns
    -------
    kind : {"logits", "probabilities"}
    note : str
        One line that says how the kind was found; empty where it is the stated one.

    Raises
    ------
    InputError
        The outputs contradict what is stated, or nothing is stated and they could be either.
    """
    said = f"the outputs of {name!r} on {len(outputs)} made-up pictures"
    within = bool(outputs.min() >= -1e-4 and outputs.max() <= 1 + 1e-4)
    if stated == "probabilities":
        if not within:
            raise InputError(
                f"{said} reach from {outputs.min():.3g} to {outputs.max():.3g}, so they are not "
                'probabilities: set `output_kind` to "logits" in its manifest.json'
            )
        return "probabilities", ""
    check_percentages(outputs, said)
    if sum_to_one(outputs):
        if stated == "logits":
            raise InputError(
                f"{said} sum to 1, so the graph ends in a softmax and a second one would flatten them: "
                'set `output_kind` to "probabilities" in its manifest.json'
            )
        return "probabilities", f"{said} sum to 1: they are used as probabilities, without another softmax"
    if stated is None and within:
        raise InputError(
            f"{said} all lie between 0 and 1 but do not sum to 1, so they may be logits or the probabilities "
            'of a sigmoid: set `output_kind` to "logits" or "probabilities" in its manifest.json'
        )
    return "logits", ""


def check_batch_independence(together: np.ndarray, alone: np.ndarray, said: str) -> None:
    """Refuse a graph whose answer to a picture depends on the other pictures of its batch.

    Parameters
    ----------
    together : (n, L)
        Outputs of a batch.
    alone : (m, L)
        Outputs of its first m pictures, each in a batch without the others.
    said : str
        Names the graph, as the start of the message.

    Raises
    ------
    InputError
        They differ by more than `BATCH_SHARE` of the range of the outputs. Graphs that quantize a whole batch
        with one scale differ by less.
    """
    first = together[: len(alone)].astype(np.float64)
    reach = max(float(np.ptp(together)), float(np.abs(together).max()), 1e-12)
    apart = float(np.abs(first - alone).max(initial=0.0))
    if apart > BATCH_SHARE * reach:
        raise InputError(
            f"{said} answers a picture differently if others are in its batch (by {apart:.2g} of "
            f"{reach:.2g}): export it in evaluation mode (model.eval()), with a softmax over the classes "
            "(axis 1)"
        )


def check_percentages(outputs: np.ndarray, said: str) -> None:
    """Refuse outputs (n, L) whose rows are percentages.

    Raises
    ------
    InputError
        Starting with `said`, which names the outputs.
    """
    if outputs.min() >= -1e-3 and outputs.max() > 1.5 and np.abs(outputs.sum(axis=1) - 100).max() <= 0.5:
        raise InputError(
            f"{said} sum to 100, so they are percentages: export the model so that it returns probabilities "
            "or logits"
        )


def sum_to_one(outputs: np.ndarray) -> bool:
    """Return whether each row (n, L) is a probability distribution, as only a softmax makes it.

    Sums may differ from 1 by rounding: by `SUM_TOLERANCE`, or more where the outputs are coarse.
    """
    within = bool(outputs.min() >= -1e-4 and outputs.max() <= 1 + 1e-4)
    if not within or outputs.shape[1] < 2:
        return False
    return bool(np.abs(outputs.sum(axis=1, dtype=np.float64) - 1).max() < _sum_tolerance(outputs))


def _sum_tolerance(outputs: np.ndarray) -> float:
    if outputs.dtype == np.float16:
        return SUM_TOLERANCE_16
    for steps in (255, 256):
        levels = outputs.astype(np.float64) * steps
        if np.abs(levels - np.rint(levels)).max() < 1e-3:
            return SUM_TOLERANCE_8
    return SUM_TOLERANCE
