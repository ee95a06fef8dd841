"""Classes that speak for a word: the table an encoder's folder may carry beside its text tower.

A convolutional encoder knows its own classes better than any sentence about them.  Where a typed word
names such a
class, or something above some classes ("boat": canoe, gondola, …), the mean direction of those classes is
mixed
into the word's vector.
"""

from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.manifest import Manifest
from inficond.core.strict_json import parse_json


class ClassLookup:
    """Words, the classes below each, and the direction of each class.

    Parameters
    ----------
    words : mapping
        Word in lower case → indices of classes.
    vectors : (n, D) float32
        Unit vectors of the classes.
    weight : float
        How much the classes count against the sentence; both have length 1.
    """

    def __init__(self, words: dict[str, list[int]], vectors: np.ndarray, weight: float) -> None:
        self._words, self._vectors, self._weight = words, vectors, weight

    def classes(self, word: str) -> list[int]:
        """The classes a word covers; plurals are tried in the singular."""
        word = " ".join(word.lower().split())
        for form in (word, *_singulars(word)):
            if form in self._words:
                return self._words[form]
        return []

    def mix(self, word: str, vector: np.ndarray) -> np.ndarray:
        """A word's unit vector (D,) with its classes mixed in; the same where the table does not know it."""
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
    """The table of an encoder's folder, or None where it has none.

    Raises
    ------
    InputError
        The manifest names files that are missing, changed or of another shape.
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
            f"{manifest.folder}: `text.lookup` must name `words` and `vectors`; its `weight` is 0 or more"
        ) from error
    for name in (words_file, vectors_file):
        if Path(name).name != name or name not in manifest.files:
            raise InputError(f"{manifest.folder}: `text.lookup` names {name!r}, which is not among its files")
    vectors = _vectors(manifest.path_of(vectors_file))
    if vectors.ndim != 2 or vectors.shape[1] != manifest.dim or not np.isfinite(vectors).all():
        raise InputError(f"{manifest.folder}: the class vectors do not fit the encoder: export it again")
    return ClassLookup(_words(manifest.path_of(words_file), len(vectors)), vectors, weight)


def _words(path: Path, classes: int) -> dict[str, list[int]]:
    """The words of a table and the rows of the classes below each."""
    try:
        words = parse_json(path.read_bytes())["words"]
        rows = [row for rows in words.values() for row in rows]
        if not all(type(row) is int and 0 <= row < classes for row in rows):
            raise ValueError(f"a class is no whole number below {classes}")
        return {str(word): list(rows) for word, rows in words.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no table of words and classes ({error}): export the encoder again"
        ) from error


def _vectors(path: Path) -> np.ndarray:
    try:
        # Mapped: no size is believed before it is there.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype.kind != "f":
            raise ValueError(f"it holds {array.dtype.name}")
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    except Exception as error:  # a header is Python text to NumPy: damage has many names
        raise InputError(f"{path} holds no vectors ({error}): export the encoder again") from error
