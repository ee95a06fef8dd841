"""Actions to bounds: the box in which a class's weights are refitted.

The bounds in force for a class are those of the whole branch; a later action on the same concept replaces the
earlier one, and `free` lifts it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.tuning.actions import Action


@dataclass(frozen=True)
class Bound:
    """What one action asks of one weight.

    Parameters
    ----------
    action : Action
        The action that set it (its concept is a single one).
    lower, upper : float
        The refitted weight stays in ``[lower, upper]``, in standardised units; exactly representable as
        float32, since the weights are.
    weight : float
        The weight when the action was made.
    """

    action: Action
    lower: float
    upper: float
    weight: float

    def to_json(self) -> dict[str, Any]:
        """As kept in a history; infinite ends are None."""
        return {
            **self.action.to_json(),
            "lower": self.lower if np.isfinite(self.lower) else None,
            "upper": self.upper if np.isfinite(self.upper) else None,
            "weight": self.weight,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Bound":
        """The inverse of `to_json`."""
        lower = -np.inf if data["lower"] is None else float(data["lower"])
        upper = np.inf if data["upper"] is None else float(data["upper"])
        return cls(Action.from_json(data), lower, upper, float(data["weight"]))


def typical_weight(weights: NDArray[np.float32]) -> float:
    """τ of a class: the median of |w| over its non-zero weights, 1/√K where there are none.

    Parameters
    ----------
    weights : ndarray of shape (K,)
        The class's weights.

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
    """The bound that an action puts on a weight.

    Parameters
    ----------
    action : Action
        Any kind but ``free``.
    weight : float
        The weight now, a float32 value.
    tau : float
        `typical_weight` of the class now.

    Returns
    -------
    Bound
        Rounded to float32 so that ``up`` never allows less than was asked and ``down`` never more.
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
    """The smallest float32 that is not below `value`; float32 values stay as they are."""
    near = np.float32(value)
    return float(near if float(near) >= value else np.nextafter(near, np.float32(np.inf)))


def bounds_of(
    actions: Iterable[Action],
    weights: NDArray[np.float32],
    concepts: Sequence[str] | Mapping[str, int],
    in_force: Mapping[str, Bound] | None = None,
) -> dict[str, Bound]:
    """The bounds in force for a class after some actions.

    Parameters
    ----------
    actions : iterable of Action
        On single concepts, as `expand` returns them.
    weights : ndarray of shape (K,)
        The class's weights when the actions are made; all actions of one call see these.
    concepts : sequence of str, or mapping from name to column
        The names of the K concepts.
    in_force : mapping from concept to Bound, optional
        The bounds of the branch so far.

    Returns
    -------
    dict from concept to Bound
        A new one.
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
    """The box as the solver wants it.

    Parameters
    ----------
    bounds : mapping from concept to Bound
        The bounds in force.
    concepts : mapping from name to column
        Where each concept stands.
    n_concepts : int
        K.
    dropped : iterable of str
        Concepts whose weight is 0 in every class.

    Returns
    -------
    lower, upper : ndarray of shape (K,)
        Infinite where nothing is asked.
    """
    lower = np.full(n_concepts, -np.inf, np.float32)
    upper = np.full(n_concepts, np.inf, np.float32)
    for name, bound in bounds.items():
        k = concepts[name]
        lower[k], upper[k] = bound.lower, bound.upper
    for name in dropped:
        lower[concepts[name]] = upper[concepts[name]] = 0.0
    return lower, upper
