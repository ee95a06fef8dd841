"""Safetensors files of students: read with the safetensors library, written deterministically.

The library writes metadata in an arbitrary order, so two saves of one student differ. Here the order is
fixed, because the hash of a file is the identity of a student. The layout is that of
https://github.com/huggingface/safetensors ("Format"): eight bytes little-endian length of the header, the
header as a JSON object ``{name: {dtype, shape, data_offsets}, "__metadata__": {str: str}}``, and the bytes of
the tensors without gaps. Nothing in a file is executed.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError, system_reason
from inficond.core.strict_json import parse_json

MAX_HEADER = 32 * 2**20
"""Largest header in bytes; ten thousand concept names take less than 1 MB."""
MAX_FILE = 2**31
"""Largest file in bytes."""
MAX_AXES = 8
CHECKSUM = "checksum"
"""Key of the checksum in the metadata."""
_DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def dump(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a safetensors file.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Of dtype float16, float32, float64, int32, int64 or uint8.
    metadata : mapping of str to str
        Text stored under ``__metadata__``.

    Returns
    -------
    bytes
        Equal input gives equal bytes.
    """
    header: dict[str, Any] = {"__metadata__": {k: metadata[k] for k in sorted(metadata)}}
    blocks: list[bytes] = []
    start = 0
    # Wide dtypes first, as in the library: every tensor stays aligned without padding.
    for name in sorted(tensors, key=lambda k: (-tensors[k].dtype.itemsize, k)):
        array = np.ascontiguousarray(tensors[name])
        dtype = array.dtype.newbyteorder("<")
        block = array.astype(dtype, copy=False).tobytes()
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [start, start + len(block)],
        }
        blocks.append(block)
        start += len(block)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(blocks)


def checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256, in hexadecimal, of the file without its checksum."""
    return hashlib.sha256(dump(tensors, {k: v for k, v in metadata.items() if k != CHECKSUM})).hexdigest()


def with_checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata with a checksum of everything else in the file."""
    return {**metadata, CHECKSUM: checksum(tensors, metadata)}


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a file atomically.

    Parameters
    ----------
    path : Path
        Name of the file.
    tensors, metadata
        As for `dump`.

    Raises
    ------
    InputError
        The file cannot be written; an existing file is unchanged.
    """
    with replacing(Path(path)) as file:
        file.write(dump(tensors, metadata))


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read and validate a safetensors file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tensors : dict of str to ndarray
        New, writable arrays.
    metadata : dict of str to str
        The text under ``__metadata__``.

    Raises
    ------
    InputError
        The file is missing, truncated, too large or invalid.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE:
                raise InputError(f"{path} is too large for a student ({size:,} bytes; at most {MAX_FILE:,})")
            data = file.read(size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {system_reason(error)}") from None
    return parse(data, str(path))


def parse(data: bytes, where: str = "the file") -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Parse and validate the bytes of a safetensors file.

    Parameters
    ----------
    data : bytes
        A whole file.
    where : str
        Its name in errors.

    Returns
    -------
    tensors, metadata
        As for `read`.

    Raises
    ------
    InputError
        As for `read`.
    """
    from safetensors import SafetensorError, deserialize

    def invalid(reason: str) -> InputError:
        return InputError(f"{where} is not a valid safetensors file: {reason}")

    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER:
        raise invalid(f"its header has {length:,} bytes (at most {MAX_HEADER:,})")
    try:
        entries = deserialize(data)
        header = parse_json(data[8 : 8 + length], _unique_keys)
    except (SafetensorError, ValueError, OverflowError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise invalid(f"{detail:.200}") from None
    tensors: dict[str, np.ndarray] = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            raise invalid(f"the tensor {name!r:.80} has the unsupported dtype {entry['dtype']!r:.40}")
        if len(entry["shape"]) > MAX_AXES:
            raise invalid(f"the tensor {name!r:.80} has {len(entry['shape'])} axes (at most {MAX_AXES})")
        array = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"]).copy()
    return tensors, header.get("__metadata__") or {}


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object; readers would disagree about repeated keys."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result
