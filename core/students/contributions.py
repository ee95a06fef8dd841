"""Contributions of concepts to the logit of one image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.students.arguments import float32_array
from inficond.core.students.student import Students


@dataclass(frozen=True)
class Contributions:
    """Decomposition ``logit = bias + Σ values`` of a logit of the student.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> parts = session.contributions("water bird", row=2)
    >>> abs(parts.bias + float(parts.values.sum()) - parts.logit) < 1e-4
    True
    """

    columns: NDArray[np.int64]
    """Concepts with a non-zero weight, in descending order of |contribution|."""
    values: NDArray[np.float32]
    """``w_k·z_k`` of each, in logits; z is the standardized concept value."""
    z: NDArray[np.float32]
    """Standardized value of each: standard deviations above the mean."""
    bias: float
    logit: float

    @property
    def absent(self) -> NDArray[np.bool_]:
        """Whether each contribution comes from a value below the mean: no region is evidence for it."""
        return self.z < 0


def contributions(students: Students, cls: int, x: ArrayLike) -> Contributions:
    """Return the contributions of concepts to the logit of one image.

    Parameters
    ----------
    students : Students
        The students.
    cls : int
        Row of the class.
    x : array (K,)
        Concept vector of the image, not standardized.

    Returns
    -------
    Contributions
        Of the concepts with a non-zero weight.

    Raises
    ------
    InputError
        The vector has the wrong length.

    Examples
    --------
    >>> from inficond.core.students import Students, contributions
    >>> students = Students(
    ...     classes=["boat"], concepts=["water", "grass", "sky"],
    ...     weights=[[2.0, -1.0, 0.0]], bias=[0.25], mean=[0.5] * 3, scale=[0.25] * 3,
    ... )
    >>> parts = contributions(students, 0, [0.75, 0.75, 0.5])
    >>> [(students.concepts[k], float(value)) for k, value in zip(parts.columns, parts.values)]
    [('water', 2.0), ('grass', -1.0)]
    >>> parts.bias, parts.logit
    (0.25, 1.25)
    """
    x = float32_array("x", x)
    if x.shape != (students.n_concepts,):
        raise InputError(f"a concept vector must have {students.n_concepts} values: its shape is {x.shape}")
    w = students.weights[cls]
    columns = np.flatnonzero(w)
    z = ((x - students.mean) / students.scale)[columns]
    values = w[columns] * z
    order = np.argsort(-np.abs(values), kind="stable")
    bias = float(students.bias[cls])
    return Contributions(
        columns[order], values[order], z[order], bias, bias + float(values.astype(np.float64).sum())
    )
