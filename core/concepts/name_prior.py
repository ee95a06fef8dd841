"""Name prior: words near the name of a class are penalised less.

With ``a_kc = cos(t_k - t̄, u_c - t̄)`` the likeness of word k and the name of class c, z-scored over the words
of each class, the penalty of word k in class c is multiplied by ``clip(exp(-strength · z_kc), LEAST, MOST)``.
"""

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.unit_length import unit_length

LEAST, MOST = 0.2, 3.0
STRENGTH = 0.4


def name_penalties(
    words: NDArray[np.float32],
    names: NDArray[np.float32],
    word_mean: NDArray[np.float32],
    strength: float = STRENGTH,
) -> NDArray[np.float32]:
    """Return the factors of the penalty.

    Parameters
    ----------
    words : (K, D)
        Text vectors of the words, unit length.
    names : (C, D)
        Text vectors of the class names, unit length.
    word_mean : (D,)
        Mean text vector of the vocabulary.
    strength : float
        0 gives equal penalties.

    Returns
    -------
    (C, K) float32
    """
    likeness = unit_length(names - word_mean) @ unit_length(words - word_mean).T
    spread = likeness.std(axis=1, keepdims=True)
    z = (likeness - likeness.mean(axis=1, keepdims=True)) / np.where(spread > 1e-9, spread, 1.0)
    return np.clip(np.exp(-strength * z), LEAST, MOST).astype(np.float32)
