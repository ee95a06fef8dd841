"""Responses of a teacher as targets of a softmax."""

from collections.abc import Callable

import numpy as np


def normalised(T: np.ndarray, remark: Callable[[str], None]) -> np.ndarray:
    """Return the responses as one distribution over the classes; uniform where they sum to 0."""
    total = T.sum(axis=1, keepdims=True)
    off = int((np.abs(total - 1) > 1e-3).sum())
    if off:
        remark(f"softmax: the responses of {off:,} images do not sum to 1 over the classes; rescaled")
    scaled = np.where(total > 1e-6, T / np.maximum(total, 1e-6), np.float32(1 / T.shape[1]))
    return scaled.astype(np.float32)
