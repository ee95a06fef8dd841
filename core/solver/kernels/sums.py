"""Sums over groups of rows, converted to the units of the solver."""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels.compilation import jit


def _signature(f: Any) -> Any:
    wide, count = numba.float64[::1], numba.int64
    return numba.void(f[:, :, ::1], count, count, wide, wide, wide, wide, wide, numba.float64[:, ::1])


@jit(_signature(numba.float32), _signature(numba.float64))
def add_in_solver_units(
    group_products: Any, low: int, high: int, total_weight: Any, residual: Any, centre: Any, multiplier: Any,
    factor: Any, out: Any,
) -> None:  # fmt: skip
    """Convert products with the raw rows to products with the standardized rows, and add them.

    out[c, :K] += factor[c] (sum_g group_products[g, c] / total_weight[c] - residual[c] centre) multiplier

    Parameters
    ----------
    group_products : (groups, C, K) products of the raw rows with some residuals, added in the order of the
        groups
    low, high : range of classes
    total_weight, residual : (C,) sum of the sample weights, and mean of the residuals
    centre, multiplier : (K,) standardization of the columns (see `Design`)
    factor : (C,)
    out : (C, >=K) added to
    """
    K = group_products.shape[2]
    column_sum = np.empty(K)
    for c in range(low, high):
        column_sum[:] = 0.0
        for g in range(group_products.shape[0]):
            part = group_products[g, c]
            for k in range(K):
                column_sum[k] += part[k]
        share, shift, f = 1.0 / total_weight[c], residual[c], factor[c]
        target = out[c]
        for k in range(K):
            target[k] += f * (column_sum[k] * share - shift * centre[k]) * multiplier[k]
