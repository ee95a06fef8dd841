"""Differences between the weights of two states of a class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inficond.core.tuning.state import ClassState


@dataclass(frozen=True)
class WeightChange:
    """Change of one weight, in standardised units."""

    cls: str
    concept: str
    before: float
    after: float


def changes(
    cls: str,
    concepts_before: Sequence[str],
    concepts_after: Sequence[str],
    before: ClassState,
    after: ClassState,
) -> tuple[WeightChange, ...]:
    """Return the weights that differ between two states of a class, largest change first.

    Parameters
    ----------
    cls : str
        The class.
    concepts_before, concepts_after : sequence of str
        Concepts of each state; a concept that is missing in one has weight 0 there.
    before, after : ClassState

    Returns
    -------
    tuple of WeightChange
    """
    if concepts_before == concepts_after:
        old, new, names = before.weights, after.weights, concepts_after
    else:
        names = list(dict.fromkeys([*concepts_before, *concepts_after]))
        place = {name: i for i, name in enumerate(names)}
        old, new = np.zeros(len(names), np.float32), np.zeros(len(names), np.float32)
        old[[place[n] for n in concepts_before]] = before.weights
        new[[place[n] for n in concepts_after]] = after.weights
    moved = np.flatnonzero(old != new)
    order = moved[np.argsort(-np.abs(new[moved] - old[moved]), kind="stable")]
    return tuple(WeightChange(cls, names[int(k)], float(old[k]), float(new[k])) for k in order)
