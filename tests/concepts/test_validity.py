"""Validity of words, grounding of their vectors, and the name prior."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.concepts.grounding import LEAST_REGIONS, ground_words
from inficond.core.concepts.name_prior import LEAST, MOST, name_penalties
from inficond.core.concepts.neutral import NeutralRegions, built_in_regions, sample_regions
from inficond.core.concepts.validity import unseen_words, word_validity


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def scattered(rng: np.random.Generator, topics: np.ndarray, n: int, spread: float = 0.3) -> np.ndarray:
    """Regions (n, 4, D) near topics."""
    chosen = topics[rng.integers(len(topics), size=(n, 4))]
    return unit(chosen + spread * rng.normal(size=chosen.shape))


def test_a_word_of_the_images_is_valid_and_an_unrelated_word_is_not() -> None:
    rng = np.random.default_rng(0)
    words = unit(rng.normal(size=(200, 64)))
    regions = scattered(rng, words[:5], 100, spread=0.05)
    validity = word_validity(regions, words, np.zeros(200, np.float32), rank=1)
    assert validity.valid.tolist() == [True] * 5 + [False] * 195


def test_the_correction_removes_a_hub_that_is_closest_to_every_region() -> None:
    """Each region shares more with the hub than with its topic; so does each neutral region."""
    rng = np.random.default_rng(1)
    hub, topics = np.eye(40)[:1], np.eye(40)[1:9]
    noise = 0.01 * rng.normal(size=(200, 4, 40))
    regions = unit(0.6 * hub + 0.5 * topics[rng.integers(8, size=(200, 4))] + noise)
    neutral = unit(0.6 * hub + 0.5 * np.eye(40)[rng.integers(9, 40, size=400)])
    words = np.vstack([topics, hub]).astype(np.float32)
    plain = word_validity(regions, words, np.zeros(9, np.float32), rank=1)
    assert plain.valid.tolist() == [False] * 8 + [True]
    corrected = word_validity(regions, words, NeutralRegions(neutral).hubness(words), rank=1)
    assert corrected.valid.tolist() == [True] * 8 + [False]


def test_a_word_is_unseen_in_a_class_whose_images_do_not_show_it() -> None:
    rng = np.random.default_rng(2)
    words = np.eye(40, dtype=np.float32)
    first, second = words[:5].sum(axis=0), words[5:10].sum(axis=0)
    chosen = rng.integers(5, size=(60, 4))
    regions = unit(np.concatenate([words[chosen] + first - second, words[5 + chosen] + second - first]))
    yes = np.repeat(np.eye(3, dtype=bool), [60, 58, 2], axis=0)  # too few images of the third class
    unseen = unseen_words(regions, yes, words, np.zeros(40, np.float32))
    expected = np.repeat([[False, True], [True, False], [False, False]], 5, axis=1)
    assert np.array_equal(unseen[:, :10], expected)
    assert not unseen_words(regions, yes, words[:12], np.zeros(12, np.float32)).any(), "too few words"


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_validity_equals_a_count_by_sorting(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    regions, words = unit(rng.normal(size=(n, 3, 8))), unit(rng.normal(size=(k, 8)))
    hubness = rng.normal(size=k).astype(np.float32)
    found = word_validity(regions, words, hubness, rank=4).found
    expected = np.zeros(k, int)
    for image in regions:
        cosines = image @ words.T
        for word in range(k):
            scores = 2 * cosines[cosines[:, word].argmax()] - hubness
            expected[word] += (scores > scores[word]).sum() < 4
    assert np.array_equal(found, expected)


def test_hubness_is_the_mean_of_the_ten_largest_cosines() -> None:
    rng = np.random.default_rng(2)
    regions, words = unit(rng.normal(size=(500, 16))), unit(rng.normal(size=(7, 16)))
    expected = np.sort(regions @ words.T, axis=0)[-10:].mean(axis=0)
    assert np.allclose(NeutralRegions(regions).hubness(words), expected, atol=1e-6)


def test_a_grounded_word_moves_towards_its_regions_and_stays_near_its_meaning() -> None:
    rng = np.random.default_rng(3)
    words = unit(rng.normal(size=(6, 64)))
    seen = unit(words + 0.8 * unit(rng.normal(size=(6, 64))))
    regions = scattered(rng, seen, 300, spread=0.02)
    zero = np.zeros(64, np.float32)
    vectors, counts = ground_words(regions, words, np.zeros(6, np.float32), zero, zero)
    assert counts.min() >= LEAST_REGIONS
    assert ((vectors * seen).sum(axis=1) > (words * seen).sum(axis=1)).all()
    assert ((vectors * words).sum(axis=1) > 0.85).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_word_with_few_regions_keeps_its_text_vector() -> None:
    rng = np.random.default_rng(4)
    words = unit(rng.normal(size=(3, 32)))
    regions = scattered(rng, words[:1], 20, spread=0.01)
    zero = np.zeros(32, np.float32)
    vectors, counts = ground_words(regions, words, np.zeros(3, np.float32), zero, zero)
    assert counts.tolist() == [80, 0, 0]
    assert np.array_equal(vectors[1:], words[1:])
    assert not np.array_equal(vectors[0], words[0])


def test_grounding_does_not_depend_on_the_block_of_an_image() -> None:
    rng = np.random.default_rng(5)
    words = unit(rng.normal(size=(9, 24)))
    regions = scattered(rng, words, 600)
    zero = np.zeros(24, np.float32)
    order = rng.permutation(600)
    a, _ = ground_words(regions, words, np.zeros(9, np.float32), zero, zero)
    b, _ = ground_words(regions[order], words, np.zeros(9, np.float32), zero, zero)
    assert np.allclose(a, b, atol=1e-6)


def test_the_word_nearest_to_a_class_name_is_penalised_least() -> None:
    rng = np.random.default_rng(6)
    words = unit(rng.normal(size=(50, 32)))
    factors = name_penalties(words, words[[7, 20]], words.mean(axis=0))
    assert factors.shape == (2, 50)
    assert factors.argmin(axis=1).tolist() == [7, 20]
    assert factors.min() >= LEAST
    assert factors.max() <= MOST


def test_strength_zero_gives_equal_penalties() -> None:
    words = unit(np.random.default_rng(7).normal(size=(5, 8)))
    assert np.array_equal(name_penalties(words, words[:2], words.mean(axis=0), 0.0), np.ones((2, 5)))


def test_the_built_in_regions_are_unit_vectors_of_the_embedded_encoder() -> None:
    regions = built_in_regions().regions
    assert regions.shape == (7200, 192)
    assert np.allclose(np.linalg.norm(regions, axis=1), 1, atol=2e-3)


@pytest.mark.parametrize("n", [3, 5000])
def test_a_projects_own_regions_are_sampled(n: int) -> None:
    regions = unit(np.random.default_rng(8).normal(size=(n, 4, 8)))
    sample = sample_regions(regions).regions
    assert len(sample) == min(4 * n, 8192)
    assert np.isin(sample[:, 0], regions[..., 0]).all()
