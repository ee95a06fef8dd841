"""Requested weights: the weight that an action requests before the refit.

The page places its sliders by these numbers, so that the formula of `bounds.bound_for` and the members of a
group are stated only in Python.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from inficond.core.tuning.actions import Action, expand
from inficond.core.tuning.bounds import bound_for, typical_weight

STRENGTHS = (1.5, 2.0, 3.0, 5.0)
"""Strengths of `up` and `down` that a person steps through."""


def requested_weight(action: Action, weight: float, tau: float) -> float:
    """Return the weight within the bound of an action that is nearest to the present weight.

    Parameters
    ----------
    action : Action
        Of any kind; `free` requests no change.
    weight : float
        The present weight, in standardised units.
    tau : float
        `typical_weight` of the class.

    Returns
    -------
    float
        In standardised units.
    """
    if action.kind == "free":
        return weight
    bound = bound_for(action, weight, tau)
    return min(max(weight, bound.lower), bound.upper)


def requested_by_strength(weight: float, tau: float) -> dict[str, list[tuple[float, float]]]:
    """Return the requested weight of each strength.

    Parameters
    ----------
    weight : float
        The present weight, in standardised units.
    tau : float
        `typical_weight` of the class.

    Returns
    -------
    dict
        ``up`` and ``down`` → pairs of strength and requested weight, in the order of `STRENGTHS`.
    """
    return {
        kind: [(x, requested_weight(Action(kind, "any", x), weight, tau)) for x in STRENGTHS]
        for kind in ("up", "down")
    }


def requested_by_concept(
    action: Action,
    weights: NDArray[np.float32],
    concepts: Sequence[str],
    groups: Sequence[str],
    dropped: Iterable[str] = (),
) -> dict[str, float]:
    """Return the requested weight of each concept on which an action acts.

    Parameters
    ----------
    action : Action
        On a concept or on a group.
    weights : ndarray of shape (K,)
        The weights of the class, in standardised units.
    concepts, groups : sequence of str
        (K,) names of the concepts and the group of each.
    dropped : iterable of str
        Concepts that were dropped; a group skips them.

    Returns
    -------
    dict
        Concept → weight, in standardised units.

    Raises
    ------
    InputError
        The concept or the group is unknown, or the concept was dropped.
    """
    tau = typical_weight(weights)
    column = {name: k for k, name in enumerate(concepts)}
    single = expand([action], concepts, groups, dropped)
    return {one.concept: requested_weight(one, float(weights[column[one.concept]]), tau) for one in single}
