"""Words that mean the same."""

import numpy as np

from inficond.core.concepts.corpus import Concept, Corpus
from inficond.core.concepts.duplicates import merge_duplicates, same_word
from inficond.core.models import load_encoder


def corpus(words: list[str]) -> Corpus:
    return Corpus(tuple(Concept(w) for w in words), load_encoder("embedded").embed_words(words))


def test_a_synonym_and_a_plural_are_merged_with_the_earlier_word() -> None:
    merged, notes = merge_duplicates(corpus(["car", "tree", "automobile", "trees", "truck"]))
    assert merged.names == ["car", "tree", "truck"]
    assert np.array_equal(merged.embeddings, corpus(["car", "tree", "truck"]).embeddings)
    assert notes == [
        "'automobile' means nearly the same as 'car' to this encoder: merged with it",
        "'trees' means nearly the same as 'tree' to this encoder: merged with it",
    ]


def test_words_that_differ_are_kept() -> None:
    words = ["white petals", "yellow petals", "glass", "gas", "sunrise", "sunset"]
    assert merge_duplicates(corpus(words))[0].names == words


def test_the_same_word_is_found_among_others() -> None:
    given = corpus(["car", "tree"])
    vectors = corpus(["automobile", "cars", "boat"]).embeddings
    found = [
        same_word(w, v, given.names, given.embeddings)
        for w, v in zip(["automobile", "cars", "boat"], vectors)
    ]
    assert found == ["car", "car", ""]
    assert same_word("boat", vectors[2], [], given.embeddings[:0]) == ""
