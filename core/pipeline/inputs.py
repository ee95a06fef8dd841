"""Inputs of a build except images and teacher.

This module does not import the solver: a command opens the inputs while Numba is being loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inficond.core.concepts.candidates import candidate_words
from inficond.core.concepts.corpus import Corpus, corpus_of, load_corpus
from inficond.core.concepts.odd_words import without_odd_words
from inficond.core.models.class_sets import read_classes
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.core.models.tables import Table, read_labels
from inficond.core.pipeline.cached_words import CachedWords
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.pipeline.options import BuildOptions


@dataclass(frozen=True, eq=False)
class Inputs:
    """Opened inputs.

    Parameters
    ----------
    encoder : Encoder
    corpus : Corpus
        The person's own words, or the built-in candidates.
    classes : mapping from class to list of str, str or None
        See `BuildOptions`.
    labels : Table or None
    cache : EncodingCache or None
    """

    encoder: Encoder
    corpus: Corpus
    classes: Mapping[str, list[str]] | str | None
    labels: Table | None
    cache: EncodingCache | None


def open_inputs(options: BuildOptions) -> Inputs:
    """Open the inputs of a build, without writing to the project.

    Raises
    ------
    InputError
        Bad input, as for `inficond.core.pipeline.build.build`.
    """
    classes = read_classes(options.classes)
    labels = options.labels
    if isinstance(labels, str | Path):
        labels = read_labels(Path(labels), options.tables)
    encoder = load_encoder(options.encoder, options.provider, threads=1)
    cache = EncodingCache() if options.cache else None
    if cache is not None:
        encoder.word_cache = CachedWords(cache)
    return Inputs(encoder, _corpus(options, encoder), classes, labels, cache)


def _corpus(options: BuildOptions, encoder: Encoder) -> Corpus:
    """Return the person's own words, or the built-in candidates."""
    words = options.concepts
    if words is not None and not isinstance(words, str | Path):
        return corpus_of(words, encoder)
    corpus = load_corpus(words, encoder)
    if words is None and options.validity:
        return without_odd_words(candidate_words(corpus, encoder))
    return corpus
