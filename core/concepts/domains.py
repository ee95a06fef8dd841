"""Domains: what a class is a kind of, and the visible words that belong to it.

A domain such as "flower" lists visible parts, properties and typical surroundings. The domain of a class is
that of the noun that names it: the nearest hypernym in WordNet among the roots of the domains. The table of
nouns is built by `python -m inficond.export.embedded.domains` (licence: assets/concepts/LICENSE).
"""

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.class_names import meaningful_part
from inficond.core.concepts.corpus import Concept, Corpus
from inficond.core.concepts.unit_length import unit_length
from inficond.core.models.encoder import Encoder

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "concepts"
FILE, NOUNS = FOLDER / "domains.txt", FOLDER / "domain_nouns.csv.gz"
NEAR = 0.5
"""Cosine, relative to the mean word, from which a word that no domain lists belongs to a class."""


@dataclass(frozen=True)
class Domain:
    """A kind of thing.

    Parameters
    ----------
    name : str
    roots : tuple of str
        WordNet words as ``word@file``, with the lexicographer file of the sense, or nouns by themselves.
    words : tuple of str
        Visible parts, properties and typical surroundings.
    """

    name: str
    roots: tuple[str, ...]
    words: tuple[str, ...]


@cache
def load_domains() -> tuple[Domain, ...]:
    """Return the shipped domains."""
    found: list[Domain] = []
    head = "", ""
    for line in FILE.read_text("utf-8").splitlines():
        match = re.fullmatch(r"\[(.+?)\] (.+)", line)
        if match:
            head = str(match[1]), str(match[2])
        elif line and not line.startswith("#"):
            found.append(Domain(head[0], _parts(head[1]), _parts(line)))
    return tuple(found)


@cache
def _domain_of_noun() -> dict[str, str]:
    """Return the position of the domain of each noun, as a text."""
    cells = gzip.decompress(NOUNS.read_bytes()).decode().replace("\n", ",").split(",")
    return dict(zip(cells[1::2], cells[::2]))


def class_domain(name: str) -> Domain | None:
    """Return the domain of a class name: of the whole name, else of its last noun that has one."""
    words = meaningful_part(name).casefold().split()
    table = _domain_of_noun()
    for part in (" ".join(words), *reversed(words)):
        for form in (part, *_singulars(part)):
            if form in table:
                return load_domains()[int(table[form])]
    return None


@dataclass(frozen=True, eq=False)
class ClassDomains:
    """Domains of the classes of a project.

    Parameters
    ----------
    classes : tuple of C str
    domains : tuple of C Domain or None
    corpus : Corpus
        Words of all domains, with their text vectors (M, D).
    """

    classes: tuple[str, ...]
    domains: tuple[Domain | None, ...]
    corpus: Corpus

    @property
    def complete(self) -> bool:
        """Whether every class has a domain."""
        return all(domain is not None for domain in self.domains)

    def belongs(
        self, words: Sequence[str], vectors: NDArray[np.float32], word_mean: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Return which words belong to which classes, (C, K) bool.

        A word that a domain lists belongs to the classes of the domains that list it. Any other word belongs
        to a class if it is similar to a word of its domain. The name of a class belongs to this class only.
        To a class without a domain, every word belongs.

        Parameters
        ----------
        words : sequence of K str
        vectors : (K, D) float32
            Their text vectors.
        word_mean : (D,) float32
            Mean text vector of the vocabulary.
        """
        names = [_stem(name) for name in self.classes]
        stems = [_stem(word) for word in words]
        row = {concept.name: m for m, concept in enumerate(self.corpus.concepts)}
        likeness = unit_length(vectors - word_mean) @ unit_length(self.corpus.embeddings - word_mean).T
        known = {_stem(name) for name in row}
        out = np.ones((len(names), len(words)), bool)
        for c, domain in enumerate(self.domains):
            if domain is not None:
                listed = {_stem(word) for word in domain.words}
                near = likeness[:, [row[word] for word in domain.words]].max(axis=1) >= NEAR
                out[c] = [
                    stem in listed or (stem not in known and bool(near[k])) for k, stem in enumerate(stems)
                ]
        for c, name in enumerate(names):
            named = np.array([stem == name for stem in stems])
            out[:, named] = False
            out[c, named] = True
        return out

    def seen(self, informative: NDArray[np.bool_]) -> "ClassDomains | None":
        """Return the domains in which some class has an informative name (C,); None if there are none."""
        kept = {
            domain for domain, yes in zip(self.domains, informative.tolist()) if yes and domain is not None
        }
        if not kept:
            return None
        words = {word for domain in kept for word in domain.words}
        rows = [m for m, word in enumerate(self.corpus.names) if word in words]
        corpus = Corpus(tuple(self.corpus.concepts[m] for m in rows), self.corpus.embeddings[rows])
        return ClassDomains(self.classes, tuple(d if d in kept else None for d in self.domains), corpus)

    def listed(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """Return which words a domain lists or name a class, (K,) bool."""
        known = {_stem(word) for word in (*self.corpus.names, *self.classes)}
        return np.array([_stem(word) in known for word in words], bool)


def class_domains(classes: Sequence[str], encoder: Encoder) -> ClassDomains | None:
    """Return the domains of classes; None if no class has one or the encoder has no text tower."""
    domains = tuple(class_domain(name) for name in classes)
    words = list(dict.fromkeys(word for domain in domains if domain is not None for word in domain.words))
    if not words or encoder.manifest.text is None:
        return None
    group = {word: domain.name for domain in domains if domain is not None for word in domain.words}
    concepts = tuple(Concept(word, group[word]) for word in words)
    return ClassDomains(
        tuple(classes), domains, Corpus(concepts, np.asarray(encoder.embed_words(words), np.float32))
    )


def widened(corpus: Corpus, domains: ClassDomains) -> Corpus:
    """Return a corpus with the words of domains that it lacks, at the end."""
    known = {name.casefold() for name in corpus.names}
    rows = [m for m, word in enumerate(domains.corpus.names) if word.casefold() not in known]
    concepts = (*corpus.concepts, *(domains.corpus.concepts[m] for m in rows))
    return Corpus(concepts, np.concatenate([corpus.embeddings, domains.corpus.embeddings[rows]]))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",")))


def _singulars(word: str) -> list[str]:
    endings = (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""))
    return [word[: -len(a)] + b for a, b in endings if word.endswith(a) and len(word) > len(a) + 2]


def _stem(word: str) -> str:
    """Return a word without the ending of its plural, for comparison only."""
    folded = " ".join(re.findall(r"[^\W_]+", word.casefold()))
    return folded[:-1] if folded.endswith("s") and not folded.endswith("ss") and len(folded) > 3 else folded
