"""Serialization of payloads for the browser: numeric columns as base64, all else as JSON without NaN."""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike


class QuantizedRows(TypedDict):
    """Rows of an array as bytes, each row scaled to its own range."""

    low: list[float]
    high: list[float]
    bytes: str


def encode_probabilities(values: ArrayLike) -> str:
    """Encode numbers in [0, 1] as base64 of little-endian uint16; 65535 stands for 1."""
    scaled = np.round(np.clip(np.asarray(values, np.float64), 0, 1) * 65535)
    return base64.b64encode(np.ascontiguousarray(scaled, "<u2").tobytes()).decode()


def encode_int32(values: ArrayLike) -> str:
    """Encode integers as base64 of little-endian int32."""
    return base64.b64encode(np.ascontiguousarray(values, "<i4").tobytes()).decode()


def encode_float32(values: ArrayLike) -> str:
    """Encode numbers as base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def encode_uint8(values: ArrayLike) -> str:
    """Encode integers in [0, 255] as base64 of bytes."""
    return base64.b64encode(np.ascontiguousarray(values, np.uint8).tobytes()).decode()


def quantize_rows(values: ArrayLike) -> QuantizedRows:
    """Quantize each row of an array to 8 bits between its minimum and its maximum.

    The error is at most 0.2 % of the range of the row.

    Parameters
    ----------
    values : array of shape (m, n)

    Returns
    -------
    QuantizedRows
        `low` and `high` hold m numbers; `bytes` is the base64 of m × n bytes, row by row.
    """
    rows = np.atleast_2d(np.asarray(values, np.float32))
    if rows.size == 0:
        return {"low": [], "high": [], "bytes": ""}
    low, high = rows.min(1), rows.max(1)
    span = np.where(high > low, high - low, 1)[:, None]
    return {
        "low": to_plain(low),
        "high": to_plain(high),
        "bytes": encode_uint8(np.round((rows - low[:, None]) / span * 255)),
    }


def to_plain(value: Any) -> Any:
    """Convert dataclasses, arrays and mappings to JSON types.

    NaN and infinities become None. Floats are rounded to six significant digits, which is more than the page
    shows.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    to_json = getattr(value, "to_json", None)
    return str(value) if to_json is None else to_plain(to_json())


def to_json(value: Any) -> str:
    """Serialize a payload as compact JSON text in valid UTF-8.

    Lone surrogates, which UTF-8 cannot encode, become question marks.

    Raises
    ------
    TypeError, ValueError
        If the payload holds arrays, NaN or other values that `to_plain` converts.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace").decode()
