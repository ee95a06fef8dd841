"""Messages with NumPy arrays between two processes, without pickle.

A message is one line of JSON followed by the bytes of the arrays. The receiver checks types and sizes, so a
process that runs an untrusted graph need not be trusted itself.
"""

import json
import math
from typing import Any

import numpy as np

_KINDS = "biuf"
MAX_ARRAYS = 64


def encode(header: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> bytes:
    """Encode a message.

    Parameters
    ----------
    header : dict
        JSON values.
    arrays : dict, optional
        Arrays of numbers by name.
    """
    blocks = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    for name, array in blocks.items():
        if array.dtype.kind not in _KINDS:
            raise ValueError(f"{name} holds values of type {array.dtype}, not numbers")
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in blocks.items()]
    head = json.dumps({**header, "arrays": listed}).encode()
    return b"\n".join([head, b"".join(array.tobytes() for array in blocks.values())])


def decode(message: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Decode a message.

    Raises
    ------
    ValueError
        It is not a message of `encode`.
    """
    head, _, body = message.partition(b"\n")
    header = json.loads(head)
    if not isinstance(header, dict) or not isinstance(header.get("arrays"), list):
        raise ValueError("a message without a list of arrays")
    if len(header["arrays"]) > MAX_ARRAYS:
        raise ValueError("a message with too many arrays")
    arrays: dict[str, np.ndarray] = {}
    at = 0
    for name, code, shape in header.pop("arrays"):
        dtype = np.dtype(str(code))
        if dtype.kind not in _KINDS or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"the array {name!r} is not an array of numbers")
        size = dtype.itemsize * math.prod(shape)
        if size > len(body) - at:
            raise ValueError(f"the array {name!r} is truncated")
        arrays[str(name)] = np.frombuffer(body, dtype, math.prod(shape), at).reshape(shape)
        at += size
    return header, arrays
