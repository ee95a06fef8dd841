"""First-order sensitivities of a class's optimum to changes of its weights.

At the optimum, the weights that are neither 0 nor at a bound satisfy a smooth equation. With H the Hessian of
the loss over these weights and the intercept (A), changing weight k by δ and optimising the others gives, to
first order (implicit function theorem; Fiacco 1983, *Introduction to Sensitivity and Stability Analysis*)

    Δw_A = −H_AA⁻¹ H_Ak δ          for k outside A
    Δw_A = H_AA⁻¹ e_k / (H_AA⁻¹)_kk δ    for k inside A

and the same elimination for several weights at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.tuning.bounds import box
from inficond.core.tuning.refit import loss_weights
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

RIDGE = 1e-6
"""Ridge relative to the mean diagonal; keeps the inverse finite if columns are equal."""


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """The Hessian of one class at its optimum.

    Parameters
    ----------
    free : ndarray of shape (a,), int
        Columns whose weight is neither 0 nor at a bound.
    hessian : ndarray of shape (a + 1, a + 1)
        Hessian of the loss over the free weights and the intercept (last).
    cross : ndarray of shape (a + 1, K)
        Second derivatives between these and every column.
    gradient : ndarray of shape (K,)
        Gradient of the loss, without the penalty.
    """

    free: NDArray[np.intp]
    hessian: NDArray[np.float64]
    cross: NDArray[np.float64]
    gradient: NDArray[np.float64]

    def response(
        self, columns: NDArray[np.intp], moves: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float]:
        """Return the change of all weights when some are changed and the others are optimised.

        Parameters
        ----------
        columns : ndarray of shape (m,), int
            The changed weights.
        moves : ndarray of shape (m,)
            Their changes.

        Returns
        -------
        dw : ndarray of shape (K,)
            Change of every weight.
        db : float
            Change of the intercept.
        """
        dw = np.zeros(self.cross.shape[1])
        dw[columns] = moves
        rest = np.flatnonzero(~np.isin(self.free, columns))
        keep = np.append(rest, len(self.free))  # the intercept is always free
        push = self.cross[np.ix_(keep, columns)] @ moves
        H = self.hessian[np.ix_(keep, keep)]
        step = -np.linalg.solve(H + np.eye(len(keep)) * (RIDGE * np.trace(H) / len(keep)), push)
        dw[self.free[rest]] = step[:-1]
        return dw, float(step[-1])


def sensitivity(workspace: Workspace, state: BranchState, cls: str) -> Sensitivity:
    """Compute the sensitivities of a class, with one pass over the training images.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
    cls : str
        The class; under a softmax, the weights of the other classes are constant.

    Returns
    -------
    Sensitivity
    """
    columns, one = workspace.columns(state.added), state.classes[cls]
    Z, K = columns.training, len(columns.names)
    lower, upper = box(one.bounds, columns.index, K, state.dropped)
    w = one.weights
    free = np.flatnonzero((w != 0) & (w > lower) & (w < upper))
    p = workspace.score(state, cls, "training").astype(np.float64)
    t = workspace.targets(state, "training")[:, workspace.students.class_index(cls)]
    v = loss_weights(workspace, one)
    share = np.full(len(p), 1.0 / len(p)) if v is None else v / v.sum(dtype=np.float64)
    curvature = (share * p * (1 - p)).astype(np.float32)
    left = np.empty((len(Z), len(free) + 1), np.float32)
    left[:, :-1] = Z[:, free]
    left[:, -1] = 1.0
    left *= curvature[:, None]
    cross = (left.T @ Z).astype(np.float64)
    hessian = np.empty((len(free) + 1, len(free) + 1))
    hessian[:, :-1] = cross[:, free]
    hessian[:-1, -1] = hessian[-1, :-1]
    hessian[-1, -1] = float(curvature.sum(dtype=np.float64))
    gradient = (share * (p - t)).astype(np.float32) @ Z
    return Sensitivity(free, hessian, cross, gradient.astype(np.float64))
