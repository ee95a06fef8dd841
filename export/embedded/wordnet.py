"""Nouns of WordNet 3.0, read from its dictionary files: senses, hypernyms, glosses.

ImageNet's classes are WordNet synsets, so WordNet gives the classes that a word covers ("boat": canoe,
gondola, speedboat, …) and the group of a class. Only the build needs WordNet. Source: Miller, *WordNet: a
lexical database for English*, 1995; file format: wndb(5WN).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inficond.core.errors import InputError

DEFAULT_DICT = Path("/usr/share/wordnet")
"""Dictionary folder of Debian's ``wordnet-base``."""


@dataclass(frozen=True)
class Synset:
    """One sense of a noun; ``offset`` is WordNet's id without its leading ``n``."""

    offset: str
    lexname: int
    lemmas: tuple[str, ...]
    hypernyms: tuple[str, ...]
    gloss: str

    @property
    def definition(self) -> str:
        """The gloss without its quoted examples."""
        return self.gloss.split('; "')[0].strip()


class WordNet:
    """The noun part of a WordNet 3.0 dictionary folder (``data.noun``, ``index.noun``, ``noun.exc``).

    Parameters
    ----------
    folder : Path
        The folder that holds the files.

    Raises
    ------
    InputError
        A file is missing.
    """

    def __init__(self, folder: Path = DEFAULT_DICT) -> None:
        for name in ("data.noun", "index.noun"):
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder} has no {name}: install WordNet 3.0 (Debian package wordnet-base) and give its "
                    "dictionary folder with --wordnet"
                )
        self.folder = folder
        self.synsets = {s.offset: s for s in map(_parse, _lines(folder / "data.noun"))}
        self.senses: dict[str, tuple[str, ...]] = {}
        for line in _lines(folder / "index.noun"):
            fields = line.split()
            count = int(fields[2])
            self.senses[fields[0].replace("_", " ").lower()] = tuple(fields[-count:])

    def ancestors(self, offset: str) -> set[str]:
        """Return the offsets of a synset and of all its hypernyms."""
        seen: set[str] = set()
        todo = [offset]
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                todo.extend(self.synsets[current].hypernyms)
        return seen

    def find(self, word: str) -> tuple[str, ...]:
        """Return the offsets of the senses of a word or its singular, most frequent first."""
        word = word.lower().strip().replace("_", " ")
        for form in (word, *_singulars(word)):
            if form in self.senses:
                return self.senses[form]
            if form.replace(" ", "-") in self.senses:
                return self.senses[form.replace(" ", "-")]
        return ()


def _singulars(word: str) -> list[str]:
    forms = []
    for ending, instead in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            forms.append(word[: -len(ending)] + instead)
    return forms


def _lines(path: Path) -> list[str]:
    # The licence at the head of each file is indented by two spaces.
    return [x for x in path.read_text(encoding="latin-1").splitlines() if x and not x.startswith("  ")]


def _parse(line: str) -> Synset:
    head, _, gloss = line.partition(" | ")
    fields = head.split()
    n_lemmas = int(fields[3], 16)
    lemmas = tuple(fields[4 + 2 * i].replace("_", " ") for i in range(n_lemmas))
    rest = fields[4 + 2 * n_lemmas :]
    pointers = [rest[1 + 4 * i : 5 + 4 * i] for i in range(int(rest[0]))]
    hypernyms = tuple(p[1] for p in pointers if p[0] in ("@", "@i") and p[2] == "n")
    return Synset(fields[0], int(fields[1]), lemmas, hypernyms, gloss.strip())
