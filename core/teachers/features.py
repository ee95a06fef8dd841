"""Image features from the responses of a teacher: log-probabilities.

They are the logits of a softmax teacher up to a constant per image, so a linear classifier over them uses the
information of the teacher's last layer. They need no pass over the images beyond the one that made the
responses.
"""

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-12
"""Smaller probabilities are raised to this value before the logarithm."""


def log_responses(responses: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return features (N, L) of responses (N, L) in [0, 1]."""
    return np.log(np.maximum(np.asarray(responses, np.float32), np.float32(SMALLEST)))
