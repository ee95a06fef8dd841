"""Vectors of words kept in the cache of encodings, by encoder and list of words."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from inficond.core.pipeline.encoding_cache import EncodingCache

VERSION = "words 1"
"""Part of every key; increased when the same encoder would give the same words other vectors."""
LEAST_WORDS = 4
"""Shorter lists are not kept: embedding them costs as little as the look-up."""


class CachedWords:
    """Vectors of lists of words.

    A list is found again as a whole only: runtimes choose other kernels for batches of another size, so the
    last digits of a vector depend on its neighbours.

    Parameters
    ----------
    cache : EncodingCache
    """

    def __init__(self, cache: EncodingCache) -> None:
        self._cache = cache

    def get(self, encoder: str, words: Sequence[str], templates: Sequence[str] | None) -> np.ndarray | None:
        """Return the vectors (n, D) of exactly these words in this order, or None."""
        if len(words) < LEAST_WORDS:
            return None
        value = self._cache.get(_basis(encoder), _key(words, templates))
        if value is None or len(value) % (4 * len(words)):
            return None
        return np.frombuffer(value, np.float32).reshape(len(words), -1).copy()

    def put(
        self, encoder: str, words: Sequence[str], templates: Sequence[str] | None, vectors: np.ndarray
    ) -> None:
        """Keep the vectors (n, D) of words."""
        if len(words) >= LEAST_WORDS:
            value = np.ascontiguousarray(vectors, np.float32).tobytes()
            self._cache.put("words", "words", _basis(encoder), {_key(words, templates): value})


def _basis(encoder: str) -> str:
    return f"{VERSION} {encoder}"


def _key(words: Sequence[str], templates: Sequence[str] | None) -> bytes:
    given = [list(words), None if templates is None else list(templates)]
    return hashlib.sha256(json.dumps(given).encode()).digest()
