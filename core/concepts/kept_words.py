"""Text vectors of words, kept in the user's cache by encoder."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inficond.core.atomic_io import replacing
from inficond.core.concepts.corpus import Concept, compute_vectors
from inficond.core.errors import InputError
from inficond.core.models.cache_directory import cache_folder

if TYPE_CHECKING:
    from inficond.core.models.encoder import Encoder


def kept_texts(
    concepts: Sequence[Concept], digest: str, encoder: "Callable[[], Encoder]"
) -> NDArray[np.float32]:
    """Return the text vectors of concepts, (K, D) float32, from the cache or from the encoder.

    Vectors that the encoder computes are written to the cache. The list is found again as a whole only,
    because the last digits of a vector depend on the words that are embedded with it.

    Parameters
    ----------
    concepts : sequence of K Concept
    digest : str
        Checksum of the encoder; without one, nothing is kept.
    encoder : callable
        Returns the encoder; called only if the cache does not have the vectors.

    Raises
    ------
    InputError
        The encoder cannot be loaded or has no text tower.

    Examples
    --------
    >>> from inficond.core.concepts import Concept
    >>> from inficond.core.concepts.kept_words import kept_texts
    >>> from inficond.core.models import load_encoder
    >>> encoder = load_encoder("embedded", provider="cpu")
    >>> kept_texts([Concept("sea"), Concept("mast")], encoder.manifest.digest, lambda: encoder).shape
    (2, 192)
    """
    file = words_file(digest, concepts)
    kept = {} if file is None else read_words(file)
    if concepts and list(kept) == [concept.name for concept in concepts]:
        return np.stack(list(kept.values()))
    vectors = compute_vectors(concepts, encoder())
    if file is not None:
        write_words(file, {concept.name: vector for concept, vector in zip(concepts, vectors)})
    return vectors


def words_file(digest: str, concepts: Sequence[Concept] = ()) -> Path | None:
    """Return the file of the vectors of concepts, or of single words; None if `digest` is not a checksum."""
    if not digest.isalnum():
        return None
    given = json.dumps([(concept.name, concept.prompts) for concept in concepts])
    key = f"-{hashlib.sha256(given.encode()).hexdigest()[:32]}" if concepts else ""
    return cache_folder("words", f"{digest[:32]}{key}.npz")


def read_words(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the words written by `write_words`; empty if the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names, vectors = file["names"], file["vectors"].astype(np.float32)
    except Exception:  # zipfile and NumPy raise many types for damaged files; the cache is then rebuilt
        return {}
    if vectors.ndim != 2 or len(names) != len(vectors) or not np.isfinite(vectors).all():
        return {}
    return dict(zip(names.tolist(), vectors))


def write_words(path: Path, words: Mapping[str, NDArray[np.float32]]) -> None:
    """Write words and embeddings to the cache; a cache that cannot be written is ignored."""
    try:
        with replacing(path) as file:
            np.savez(file, names=np.array(list(words)), vectors=np.stack(list(words.values())))
    except (InputError, OSError):
        return
