"""Why a student says what it says about one image: its logit as a sum over concepts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.students.student import Students


@dataclass(frozen=True)
class Contributions:
    """``logit = bias + Σ values``, exactly as the student computes it."""

    columns: NDArray[np.int64]
    """Concepts with a non-zero weight, largest |contribution| first."""
    values: NDArray[np.float32]
    """``w_k·z_k`` of each, in logits; z is the standardised concept value."""
    z: NDArray[np.float32]
    """Standardised value of each: standard deviations above the mean image."""
    bias: float
    logit: float


def contributions(students: Students, cls: int, x: ArrayLike) -> Contributions:
    """Divide a student's logit for one image among its concepts.

    Parameters
    ----------
    students : Students
        The students.
    cls : int
        Row of the class.
    x : array (K,)
        The image's concept vector, as stored.

    Returns
    -------
    Contributions
        Only concepts with a weight; the others contribute nothing.

    Raises
    ------
    InputError
        The vector has another length.
    """
    x = np.asarray(x, np.float32)
    if x.shape != (students.n_concepts,):
        raise InputError(f"the students read {students.n_concepts} concepts, the vector has shape {x.shape}")
    w = students.weights[cls]
    columns = np.flatnonzero(w)
    z = ((x - students.mean) / students.scale)[columns]
    values = w[columns] * z
    order = np.argsort(-np.abs(values), kind="stable")
    bias = float(students.bias[cls])
    return Contributions(
        columns[order], values[order], z[order], bias, bias + float(values.astype(np.float64).sum())
    )
