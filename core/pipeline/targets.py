"""Targets of the students: the teacher's responses in the form that the link of the students needs."""

from collections.abc import Callable

import numpy as np

from inficond.core.evaluation.parts import EXCLUSIVE
from inficond.core.pipeline.notes import BuildNotes


def link_and_targets(T: np.ndarray, asked: str | None, notes: BuildNotes) -> tuple[str, np.ndarray]:
    """Return the link of the students, and responses that fit to it.

    Parameters
    ----------
    T : (N, C)
        Responses of the teacher.
    asked : {"sigmoid", "softmax"}, optional
        Softmax by default if the classes exclude each other.
    notes : BuildNotes
    """
    if asked is not None:
        link = asked
    elif T.shape[1] > 1 and bool((np.abs(T.sum(axis=1) - 1) <= EXCLUSIVE).all()):
        link = "softmax"
        notes.choose("link: softmax, because the classes exclude each other")
    else:
        link = "sigmoid"
    return link, normalised(T, notes.remark) if link == "softmax" else T


def normalised(T: np.ndarray, remark: Callable[[str], None]) -> np.ndarray:
    """Return the responses as one distribution over the classes; uniform where they sum to 0."""
    total = T.sum(axis=1, keepdims=True)
    off = int((np.abs(total - 1) > 1e-3).sum())
    if off:
        remark(f"softmax: the responses of {off:,} images do not sum to 1 over the classes; rescaled")
    scaled = np.where(total > 1e-6, T / np.maximum(total, 1e-6), np.float32(1 / T.shape[1]))
    return scaled.astype(np.float32)
