"""What `fit` refuses, each refusal naming the argument, the value and its place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
SMALL = 1 << 20  # bytes of float32 rows below which float64 costs nothing worth saving


def matrix(name: str, value: Any, shape: str) -> Array:
    """`value` as a two-dimensional array of real numbers, or ValueError."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array {shape}: {error}") from None
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape {shape}: it has {array.ndim} dimensions {array.shape}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers: its dtype is {array.dtype}")
    return array


def rows_and_targets(X: Any, T: Any) -> tuple[Array, Array]:
    """X (N, K) in the precision to compute in and T (N, C), or ValueError."""
    X = matrix("X", X, "(N, K)")
    T = matrix("T", T, "(N, C)")
    if X.shape[0] == 0:
        raise ValueError("X has no rows (N = 0): a fit needs at least one image")
    if X.shape[1] == 0:
        raise ValueError("X has no columns (K = 0): a fit needs at least one concept")
    if T.shape[0] != X.shape[0]:
        raise ValueError(f"X and T must have the same number of rows: {X.shape[0]} and {T.shape[0]}")
    if T.shape[1] == 0:
        raise ValueError("T has no columns (C = 0): a fit needs at least one class")
    within("T", T, 0.0, 1.0, "be within [0, 1]")
    if X.dtype != np.float64 and (X.dtype != np.float32 or X.size * 4 <= SMALL):
        X = X.astype(np.float64 if X.size * 4 <= SMALL else np.float32)
    if not X.flags.c_contiguous or not X.dtype.isnative:
        X = np.ascontiguousarray(X, X.dtype.newbyteorder("="))
    return X, T


def within(name: str, array: Array, low: float, high: float, rule: str) -> None:
    """Refuse the first entry of `array` outside [low, high] (NaN is outside)."""
    if array.dtype.kind in "iub" and low == 0.0 and high == np.inf:
        ok = bool(array.min(initial=0) >= 0)
    else:
        smallest, largest = array.min(initial=high if high < np.inf else low), array.max(initial=low)
        ok = bool(smallest >= low and largest <= high)  # False for NaN, which min and max hand on
    if not ok:
        bad = ~((array >= low) & (array <= high))
        place = np.unravel_index(int(np.argmax(bad)), array.shape)
        raise ValueError(f"{name} must {rule}: {name}[{', '.join(map(str, place))}] is {array[place]}")


def penalty(lam: Any) -> float:
    """lam as a finite non-negative number, or ValueError."""
    try:
        value = float(lam)
    except (TypeError, ValueError):
        raise ValueError(f"lam must be one number: it is {lam!r}") from None
    if not 0.0 <= value < np.inf:
        raise ValueError(f"lam must be finite and not negative: it is {value}")
    return value


def accuracy(tol: Any) -> float:
    """tol as a positive number, or ValueError."""
    try:
        value = float(tol)
    except (TypeError, ValueError):
        raise ValueError(f"tol must be one number: it is {tol!r}") from None
    if not 0.0 < value < np.inf:
        raise ValueError(f"tol must be finite and positive: it is {value}")
    return value


def box(lower: Any, upper: Any, C: int, K: int) -> tuple[Array, Array]:
    """Bounds (C, K) in float64, infinite where there is none, or ValueError."""
    out = []
    for name, value, default in (("lower", lower, -np.inf), ("upper", upper, np.inf)):
        if value is None:
            out.append(np.full((C, K), default))
            continue
        array = matrix(name, value, f"(C, K) = ({C}, {K})")
        if array.shape != (C, K):
            raise ValueError(f"{name} must have shape (C, K) = ({C}, {K}): it has {array.shape}")
        array = array.astype(np.float64)
        bad = np.isnan(array) | (array == -default)
        if bad.any():
            c, k = np.unravel_index(int(np.argmax(bad)), array.shape)
            raise ValueError(f"{name} must be a number or {default}: {name}[{c}, {k}] is {array[c, k]}")
        out.append(array)
    low, high = out
    if (low > high).any():
        c, k = np.unravel_index(int(np.argmax(low > high)), low.shape)
        raise ValueError(f"lower must not exceed upper: at [{c}, {k}] they are {low[c, k]} and {high[c, k]}")
    return low, high


def weights_of_rows(sample_weight: Any, N: int, C: int) -> Array | None:
    """sample_weight (N,) or (N, C), or ValueError."""
    if sample_weight is None:
        return None
    array = np.asarray(sample_weight)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"sample_weight must hold real numbers: its dtype is {array.dtype}")
    if array.shape not in ((N,), (N, C)):
        raise ValueError(f"sample_weight must have shape ({N},) or ({N}, {C}): it has {array.shape}")
    within("sample_weight", array, 0.0, np.inf, "not be negative or NaN")
    if np.isinf(array.max()):
        place = np.unravel_index(int(np.argmax(array)), array.shape)
        raise ValueError(f"sample_weight must be finite: it is inf at [{', '.join(map(str, place))}]")
    total = array.sum(0, dtype=np.float64)
    if np.any(total <= 0):
        where = "" if array.ndim == 1 else f" for class {int(np.argmin(total))}"
        raise ValueError(f"sample_weight must have a positive sum{where}: all its entries are 0")
    return array
