"""The shipped vocabulary, and validity with a limited number of rivals."""

import numpy as np

from inficond.core.concepts.validity import word_validity
from inficond.core.concepts.vocabulary import load_vocabulary, pack_vectors, shipped_vectors, unpack_vectors
from inficond.core.models import load_encoder


def test_the_vocabulary_has_20_000_distinct_printable_words() -> None:
    vocabulary = load_vocabulary()
    assert len(vocabulary.words) >= 20_000
    assert len({word.casefold() for word in vocabulary.words}) == len(vocabulary.words)
    assert all(word.isprintable() and word == " ".join(word.split()) for word in vocabulary.words)
    assert (np.diff(vocabulary.familiarity) <= 0).all()
    assert {"mountain", "snowy mountain", "wheel"} <= set(vocabulary.familiar)


def test_the_shipped_vectors_are_those_of_the_embedded_encoder() -> None:
    encoder, words = load_encoder("embedded"), load_vocabulary().words
    vectors = shipped_vectors(encoder.manifest.digest)
    assert vectors is not None
    some = [0, 500, 4000, 15_000, len(words) - 1]
    cosines = (vectors[some] * encoder.embed_words([words[i] for i in some])).sum(axis=1)
    assert cosines.min() > 0.999
    assert shipped_vectors("another encoder") is None


def test_packed_vectors_are_unit_vectors_near_the_original() -> None:
    x = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    back = unpack_vectors(*pack_vectors(x))
    assert np.allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)
    assert (back * x).sum(axis=1).min() > 0.999


def test_further_words_compete_with_the_first_words_only() -> None:
    rng = np.random.default_rng(1)

    def unit(x: np.ndarray) -> np.ndarray:
        return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)

    words = unit(rng.normal(size=(20, 16)))
    regions = unit(words[rng.integers(20, size=(60, 3))] + 0.3 * rng.normal(size=(60, 3, 16)))
    alike = unit(words[[0, 0, 0, 0]] + 0.01 * rng.normal(size=(4, 16)))
    hubness = np.zeros(24, np.float32)
    alone = word_validity(regions, words, hubness[:20], rank=1).found
    together = word_validity(regions, np.vstack([words, alike]), hubness, rank=1, rivals=20).found
    assert np.array_equal(together[:20], alone)
    assert together[20:].min() > 0, "near-synonyms do not push each other out"
