"""Bounds on weights, derived from actions.

The bounds of a class are those of its whole branch. A later action on a concept replaces the earlier one, and
`free` removes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.tuning.actions import Action


@dataclass(frozen=True)
class Bound:
    """Interval in which a refitted weight must lie.

    Parameters
    ----------
    action : Action
        The action that set the bound, on a single concept.
    lower, upper : float
        Ends of the interval in standardised units; float32 values, as the weights are.
    weight : float
        Weight at the time of the action.
    """

    action: Action
    lower: float
    upper: float
    weight: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, as stored in a history; infinite ends are None."""
        return {
            **self.action.to_json(),
            "lower": self.lower if np.isfinite(self.lower) else None,
            "upper": self.upper if np.isfinite(self.upper) else None,
            "weight": self.weight,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Bound":
        """Return the bound of plain JSON."""
        lower = -np.inf if data["lower"] is None else float(data["lower"])
        upper = np.inf if data["upper"] is None else float(data["upper"])
        return cls(Action.from_json(data), lower, upper, float(data["weight"]))


def typical_weight(weights: NDArray[np.float32]) -> float:
    """Return τ of a class: the median of |w| over its non-zero weights, 1/√K if there are none.

    Parameters
    ----------
    weights : ndarray of shape (K,)
        Weights of the class.

    Returns
    -------
    float
        In standardised units, above 0.
    """
    active = np.abs(weights[weights != 0]).astype(np.float64)
    if active.size:
        return float(np.median(active))
    return 1.0 / float(np.sqrt(max(1, weights.size)))


def bound_for(action: Action, weight: float, tau: float) -> Bound:
    """Return the bound that an action puts on a weight.

    Parameters
    ----------
    action : Action
        Of any kind but ``free``.
    weight : float
        Current weight, a float32 value.
    tau : float
        Current `typical_weight` of the class.

    Returns
    -------
    Bound
        Ends are rounded to float32 towards the requested side: ``up`` never allows less than requested and
        ``down`` never more.
    """
    w = float(weight)
    if action.kind == "mute":
        return Bound(action, 0.0, 0.0, w)
    if action.kind == "lock":
        return Bound(action, w, w, w)
    assert action.value is not None
    if action.kind == "set":
        v = float(np.float32(action.value))
        return Bound(action, v, v, w)
    step = (action.value - 1.0) * max(abs(w), tau)
    if action.kind == "up":
        return Bound(action, _float32_at_least(w + step), np.inf, w)
    return Bound(action, -np.inf, -_float32_at_least(-(w - step)), w)


def _float32_at_least(value: float) -> float:
    """Return the smallest float32 that is not below `value`."""
    near = np.float32(value)
    return float(near if float(near) >= value else np.nextafter(near, np.float32(np.inf)))


def bounds_of(
    actions: Iterable[Action],
    weights: NDArray[np.float32],
    concepts: Sequence[str] | Mapping[str, int],
    in_force: Mapping[str, Bound] | None = None,
) -> dict[str, Bound]:
    """Return the bounds of a class after some actions.

    Parameters
    ----------
    actions : iterable of Action
        On single concepts, as returned by `expand`.
    weights : ndarray of shape (K,)
        Weights of the class before the actions; all of them refer to these.
    concepts : sequence of str, or mapping from name to column
        Names of the K concepts.
    in_force : mapping from concept to Bound, optional
        Earlier bounds of the branch.

    Returns
    -------
    dict from concept to Bound
        A new dict.
    """
    columns = concepts if isinstance(concepts, Mapping) else {name: i for i, name in enumerate(concepts)}
    tau = typical_weight(weights)
    bounds = dict(in_force or {})
    for action in actions:
        if action.kind == "free":
            bounds.pop(action.concept, None)
        else:
            bounds[action.concept] = bound_for(action, float(weights[columns[action.concept]]), tau)
    return bounds


def box(
    bounds: Mapping[str, Bound],
    concepts: Mapping[str, int],
    n_concepts: int,
    dropped: Iterable[str] = (),
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return bounds as arrays for the solver.

    Parameters
    ----------
    bounds : mapping from concept to Bound
        Bounds of the class.
    concepts : mapping from name to column
        Columns of the concepts.
    n_concepts : int
        Number of concepts K.
    dropped : iterable of str
        Concepts whose weight is 0 in every class.

    Returns
    -------
    lower, upper : ndarray of shape (K,), float32
        Infinite for weights without a bound.
    """
    lower = np.full(n_concepts, -np.inf, np.float32)
    upper = np.full(n_concepts, np.inf, np.float32)
    for name, bound in bounds.items():
        k = concepts[name]
        lower[k], upper[k] = bound.lower, bound.upper
    for name in dropped:
        lower[concepts[name]] = upper[concepts[name]] = 0.0
    return lower, upper
