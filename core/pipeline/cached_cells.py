"""Cells of pictures kept in the cache of encodings, by the bytes of the thumbnail."""

import hashlib
from collections.abc import Sequence

import numpy as np

from inficond.core.concepts.cells import Cells
from inficond.core.concepts.colours import COLOURS
from inficond.core.models.encoder import Encoder
from inficond.core.pipeline.cached_rows import decoder_version, runtime_version
from inficond.core.pipeline.encoding_cache import EncodingCache

VERSION = "cells 1"
"""Part of every key; increased when the same thumbnail would give other cells."""


class CachedCells:
    """Cells of pictures by thumbnail, part of the picture, encoder and versions of the libraries.

    Parameters
    ----------
    cache : EncodingCache or None
        None: nothing is found or kept.
    encoder : Encoder
        As `load_cell_encoder` opens.
    """

    def __init__(self, cache: EncodingCache | None, encoder: Encoder) -> None:
        self._cache, self._name = cache, encoder.name
        self._shape = (*encoder.grid, encoder.dim + len(COLOURS))
        run = f"{encoder.manifest.digest} {encoder.provider} {runtime_version()} {decoder_version()}"
        self._basis = f"{VERSION} {run}"

    def get(self, thumbnail: bytes, part: tuple[float, ...]) -> Cells | None:
        """Return the cells of a part of a thumbnail, or None."""
        return self.get_all([(thumbnail, part)])[0]

    def get_all(self, parts: Sequence[tuple[bytes, tuple[float, ...]]]) -> list[Cells | None]:
        """Return the cells of each part of a thumbnail, or None."""
        keys = [_key(thumbnail, part) for thumbnail, part in parts]
        found = {} if self._cache is None else self._cache.get_all(self._basis, keys)
        return [self._unpacked(found.get(key)) for key in keys]

    def _unpacked(self, value: bytes | None) -> Cells | None:
        if value is None or len(value) != 2 * int(np.prod(self._shape)):
            return None
        both = np.frombuffer(value, np.float16).reshape(self._shape)
        return Cells(both[..., : -len(COLOURS)], both[..., -len(COLOURS) :])

    def put(self, thumbnail: bytes, part: tuple[float, ...], cells: Cells) -> None:
        """Keep the cells of a part of a thumbnail."""
        if self._cache is None or cells.colours is None:
            return
        both = np.concatenate([cells.vectors, cells.colours], axis=-1)
        if both.shape == self._shape and both.dtype == np.float16:
            self._cache.put("cells", self._name, self._basis, {_key(thumbnail, part): both.tobytes()})


def open_cell_store(encoder: Encoder) -> CachedCells:
    """Return the cells in the user's cache of encodings."""
    return CachedCells(EncodingCache(), encoder)


def _key(thumbnail: bytes, part: tuple[float, ...]) -> bytes:
    return hashlib.sha256(repr(part).encode() + b"\0" + thumbnail).digest()
