"""Reads and writes the safetensors layout with NumPy alone: same input, same bytes, and nothing is executed.

The layout (https://github.com/huggingface/safetensors, "Format"): eight bytes little-endian length of the
header, the header as a JSON object ``{name: {dtype, shape, data_offsets}, "__metadata__": {str: str}}``, then
the tensors' bytes without holes. The library writes metadata in an arbitrary order, so two saves of one
student differ; here the order is fixed, and a file's hash is a student's identity.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.atomic_io import temporary_name
from inficond.core.errors import InputError
from inficond.core.strict_json import parse_json

MAX_HEADER = 32 * 2**20
"""Bytes of header that are read at most: ten thousand concept names take under one of these megabytes."""
MAX_FILE = 2**31
"""Bytes of file that are read at most."""
_DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
}
CHECKSUM = "checksum"
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def dump(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Arrays of a dtype that the layout knows (float16/32/64, int32/64, uint8).
    metadata : mapping of str to str
        Free text under ``__metadata__``.

    Returns
    -------
    bytes
        The file; equal input gives equal bytes.
    """
    header: dict[str, Any] = {"__metadata__": {k: metadata[k] for k in sorted(metadata)}}
    blocks: list[bytes] = []
    start = 0
    # Wide dtypes first, as the library does: every tensor stays aligned without padding between them.
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


def content_sum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, of the file without the checksum that `sealed` puts into it."""
    return hashlib.sha256(dump(tensors, {k: v for k, v in metadata.items() if k != CHECKSUM})).hexdigest()


def sealed(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata with a checksum over everything else in the file."""
    return {**metadata, CHECKSUM: content_sum(tensors, metadata)}


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a file whole or not at all: a kill half way leaves what was there before.

    Parameters
    ----------
    path : Path
        Where the file goes; its folder exists.
    tensors, metadata
        As for `dump`.

    Raises
    ------
    InputError
        The file cannot be written there.
    """
    path = Path(path)
    partial = temporary_name(path, "partial")
    try:
        with open(partial, "wb") as file:
            file.write(dump(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that can be written"
        ) from None


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file, believing nothing that its header says before it is checked.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tensors : dict of str to ndarray
        Fresh, writable arrays.
    metadata : dict of str to str
        What stands under ``__metadata__``.

    Raises
    ------
    InputError
        The file is missing, cut short, too large, or its header lies.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE:
                raise InputError(f"{path} is too large for a student ({size:,} bytes; at most {MAX_FILE:,})")
            data = file.read(size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return parse(data, str(path))


def parse(data: bytes, where: str = "the file") -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `read`, from bytes.

    Parameters
    ----------
    data : bytes
        A whole file.
    where : str
        What errors call it.

    Returns
    -------
    tensors, metadata
        As for `read`.

    Raises
    ------
    InputError
        As for `read`.
    """

    def bad(why: str) -> InputError:
        return InputError(f"{where} is not a safetensors file that can be trusted: {why}")

    if len(data) < 8:
        raise bad("it is shorter than its header's length field")
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER:
        raise bad(f"its header claims {length:,} bytes")
    if length > len(data) - 8:
        raise bad("it ends inside its header")
    if data[8:9] != b"{":
        raise bad("its header is no object")
    try:
        header = parse_json(data[8 : 8 + length], _unique)
    except ValueError as error:
        raise bad(f"its header cannot be read ({type(error).__name__})") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise bad("its metadata is not text")
    body = memoryview(data)[8 + length :]
    spans: list[tuple[int, int]] = []
    tensors: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if not isinstance(entry, dict):
            raise bad(f"the entry {name!r:.80} is no object")
        dtype: Any = entry.get("dtype")
        shape: Any = entry.get("shape")
        span: Any = entry.get("data_offsets")
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise bad(f"the tensor {name!r:.80} has the unknown type {dtype!r:.40}")
        if not _counts(shape) or len(shape) > 8:
            raise bad(f"the tensor {name!r:.80} has no proper shape")
        if not _counts(span) or len(span) != 2 or not 0 <= span[0] <= span[1] <= len(body):
            raise bad(f"the tensor {name!r:.80} lies outside the file")
        wanted = _DTYPES[dtype].itemsize
        for n in shape:  # Python's integers do not overflow
            wanted *= n
        if wanted != span[1] - span[0] or max(shape, default=0) > MAX_FILE:
            raise bad(f"the tensor {name!r:.80} has a shape that does not fit its bytes")
        spans.append((span[0], span[1]))
        tensors[name] = np.frombuffer(body[span[0] : span[1]], _DTYPES[dtype]).reshape(shape).copy()
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise bad("its tensors overlap or leave holes")
        end = last
    if end != len(body):
        raise bad("it has bytes that belong to no tensor")
    return tensors, metadata


def _counts(value: Any) -> bool:
    """Whether this is a list of non-negative integers (a Boolean is none)."""
    return isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refused where a name stands twice (readers would differ in which one counts)."""
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name stands twice")
    return out
