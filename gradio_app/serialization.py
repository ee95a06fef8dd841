"""Numbers on their way to the browser: columns as base64, the rest as plain JSON without NaN."""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def shares(values: ArrayLike) -> str:
    """Numbers in [0, 1] as little-endian uint16, base64: read with `unpack(…, Uint16Array)` and divide by
    65535."""
    scaled = np.round(np.clip(np.asarray(values, np.float64), 0, 1) * 65535)
    return base64.b64encode(np.ascontiguousarray(scaled, "<u2").tobytes()).decode()


def ints(values: ArrayLike) -> str:
    """Little-endian int32, base64: read with `unpack(…, Int32Array)`."""
    return base64.b64encode(np.ascontiguousarray(values, "<i4").tobytes()).decode()


def octets(values: ArrayLike) -> str:
    """Bytes, base64: read with `unpack(…, Uint8Array)`."""
    return base64.b64encode(np.ascontiguousarray(values, np.uint8).tobytes()).decode()


def quantised(values: ArrayLike) -> dict[str, Any]:
    """An array as bytes, each row between its own least and greatest value (an error of at most 0.2 % of
    the range).

    Parameters
    ----------
    values : array (m, n)

    Returns
    -------
    dict
        `low`, `high` (lists of m) and `bytes` (base64, row by row).
    """
    rows = np.atleast_2d(np.asarray(values, np.float32))
    if rows.size == 0:
        return {"low": [], "high": [], "bytes": ""}
    low, high = rows.min(1), rows.max(1)
    span = np.where(high > low, high - low, 1)[:, None]
    return {
        "low": plain(low),
        "high": plain(high),
        "bytes": octets(np.round((rows - low[:, None]) / span * 255)),
    }


def plain(value: Any) -> Any:
    """Anything core returns as JSON knows it: dataclasses and arrays unfolded, NaN and infinities as null.

    Floats are rounded to six significant digits, more than a screen shows.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "to_json"):
        return plain(value.to_json())
    return str(value)


def dumps(value: Any) -> str:
    """Compact JSON text that can be sent; what holds no arrays is expected to be plain already."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace").decode()  # half a surrogate cannot be sent
