"""Validation and conversion of the arguments; every error names the argument, the value and its position."""

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.real_arrays import real_array

Array = NDArray[np.floating]
SMALL_BYTES = 1 << 20  # size of float32 rows up to which they are fitted in float64
LARGEST_INTEGER = 1 << 24  # up to which float32 holds every integer

CLIP_TOLERANCE, CLIP_TOLERANCE_16 = 1e-5, 1e-2
"""How far targets may be outside [0, 1], as rounding errors; they are clipped. Second: of 16-bit floats."""
SUM_TOLERANCE, SUM_TOLERANCE_16 = 1e-3, 2e-2
"""How far the targets of a row may be from a sum of 1 (softmax). Second: of 16-bit floats."""


def matrix(name: str, value: Any, shape: str) -> NDArray[Any]:
    """Convert to a two-dimensional array of real numbers; `shape` describes it in errors."""
    array = real_array(name, value)
    if array.ndim != 2:
        hint = f"; use {_as_columns(name, value, array)}" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} must have shape {shape}: it has {array.ndim} dimensions {array.shape}{hint}"
        )
    return array


def _as_columns(name: str, value: Any, array: NDArray[Any]) -> str:
    """Return an expression that makes a matrix of a one-dimensional argument, and what it is for."""
    if name == "T" and array.dtype.kind in "iu" and array.size and array.min() >= 0 and array.max() > 1:
        return f"np.eye({int(array.max()) + 1})[{name}] for the numbers of classes"
    if hasattr(value, "to_frame"):
        return f"{name}.to_frame() for one column"
    column = f"{name}[:, None]" if hasattr(value, "shape") else f"np.reshape({name}, (-1, 1))"
    return f"{column} for one column"


def rows(X: Any) -> Array:
    """Convert X (N, K) to the precision of the computation, C-contiguous; finiteness is checked later."""
    array = matrix("X", X, "(N, K)")
    if array.shape[0] == 0:
        raise ValueError("X has no rows (N = 0): a fit needs at least one image")
    if array.shape[1] == 0:
        raise ValueError("X has no columns (K = 0): a fit needs at least one concept")
    if array.dtype != np.float64 and (array.dtype != np.float32 or array.size * 4 <= SMALL_BYTES):
        small = array.size * 4 <= SMALL_BYTES or _exceeds_float32(array)
        array = array.astype(np.float64 if small else np.float32)
    if not array.flags.c_contiguous or not array.dtype.isnative:
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return array


def _exceeds_float32(array: NDArray[Any]) -> bool:
    """Whether some of the integers of an array are not numbers of float32."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 4:
        return False
    return bool(array.max() > LARGEST_INTEGER or array.min() < -LARGEST_INTEGER)


def targets(T: Any, N: int, sample_weight: NDArray[Any] | None, joint: bool) -> NDArray[Any]:
    """Convert T (N, C) to probabilities.

    Targets with weight 0 are ignored, NaN included. Rounding errors beyond [0, 1] are clipped
    (`CLIP_TOLERANCE`).

    Parameters
    ----------
    T : array-like
    N : number of rows
    sample_weight : (N,) or (N, C) from `sample_weights`
    joint : whether the targets of a row must sum to 1 (`SUM_TOLERANCE`)
    """
    array = matrix("T", T, "(N, C)")
    if array.shape[0] != N:
        raise ValueError(f"X and T must have the same number of rows: {N} and {array.shape[0]}")
    if array.shape[1] == 0:
        raise ValueError("T has no columns (C = 0): a fit needs at least one class")
    ignored = None
    if sample_weight is not None and not np.all(sample_weight > 0):
        ignored = np.broadcast_to(sample_weight.reshape(N, -1) == 0, array.shape)
        if joint:  # a distribution is needed as a whole
            ignored = np.broadcast_to(ignored.all(1, keepdims=True), array.shape)
        array = np.where(ignored, array.dtype.type(0), array)
    coarse = str(getattr(T, "dtype", "")).endswith("float16")
    tolerance = CLIP_TOLERANCE_16 if coarse else CLIP_TOLERANCE
    smallest, largest = array.min(), array.max()
    if not (smallest >= 0 and largest <= 1):  # also for NaN
        _within("T", array, -tolerance, 1 + tolerance, "be within [0, 1]", _scale_hint(array))
        array = np.clip(array, 0, 1)
    if joint:
        sums = array.sum(1, dtype=np.float64)
        allowed = SUM_TOLERANCE_16 if coarse else SUM_TOLERANCE
        wrong = np.abs(sums - 1) > allowed
        if ignored is not None:
            wrong &= ~ignored[:, 0]
        if wrong.any():
            n = int(np.argmax(wrong))
            raise ValueError(
                f"T must sum to 1 over the classes with link softmax (tolerance {allowed:g}):"
                f" row {n} sums to {sums[n]:.6g}, and {int(wrong.sum())} of {N} rows do not; "
                "divide each row by its sum, or use link sigmoid"
            )
    return array


def _scale_hint(array: NDArray[Any]) -> str:
    """Return how targets on another usual scale become probabilities; empty where that is not known."""
    if not np.isfinite(array).all():
        return ""
    smallest, largest = array.min(), array.max()
    if smallest >= -1 and largest <= 1 and np.all(np.abs(array) == 1):
        return "; use T > 0 for labels -1 and 1"
    if smallest >= 0 and np.all(array == np.rint(array)) and array.shape[1] == 1:
        return "; use np.eye(C)[T[:, 0]] for the numbers of C classes"
    if smallest >= 0 and 1 < largest <= 100:
        return "; use T / 100 for percentages"
    return ""


def sample_weights(value: Any, N: int) -> NDArray[Any] | None:
    """Convert sample_weight (N,) or (N, C); the number of classes is checked by `sample_weight_classes`."""
    if value is None:
        return None
    array = real_array("sample_weight", value)
    if array.ndim not in (1, 2) or len(array) != N:
        raise ValueError(f"sample_weight must have shape ({N},) or ({N}, C): it has {array.shape}")
    _within("sample_weight", array, 0.0, np.inf, "not be negative or NaN")
    if np.isinf(array.max()):
        raise ValueError(f"sample_weight must be finite: sample_weight{_position(np.isinf(array))} is inf")
    positive = (array > 0).any(axis=0)
    if not np.all(positive):
        where = "" if array.ndim == 1 else f" for class {int(np.argmin(positive))}"
        raise ValueError(f"sample_weight must have a positive sum{where}: all its entries are 0")
    return array


def sample_weight_classes(sample_weight: NDArray[Any] | None, C: int) -> None:
    """Check the number of columns of two-dimensional sample weights."""
    if sample_weight is not None and sample_weight.ndim == 2 and sample_weight.shape[1] != C:
        N = len(sample_weight)
        raise ValueError(f"sample_weight must have shape ({N},) or ({N}, {C}): it has {sample_weight.shape}")


def box(lower: Any, upper: Any, C: int, K: int) -> tuple[Array, Array]:
    """Convert bounds to (C, K) float64, infinite where there is none."""
    out = []
    for name, value, default in (("lower", lower, -np.inf), ("upper", upper, np.inf)):
        if value is None:
            out.append(np.full((C, K), default))
            continue
        array = _class_matrix(name, value, C, K)
        bad = np.isnan(array) | (array == -default)
        if bad.any():
            place = _position(bad)
            raise ValueError(f"{name} must be a number or {default}: {name}{place} is {array[bad][0]}")
        out.append(array)
    low, high = out
    if (low > high).any():
        bad = low > high
        raise ValueError(
            f"lower must not exceed upper: at {_position(bad)} they are {low[bad][0]} and {high[bad][0]}"
        )
    return low, high


def multipliers(penalty: Any, C: int, K: int, lower: Array, upper: Array) -> Array | None:
    """Convert penalty multipliers (K,) or (C, K) to (C, K) float64; None for no multipliers."""
    if penalty is None:
        return None
    array = real_array("penalty", penalty)
    if array.shape == (K,):
        array = np.broadcast_to(array, (C, K))
    array = np.array(_class_matrix("penalty", array, C, K, f"({K},) or ({C}, {K})"))
    _within("penalty", array, 0.0, np.inf, "not be negative or NaN")
    bad = np.isinf(array) & ((lower > 0) | (upper < 0))
    if bad.any():
        raise ValueError(
            f"penalty{_position(bad)} is inf, which fixes the weight at 0, but its bounds "
            f"[{lower[bad][0]}, {upper[bad][0]}] exclude 0"
        )
    return array


def _class_matrix(name: str, value: Any, C: int, K: int, shape: str | None = None) -> Array:
    array = real_array(name, value)
    if array.shape != (C, K):
        hint = f"; use np.broadcast_to({name}, ({C}, {K}))" if array.shape in ((), (K,), (1, K)) else ""
        wanted = shape or f"(C, K) = ({C}, {K})"
        raise ValueError(f"{name} must have shape {wanted}: it has {array.shape}{hint}")
    return array.astype(np.float64)


def number(name: str, value: Any) -> float:
    """Convert to a float; strings, Booleans and arrays are rejected."""
    value = value.detach() if hasattr(value, "detach") else value  # a tensor with a gradient
    if not isinstance(value, str | bytes | bool | np.bool_ | complex) and getattr(value, "ndim", 0) == 0:
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise ValueError(f"{name} must be one number: it is {value!r:.60}")


def non_negative(name: str, value: Any) -> float:
    """Convert to a finite float >= 0."""
    result = number(name, value)
    if not 0.0 <= result < np.inf:
        raise ValueError(f"{name} must be finite and not negative: it is {result}")
    return result


def positive(name: str, value: Any) -> float:
    """Convert to a finite float > 0."""
    result = number(name, value)
    if not 0.0 < result < np.inf:
        raise ValueError(f"{name} must be finite and positive: it is {result}")
    return result


def count(name: str, value: Any) -> int:
    """Convert to an integer >= 1."""
    if not isinstance(value, bool | np.bool_):
        try:
            result = operator.index(value)
        except TypeError:
            result = 0
        if result >= 1:
            return result
    raise ValueError(f"{name} must be a whole number of at least 1: it is {value!r:.60}")


def class_rows(name: str, value: Any, C: int) -> NDArray[np.int64]:
    """Convert row numbers, or a mask (C,) of Booleans, to row numbers; negative ones count from the end."""
    array = np.atleast_1d(real_array(name, value))
    if array.dtype == bool:
        if array.shape != (C,):
            raise ValueError(f"{name} must have shape ({C},) as a mask: it has {array.shape}")
        return np.flatnonzero(array)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be whole numbers, or a mask of Booleans: it is {value!r:.60}")
    rows = array.astype(np.int64)
    bad = (rows < -C) | (rows >= C)
    if bad.any():
        raise ValueError(
            f"{name} must be below the number of classes, {C}: {name}{_position(bad)} is {rows[bad][0]}"
        )
    return rows


def penalties(name: str, value: Any) -> list[float]:
    """Convert to a list of at least one finite float >= 0, in decreasing order."""
    array = real_array(name, value)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must be a sequence of at least one number: it has shape {array.shape}")
    return sorted((non_negative(name, entry) for entry in array.tolist()), reverse=True)


def same_row_order(**frames: Any) -> None:
    """Check that pandas frames with the same row labels have them in the same order.

    Rows are matched by position, so another order would pair images with the targets of others. Labels that
    pandas gave by itself, 0 to N - 1, are not compared.
    """
    known = [(name, frame.index) for name, frame in frames.items() if _is_pandas(frame)]
    known = [(name, index) for name, index in known if not _is_default(index)]
    for name, index in known[1:]:
        first, labels = known[0]
        if len(index) != len(labels) or index.equals(labels) or not labels.is_unique:
            continue
        if len(labels.union(index)) == len(labels):
            n = int(np.argmax(np.asarray(labels != index)))
            raise ValueError(
                f"{first} and {name} must have their rows in the same order: row {n} is {labels[n]!r:.60} in "
                f"{first} and {index[n]!r:.60} in {name}; use {name}.loc[{first}.index]"
            )


def _is_default(index: Any) -> bool:
    return type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1


def _is_pandas(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "index")


def flag(name: str, value: Any) -> bool:
    """Convert to a bool; anything but a Boolean is rejected."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False: it is {value!r:.60}")
    return bool(value)


def choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Check that a string is one of several."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}: it is {value!r:.60}")
    return value


def finite(name: str, array: Array) -> None:
    """Check that all entries are finite."""
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(f"{name} must be finite: {name}{_position(bad)} is {array[bad][0]}")


def _within(name: str, array: NDArray[Any], low: float, high: float, rule: str, hint: str = "") -> None:
    """Check low <= array <= high (NaN is outside)."""
    smallest, largest = array.min(), array.max()
    if not (smallest >= low and largest <= high):
        bad = ~((array >= low) & (array <= high))
        raise ValueError(f"{name} must {rule}: {name}{_position(bad)} is {array[bad][0]}{hint}")


def _position(bad: NDArray[np.bool_]) -> str:
    """Return the index of the first true entry, as in ``[3, 1]``."""
    return f"[{', '.join(map(str, np.unravel_index(int(np.argmax(bad)), bad.shape)))}]"
