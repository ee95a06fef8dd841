"""Conversion between NumPy or lists and Arrow without Pandas.

Arrow imports Pandas, where it is installed, to convert a list or an array. The import takes longer than all
other work on the table of a project.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def number_array(values: NDArray[Any]) -> Any:
    """Return numbers (n,), a contiguous array of a fixed-width type, as an Arrow array."""
    import pyarrow as pa

    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def optional_array(values: Sequence[int | None]) -> Any:
    """Return whole numbers, None where unknown, as an Arrow array of int32."""
    import pyarrow as pa

    numbers = pa.py_buffer(np.array([0 if v is None else v for v in values], np.int32))
    return pa.Array.from_buffers(pa.int32(), len(values), [_validity(values), numbers])


def boolean_array(values: NDArray[np.bool_]) -> Any:
    """Return booleans (n,) as an Arrow array."""
    import pyarrow as pa

    bits = np.packbits(np.asarray(values, bool), bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])


def text_array(values: Sequence[str | None]) -> Any:
    """Return texts, None where unknown, as an Arrow array."""
    import pyarrow as pa

    encoded = [b"" if v is None else v.encode() for v in values]
    ends = np.cumsum([0, *map(len, encoded)])
    kind, offsets = (pa.string(), ends.astype(np.int32)) if ends[-1] < 2**31 else (pa.large_string(), ends)
    buffers = [_validity(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def numbers_of(column: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """Return an Arrow column without missing values as a NumPy array (n,) of its own type `dtype`."""
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype, len(chunk), chunk.offset * np.dtype(dtype).itemsize)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def optional_numbers_of(column: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """Return an Arrow column as a NumPy array (n,) of its own type `dtype`, 0 where a value is missing."""
    numbers = numbers_of(column, dtype)
    if not column.null_count:
        return numbers
    known = [_known(chunk) for chunk in column.chunks if len(chunk)]
    return np.where(np.concatenate(known), numbers, dtype(0))  # type: ignore[call-arg]


def booleans_of(column: Any) -> NDArray[np.bool_]:
    """Return an Arrow column of booleans without missing values as a NumPy array (n,)."""
    parts = [_bits(chunk, 1) for chunk in column.chunks if len(chunk)]
    return np.concatenate(parts) if parts else np.zeros(0, bool)


def holds_texts(array: Any) -> bool:
    """Whether an Arrow array holds texts or bytes."""
    return array.type in _offset_types()


def text_ends(array: Any) -> NDArray[Any]:
    """Return where the texts of an Arrow array, which is not empty, begin and end in its data, (n + 1,)."""
    ends = np.frombuffer(array.buffers()[1], _offset_types()[array.type])
    return ends[array.offset : array.offset + len(array) + 1]


def _offset_types() -> dict[Any, type[np.signedinteger[Any]]]:
    import pyarrow as pa

    return {pa.string(): np.int32, pa.binary(): np.int32, pa.large_string(): np.int64}


def texts_of(column: Any) -> list[str | None]:
    """Return an Arrow column of dictionaries of texts as texts, None where they are missing (n,).

    Raises
    ------
    ValueError
        A text is not UTF-8, or not in the dictionary.
    """
    texts: list[str | None] = []
    for chunk in column.chunks:
        if chunk.null_count == len(chunk):
            texts += [None] * len(chunk)
            continue
        values: list[str | None] = [*_dictionary_texts(chunk.dictionary)]
        places = chunk.indices
        width = places.type.bit_width // 8
        at = np.frombuffer(places.buffers()[1], f"i{width}", len(places), places.offset * width)
        known = _known(places)
        if at[known].min() < 0 or at[known].max() >= len(values):
            raise ValueError("a text is not in its dictionary")
        values.append(None)
        texts += [values[i] for i in np.where(known, at, -1).tolist()]
    return texts


def _dictionary_texts(array: Any) -> list[str]:
    """Return an Arrow array of texts without missing values."""
    if not len(array):
        return []
    if array.null_count:
        raise ValueError("a text of a dictionary is missing")
    ends, data = text_ends(array), array.buffers()[2]
    content = b"" if data is None else bytes(memoryview(data)[int(ends[0]) : int(ends[-1])])
    edges = (ends - ends[0]).tolist()
    if content.isascii():  # one text is then cut at the offsets of the bytes
        whole = content.decode("ascii")
        return [whole[a:b] for a, b in pairwise(edges)]
    return [content[a:b].decode() for a, b in pairwise(edges)]


def _known(array: Any) -> NDArray[np.bool_]:
    """Return which values of an Arrow array are present, (n,)."""
    return np.ones(len(array), bool) if array.buffers()[0] is None else _bits(array, 0)


def _bits(array: Any, buffer: int) -> NDArray[np.bool_]:
    """Return the bits of one of the buffers of an Arrow array, (n,)."""
    bits = np.unpackbits(np.frombuffer(array.buffers()[buffer], np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(bool)


def _validity(values: Sequence[object]) -> Any:
    import pyarrow as pa

    known = np.array([v is not None for v in values], bool)
    return None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
