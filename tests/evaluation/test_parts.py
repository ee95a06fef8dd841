"""Division of images into fit, tune and exam."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.evaluation.parts import MIN_EXAM, MIN_IMAGES, divide
from inficond.core.evaluation.split import stratified_split


def responses(n: int, c: int = 3, seed: int = 0) -> np.ndarray:
    return np.eye(c)[np.random.default_rng(seed).integers(c, size=n)]


def test_images_are_divided_60_20_20_and_every_class_keeps_its_share() -> None:
    T = responses(1000)
    T[:, 2] *= np.arange(1000) % 4 == 0  # a rarer class
    parts = divide(T)
    assert not (parts.is_tune & parts.is_exam).any()
    for c in range(3):
        shares = [T[mask, c].sum() / T[:, c].sum() for mask in (parts.is_tune, parts.is_exam)]
        np.testing.assert_allclose(shares, 0.2, atol=0.02)
    assert parts.reason == "600 images to fit, 200 to tune, 200 for the exam"
    assert parts.absent == ()
    again = divide(T)
    assert np.array_equal(again.is_exam, parts.is_exam)
    assert np.array_equal(again.is_tune, parts.is_tune)
    assert not np.array_equal(divide(T, seed=1).is_exam, parts.is_exam)


@settings(max_examples=25, deadline=None)
@given(st.integers(150, 400), st.integers(1, 5), st.integers(2, 80), st.integers(0, 99))
def test_a_group_is_in_one_part_and_parts_are_disjoint(n: int, c: int, n_groups: int, seed: int) -> None:
    groups = [f"g{i}" for i in np.random.default_rng(seed).integers(n_groups, size=n)]
    parts = divide(responses(n, c, seed), groups=groups, seed=seed)
    assert not (parts.is_tune & parts.is_exam).any()
    assert (~parts.is_tune & ~parts.is_exam).any()
    assert parts.is_exam.sum() == 0 or parts.is_exam.sum() >= MIN_EXAM
    for group in set(groups):
        mine = np.array([g == group for g in groups])
        for part in (parts.is_tune, parts.is_exam):
            assert part[mine].all() or not part[mine].any()


def test_a_small_set_has_two_parts_as_before_and_says_why() -> None:
    T = responses(MIN_IMAGES - 1)
    parts = divide(T)
    assert not parts.is_exam.any()
    assert np.array_equal(parts.is_tune, stratified_split(T))
    assert parts.reason.endswith("; no exam part, because 149 images are fewer than 150")
    unwanted = divide(responses(300), exam=False)
    assert not unwanted.is_exam.any()
    assert "no exam was asked for" in unwanted.reason


def test_test_images_of_the_source_are_the_exam_part() -> None:
    given = ["train"] * 150 + ["val"] * 50 + ["test"] * 40
    parts = divide(responses(240), given=given)
    assert np.array_equal(np.flatnonzero(parts.is_exam), np.arange(200, 240))
    assert np.array_equal(np.flatnonzero(parts.is_tune), np.arange(150, 200))


def test_training_images_are_tuned_on_where_the_source_has_training_and_test_images_only() -> None:
    given = ["train"] * 400 + ["test"] * 100
    T = responses(500)
    parts = divide(T, given=given)
    assert parts.is_exam.tolist() == [False] * 400 + [True] * 100
    assert int(parts.is_tune.sum()) == 100
    assert (T[parts.is_tune].max(axis=0) >= 0.5).all(), "every class is measured"
    assert parts.reason == "300 images to fit, 100 to tune, 100 for the exam"
    training_only = divide(T, given=["train"] * 500)
    assert np.array_equal(training_only.is_tune, divide(T).is_tune)
    assert np.array_equal(training_only.is_exam, divide(T).is_exam)


def test_half_of_given_validation_images_are_the_exam_part_where_there_are_no_test_images() -> None:
    given = ["train"] * 150 + ["val"] * 80
    parts = divide(responses(230), given=given)
    assert not parts.is_exam[:150].any()
    assert not parts.is_tune[:150].any()
    assert parts.is_exam.sum() == pytest.approx(40, abs=3)
    assert parts.is_tune.sum() + parts.is_exam.sum() == 80


def test_images_of_one_source_have_no_exam_part() -> None:
    with pytest.raises(InputError, match="at least two are needed"):
        divide(responses(200), groups=["film"] * 200)
    parts = divide(responses(200), groups=["film", *["other"] * 199])
    assert not parts.is_exam.any()
    assert "no exam part, because" in parts.reason


def test_a_class_with_few_sources_is_absent_from_the_exam() -> None:
    T = responses(300, 2)
    T = np.column_stack([T, np.arange(300) < 3]).astype(float)
    parts = divide(T)
    assert parts.is_exam.any()
    assert parts.absent == (2,)
    assert not parts.is_exam[:3].any()


def test_classes_that_exclude_each_other_are_stratified_by_the_largest_response() -> None:
    T = 0.2 + 0.2 * responses(500, 4)  # no response reaches 0.5
    parts = divide(T)
    shares = [(T.argmax(axis=1)[parts.is_exam] == c).sum() / (T.argmax(axis=1) == c).sum() for c in range(4)]
    np.testing.assert_allclose(shares, 0.2, atol=0.03)
