"""Confusion of classes that exclude each other."""

import numpy as np
import pytest

from inficond.core.evaluation.confusion import (
    UNKNOWN,
    are_exclusive,
    confusion,
    labelled_class,
    top_class,
)


def test_classes_are_exclusive_if_no_image_has_more_than_one() -> None:
    assert are_exclusive([[0.2, 0.8], [0.1, 0.1], [np.nan, 1.0]])
    assert are_exclusive([[0.5, 0.5 + 1e-6]])
    assert not are_exclusive([[0.2, 0.8], [0.9, 0.6]])


def test_an_image_without_a_unique_label_has_no_class() -> None:
    labels = [[0, 1, 0], [1, 1, 0], [0, 0, 0], [np.nan, np.nan, 1]]
    assert labelled_class(labels).tolist() == [1, UNKNOWN, UNKNOWN, 2]


def test_counts_have_actual_classes_as_rows() -> None:
    found = confusion([0, 0, 1, 2, UNKNOWN], [0, 1, 1, 0, 2], 3)
    assert found.counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.n == 4
    assert found.accuracy == pytest.approx(0.5)


def test_counts_agree_with_scikit_learn_on_random_classes() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    actual, probabilities = rng.integers(4, size=500), rng.random((500, 4))
    predicted = top_class(probabilities)
    found = confusion(actual, predicted, 4)
    assert found.counts.tolist() == metrics.confusion_matrix(actual, predicted).tolist()
    assert found.accuracy == pytest.approx(metrics.accuracy_score(actual, predicted))


def test_a_table_without_images_has_no_accuracy() -> None:
    assert np.isnan(confusion([], [], 2).accuracy)
