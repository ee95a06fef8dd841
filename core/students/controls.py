"""Controls of the words: vectors without meaning that are fitted in the same way, and absent concepts.

Words explain a teacher only if they predict it better than as many vectors without meaning: random
directions, random regions of training images, random words.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.concepts.unit_length import unit_length
from inficond.core.evaluation.metrics import average_precision
from inficond.core.students.baseline import Regions
from inficond.core.students.student import Students


def random_regions(regions: Regions, rows: ArrayLike, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Draw regions of some images.

    Parameters
    ----------
    regions : array (N, R, D), float16
        Region embeddings of all images.
    rows : array of int
        Images to draw from: those of the training.
    count : int
        Number of regions.
    seed : int
        Seed of the generator.

    Returns
    -------
    array (count, D), float32
        Unit rows; regions repeat only if there are fewer than `count`.
    """
    rows, per_image = np.asarray(rows, np.int64), regions.shape[1]
    total = len(rows) * per_image
    drawn = np.random.default_rng(seed).choice(total, count, replace=count > total)
    image, region = np.divmod(drawn, per_image)
    chosen = [np.asarray(regions[slice(i, i + 1)], np.float32)[0] for i in rows[image].tolist()]
    out = np.stack([one[r] for one, r in zip(chosen, region.tolist())])
    return unit_length(out).astype(np.float32)


def random_rows(total: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Draw `count` of `total` words, without repetition where possible; ascending."""
    return np.sort(np.random.default_rng(seed).choice(total, count, replace=count > total))


def mean_fidelity(students: Students, X: ArrayLike, T: ArrayLike) -> float | None:
    """Return the fidelity AP, averaged over the classes to which the teacher says yes and no.

    Parameters
    ----------
    students : Students
    X : array (n, K)
        Concept vectors of validation images.
    T : array (n, C)
        Responses of the teacher.
    """
    X, yes = np.asarray(X), np.asarray(T) >= 0.5
    S = students.predict(X)
    each = [
        average_precision(yes[:, c], S[:, c]) for c in range(yes.shape[1]) if 0 < yes[:, c].sum() < len(yes)
    ]
    return float(np.mean(each)) if each else None


def absent_share(students: Students, X: ArrayLike, classes: Sequence[int] | None = None) -> float | None:
    """Return the share of "yes" answers whose largest contribution comes from an absent concept.

    A concept is absent in an image if its value is below the mean of the training images: no region is
    evidence for it. Such answers cannot be explained by showing something.

    Parameters
    ----------
    students : Students
    X : array (n, K)
        Concept vectors of images.
    classes : sequence of int, optional
        Rows of classes; all by default.

    Returns
    -------
    float or None
        None if the students never say yes.
    """
    Z = (np.asarray(X, np.float32) - students.mean) / students.scale
    yes = students.predict(np.asarray(X, np.float32)) >= students.thresholds
    absent = total = 0
    for c in range(students.n_classes) if classes is None else classes:
        used = np.flatnonzero(students.weights[c])
        rows = Z[yes[:, c]][:, used]
        if len(rows) and len(used):
            values = rows * students.weights[c, used]
            top = values.argmax(axis=1)
            absent += int((rows[np.arange(len(rows)), top] < 0).sum())
            total += len(rows)
    return absent / total if total else None
