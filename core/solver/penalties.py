"""Penalty of the coefficients: weighted L1 norm with box constraints."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Indices = NDArray[np.int64]
LARGEST = 1e300  # finite, so that LARGEST times a zero weight is 0
NO_BOUND = 1e10  # bound that no weight reaches, as columns have unit variance; often meant as infinite
UNPENALIZED = 1e-6  # lam up to which the dual point is corrected for a weight (see `Problem`)


def take_blocks(a: Array, blocks: Indices) -> Array:
    """Return some rows (ascending) of an array; the array itself, not a copy, if all are wanted."""
    return a if len(blocks) == len(a) else a[blocks]


@dataclass
class BoxedL1:
    """h(w) = sum_j lam_j |w_j| for lower <= w <= upper, infinite elsewhere.

    Its proximal step and the distance to its subdifferential are in `kernels.penalty`, its conjugate in
    `kernels.fenchel_young`.

    Attributes
    ----------
    lam, lower, upper : (B, n) float64; intercepts have lam 0 and infinite bounds
    unpenalized : (B, n) weights with (almost) no penalty and an infinite bound, or None; the
        conjugate is finite only where the dual gradient (almost) vanishes at these
    """

    lam: Array
    lower: Array
    upper: Array
    unpenalized: NDArray[np.bool_] | None

    def value(self, weights: Array, blocks: Indices) -> Array:
        """Return h (len(blocks),) at feasible weights (len(blocks), n)."""
        return np.einsum("bn,bn->b", take_blocks(self.lam, blocks), np.abs(weights))

    def project(self, weights: Array) -> Array:
        """Return the nearest weights (B, n) within the bounds."""
        return np.clip(weights, self.lower, self.upper)

    def is_feasible(self, weights: Array) -> NDArray[np.bool_]:
        """Whether the weights of each block are within their bounds, (B,)."""
        return np.all((weights >= self.lower) & (weights <= self.upper), axis=1)


def in_solver_units(
    lam: float,
    multipliers: Array | None,
    lower: Array,
    upper: Array,
    unit_ratio: Array,
    pack: Callable[[Array], Array],
) -> BoxedL1:
    """Convert penalty and bounds of the user to the units of the solver.

    Parameters
    ----------
    lam : weight of the L1 norm
    multipliers : (C, K) of lam; infinite where a weight is fixed at 0; None for 1
    lower, upper : (C, K) bounds in units of the user
    unit_ratio : (K,) weight of the user / weight of the solver
    pack : reshapes (C, K+1) to (B, n)
    """
    C, K = lower.shape
    scaled, low, high = np.zeros((C, K + 1)), np.full((C, K + 1), -np.inf), np.full((C, K + 1), np.inf)
    low[:, :K] = lower / unit_ratio
    high[:, :K] = upper / unit_ratio
    with np.errstate(over="ignore"):
        scaled[:, :K] = lam * unit_ratio
        if multipliers is not None:
            excluded = np.isinf(multipliers)
            scaled[:, :K] *= np.where(excluded, 1.0, multipliers)
            low[:, :K][excluded] = high[:, :K][excluded] = 0.0
    np.minimum(scaled, LARGEST, out=scaled)
    low[low < -NO_BOUND], high[high > NO_BOUND] = -np.inf, np.inf
    free = (scaled <= UNPENALIZED) & (np.isinf(low) | np.isinf(high))
    free[:, K] = False  # every dual point is feasible for the intercepts
    return BoxedL1(pack(scaled), pack(low), pack(high), free.reshape(pack(low).shape) if free.any() else None)
