"""Measures of classes that exclude each other, on an example worked out by hand."""

import numpy as np
import pytest

from inficond.core.evaluation.exclusive import exclusive_metrics

T = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
S = np.array([[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.3, 0.3, 0.4], [0.4, 0.3, 0.3]])


def test_metrics_of_the_example() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [np.nan] * 3])
    found = exclusive_metrics(T, S, np.array([0.5, 0.5, 0.5]), labels)
    assert found.agreement == 0.75
    assert found.no_yes == 0.5
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.teacher_accuracy == 1.0
    assert found.confusion == ((2, 0, 0), (1, 0, 0), (0, 0, 1))


def test_without_labels_there_is_no_accuracy() -> None:
    found = exclusive_metrics(T, S, np.full(3, 0.5))
    assert found.accuracy is None
    assert found.teacher_accuracy is None
