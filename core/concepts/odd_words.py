"""Words of the built-in list that are not offered."""

from functools import cache

import numpy as np

from inficond.core.concepts.corpus import ASSETS, Corpus

FILE = ASSETS / "odd_words.txt"


@cache
def odd_words() -> frozenset[str]:
    """Return the words of the built-in list that are too technical or odd to explain a photograph.

    They were chosen by reading the list beside a survey of photographs with captions, which names words
    that the embedded encoder often finds where no caption mentions them.

    Examples
    --------
    >>> from inficond.core.concepts.odd_words import odd_words
    >>> "crab stick" in odd_words(), "crab" in odd_words()
    (True, False)
    """
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def without_odd_words(corpus: Corpus) -> Corpus:
    """Return a corpus without `odd_words`, in the same order."""
    kept = [k for k, name in enumerate(corpus.names) if name not in odd_words()]
    return Corpus(tuple(corpus.concepts[k] for k in kept), corpus.embeddings[np.array(kept, int)])
