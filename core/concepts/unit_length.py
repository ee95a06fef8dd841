"""Scaling of vectors to unit length."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unit_length(x: NDArray[Any]) -> NDArray[Any]:
    """Return vectors (…, D) divided by their lengths; zeros stay zeros."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
