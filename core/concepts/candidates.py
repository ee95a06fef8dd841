"""Candidates for the words of a project: the built-in corpus and words that it lacks."""

from functools import cache
from pathlib import Path

import numpy as np

from inficond.core.concepts.corpus import Concept, Corpus
from inficond.core.models.encoder import Encoder


@cache
def missing_words() -> tuple[str, ...]:
    """Return words that corpora of objects often lack: materials, weather, light, colours, places, parts.

    Examples
    --------
    >>> from inficond.core.concepts.candidates import missing_words
    >>> len(missing_words()) > 100
    True
    """
    text = Path(__file__).with_name("missing_words.txt").read_text(encoding="utf-8")
    words = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(word for word in words if word and not word.startswith("#")))


def candidate_words(corpus: Corpus, encoder: Encoder) -> Corpus:
    """Return the built-in corpus with the words that it lacks.

    A further word joins the group of the most similar word of the corpus.
    """
    known = {name.casefold() for name in corpus.names}
    further = [word for word in missing_words() if word.casefold() not in known]
    vectors = np.asarray(encoder.embed_words(further), np.float32)
    nearest = (vectors @ corpus.embeddings.T).argmax(axis=1)
    groups = corpus.groups
    concepts = [Concept(word, groups[k]) for word, k in zip(further, nearest.tolist())]
    return Corpus((*corpus.concepts, *concepts), np.concatenate([corpus.embeddings, vectors]))
