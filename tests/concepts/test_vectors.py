"""Concept vectors and evidence equal their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.concepts import concept_vectors, evidence, region_boxes
from inficond.core.errors import InputError


def unit(*shape: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 5),
    r=st.integers(1, 11),
    d=st.integers(1, 70),
    k=st.integers(0, 9),
    seed=st.integers(0, 999),
)
def test_a_value_is_the_largest_cosine_or_zero(n: int, r: int, d: int, k: int, seed: int) -> None:
    regions, words = unit(n, r, d, seed=seed), unit(k, d, seed=seed + 1)
    half = regions.astype(np.float16)
    expected = np.maximum(0, np.einsum("nrd,kd->nrk", half.astype(float), words.astype(float)).max(1))
    got = concept_vectors(half, words)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-6)
    np.testing.assert_array_equal(concept_vectors(regions, words), got)  # rounded to float16 first


def test_results_do_not_depend_on_how_images_are_split() -> None:
    regions, words = unit(2500, 9, 192, seed=1).astype(np.float16), unit(40, 192, seed=2)
    whole = concept_vectors(regions, words)
    for piece in (1, 7, 128, 1024):
        parts = [concept_vectors(regions[i : i + piece], words) for i in range(0, 300, piece)]
        np.testing.assert_array_equal(np.concatenate(parts)[:300], whole[:300])
    np.testing.assert_array_equal(concept_vectors(regions, words[3:4])[:, 0], whole[:, 3])


def test_read_only_and_strided_arrays_are_accepted() -> None:
    regions, words = unit(6, 4, 8, seed=3).astype(np.float16), unit(10, 8, seed=4)
    regions.flags.writeable = words.flags.writeable = False
    np.testing.assert_array_equal(
        concept_vectors(regions[::2], words[::3]), concept_vectors(regions, words)[::2, ::3]
    )


def test_embeddings_of_different_dimensions_are_refused() -> None:
    with pytest.raises(InputError, match="come from different encoders"):
        concept_vectors(np.zeros((1, 2, 3), np.float16), np.zeros((1, 4), np.float32))
    with pytest.raises(InputError, match="come from different encoders"):
        evidence(np.zeros((2, 3), np.float16), np.zeros((2, 2), np.uint8), np.zeros(4, np.float32))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999))
def test_evidence_is_the_region_with_the_largest_cosine_and_those_near_it(seed: int) -> None:
    regions, words = unit(1, 6, 12, seed=seed).astype(np.float16), unit(5, 12, seed=seed + 1)
    assignment = np.random.default_rng(seed).integers(0, 6, (4, 5)).astype(np.uint8)
    X = concept_vectors(regions, words)
    for k, word in enumerate(words):
        found = evidence(regions[0], assignment, word)
        assert max(0.0, found.score) == pytest.approx(float(X[0, k]), abs=1e-6)
        assert found.mask.shape == (4, 5)
        scores = regions[0].astype(np.float32) @ word
        shown = scores >= scores.max() - 0.25 * (scores.max() - scores.min())
        assert (found.mask == shown[assignment]).all()
        assert found.region == scores.argmax()


def test_boxes_are_tight() -> None:
    assignment = np.array([[[0, 0, 1], [0, 2, 2]], [[1, 1, 1], [1, 1, 1]]], np.uint8)
    boxes = region_boxes(assignment, 4)
    np.testing.assert_allclose(boxes[0, 0], [0, 0, 2 / 3, 1])
    np.testing.assert_allclose(boxes[0, 1], [2 / 3, 0, 1, 0.5])
    np.testing.assert_allclose(boxes[0, 2], [1 / 3, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(boxes[0, 3], 0)
    np.testing.assert_allclose(boxes[1, 1], [0, 0, 1, 1])
