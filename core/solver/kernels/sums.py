"""What groups of rows found, put together in solver's units."""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels._compile import jit


def _signature(f: Any) -> Any:
    wide, count = numba.float64[::1], numba.int64
    return numba.void(f[:, :, ::1], count, count, wide, wide, wide, wide, wide, numba.float64[:, ::1])


@jit(_signature(numba.float32), _signature(numba.float64))
def add_decoded(
    parts: Any, low: int, high: int, mass: Any, residual: Any, centre: Any, multiplier: Any, factor: Any,
    out: Any,
) -> None:  # fmt: skip
    """For each class, out[c, :K] += factor[c] (sum_g parts[g, c] / mass[c] - residual[c] centre) multiplier.

    Parameters
    ----------
    parts : (groups, C, K) products of the rows with something, group by group; added in that order
    low, high : which classes
    mass, residual : (C,) sum of the rows' weights, and the mean of that something
    centre, multiplier : (K,) of the columns, see `Design`
    factor : (C,)
    out : (C, >=K) added to
    """
    K = parts.shape[2]
    total = np.empty(K)
    for c in range(low, high):
        total[:] = 0.0
        for g in range(parts.shape[0]):
            part = parts[g, c]
            for k in range(K):
                total[k] += part[k]
        share, shift, f = 1.0 / mass[c], residual[c], factor[c]
        target = out[c]
        for k in range(K):
            target[k] += f * (total[k] * share - shift * centre[k]) * multiplier[k]
