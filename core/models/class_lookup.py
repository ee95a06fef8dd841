"""Class vectors that refine the embeddings of words.

A convolutional encoder represents its own classes better than a text tower describes them. If a word names
such a class, or a category of several ("boat": canoe, gondola, …), the mean vector of these classes is mixed
into the word's embedding. The table is an optional part of an encoder's folder.
"""

from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.manifest import Manifest
from inficond.core.strict_json import parse_json


class ClassLookup:
    """Table of words, the classes that each covers, and class vectors.

    Parameters
    ----------
    words : mapping
        Word in lower case → indices of classes.
    vectors : (n, D) float32
        Unit vectors of the classes.
    weight : float
        Weight of the mean class vector relative to the text embedding; both have unit length.
    """

    def __init__(self, words: dict[str, list[int]], vectors: np.ndarray, weight: float) -> None:
        self._words, self._vectors, self._weight = words, vectors, weight

    def classes(self, word: str) -> list[int]:
        """Return the classes that a word covers; a plural is looked up as singular too."""
        word = " ".join(word.lower().split())
        for form in (word, *_singulars(word)):
            if form in self._words:
                return self._words[form]
        return []

    def mix(self, word: str, vector: np.ndarray) -> np.ndarray:
        """Mix the classes of a word into its embedding (D,); unchanged if the table lacks the word."""
        rows = self.classes(word)
        if not rows:
            return vector
        mean = self._vectors[rows].mean(axis=0)
        mixed = vector + self._weight * mean / max(float(np.linalg.norm(mean)), 1e-12)
        return (mixed / max(float(np.linalg.norm(mixed)), 1e-12)).astype(np.float32)


def _singulars(word: str) -> list[str]:
    forms = []
    for ending, instead in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            forms.append(word[: -len(ending)] + instead)
    return forms


def read_lookup(manifest: Manifest) -> ClassLookup | None:
    """Read the table of an encoder's folder; None if it has none.

    Raises
    ------
    InputError
        A file of the table is missing, changed or invalid.
    """
    said: Any = (manifest.text.extra.get("lookup") if manifest.text else None) or {}
    if not said:
        return None
    try:
        words_file, vectors_file = str(said["words"]), str(said["vectors"])
        weight = float(said.get("weight", 1.0))
        if not 0 <= weight <= 1e6:  # false for NaN
            raise ValueError
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InputError(
            f"{manifest.folder}: `text.lookup` must name `words` and `vectors`, with a `weight` of 0 or more"
        ) from error
    for name in (words_file, vectors_file):
        if Path(name).name != name or name not in manifest.files:
            raise InputError(f"{manifest.folder}: `text.lookup` names {name!r}, which is not among its files")
    vectors = _vectors(manifest.path_of(vectors_file))
    if vectors.ndim != 2 or vectors.shape[1] != manifest.dim or not np.isfinite(vectors).all():
        raise InputError(
            f"{manifest.folder}: the class vectors have the wrong shape or NaN: export the encoder again"
        )
    return ClassLookup(_words(manifest.path_of(words_file), len(vectors)), vectors, weight)


def _words(path: Path, classes: int) -> dict[str, list[int]]:
    """Read the words of a table and the rows of their classes."""
    try:
        words = parse_json(path.read_bytes())["words"]
        rows = [row for rows in words.values() for row in rows]
        if not all(type(row) is int and 0 <= row < classes for row in rows):
            raise ValueError(f"a class is not an integer below {classes}")
        return {str(word): list(rows) for word, rows in words.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a table of words and classes ({error}): export the encoder again"
        ) from error


def _vectors(path: Path) -> np.ndarray:
    try:
        # Mapped, so that a wrong size in the header allocates nothing.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype.kind != "f":
            raise ValueError(f"its type is {array.dtype.name}")
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    except Exception as error:  # NumPy parses the header as Python, so damage raises many types
        raise InputError(f"{path} is not an array of vectors ({error}): export the encoder again") from error
