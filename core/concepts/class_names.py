"""Class names that describe the content of their images.

Numbers, codes and words such as "class" are not informative. Other names are compared with the images: a name
is informative if its own concept value is larger on images of the class than on others.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.vectors import concept_vectors

GENERIC = frozenset(
    [
        "class",
        "classes",
        "cls",
        "category",
        "label",
        "labels",
        "group",
        "cluster",
        "type",
        "kind",
        "item",
        "id",
        "number",
        "nr",
        "no",
        "other",
        "others",
        "none",
        "unknown",
        "misc",
        "negative",
        "positive",
        "true",
        "false",
        "yes",
    ]
)
LEAST_AUC = 0.6
"""Share of pairs of an image of the class and another image that a name must order correctly."""


def meaningful_part(name: str) -> str:
    """Return the words of a class name without numbers, codes and generic words; may be empty."""
    words = re.findall(r"[^\W\d_]+", name)
    if re.fullmatch(r"[a-z]{1,2}[\d_-]{4,}.*", name.strip(), re.IGNORECASE):
        return ""  # a code such as n01440764
    return " ".join(word for word in words if len(word) > 1 and word.casefold() not in GENERIC)


def informative_names(
    names: Sequence[str],
    vectors: NDArray[np.float32],
    regions: NDArray[np.float16],
    T: NDArray[np.floating],
) -> NDArray[np.bool_]:
    """Return which class names describe the content of their images, (C,) bool.

    Parameters
    ----------
    names : sequence of C str
    vectors : (C, D) float32
        Text vectors of the names, unit length.
    regions : (n, R, D) float16
        Of training images.
    T : (n, C)
        Responses of the teacher; 0.5 and above is a yes.
    """
    values = concept_vectors(regions, vectors)
    out = np.zeros(len(names), bool)
    for c, name in enumerate(names):
        yes = np.asarray(T[:, c]) >= 0.5
        if meaningful_part(name) and 0 < yes.sum() < len(yes):
            out[c] = _auc(yes, values[:, c]) >= LEAST_AUC
    return out


def _auc(yes: NDArray[np.bool_], values: NDArray[np.float32]) -> float:
    """Return the area under the ROC curve; ties count half."""
    order, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    del order
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(yes.sum())
    above = ranks[yes].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(yes) - positives)))
