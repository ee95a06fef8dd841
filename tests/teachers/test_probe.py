"""Responses of a cross-fitted probe do not use the label of the image itself."""

import numpy as np
import pytest

from inficond.core.errors import InputError
from inficond.core.teachers import probe as probes
from inficond.core.teachers.probe import fit_probe


def one_hot(y: np.ndarray) -> np.ndarray:
    return np.eye(int(y.max()) + 1)[y]


def test_labels_without_relation_to_the_features_are_predicted_at_chance() -> None:
    rng = np.random.default_rng(0)
    F, Y = rng.normal(size=(120, 200)), one_hot(np.arange(120) % 3)
    probe = fit_probe(F, Y, "softmax")
    in_sample = (probe.classifier.predict(F).argmax(axis=1) == Y.argmax(axis=1)).mean()
    assert in_sample > 0.9, "the final model fits the labels, so a leak would show"
    assert probe.accuracy < 0.5
    assert probe.chance == pytest.approx(1 / 3)


def test_images_of_one_group_are_in_one_fold() -> None:
    """Pairs of equal images share random labels: only a leak inside a pair predicts them."""
    rng = np.random.default_rng(1)
    F = np.repeat(rng.normal(size=(60, 80)), 2, axis=0)
    Y = one_hot(np.repeat(rng.permutation(np.arange(60) % 2), 2))
    groups = [f"pair {i // 2}" for i in range(120)]
    assert fit_probe(F, Y, "softmax").accuracy > 0.8
    assert fit_probe(F, Y, "softmax", groups=groups).accuracy < 0.7


def test_features_that_separate_the_classes_are_used() -> None:
    rng = np.random.default_rng(2)
    y = np.arange(90) % 3
    F = one_hot(y) * 3 + rng.normal(size=(90, 3))
    probe = fit_probe(F, one_hot(y), "softmax")
    assert probe.accuracy > 0.85
    assert np.allclose(probe.responses.sum(axis=1), 1, atol=1e-6)


def test_images_without_a_label_use_the_final_model() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(60) % 2
    F = one_hot(y) * 4 + rng.normal(size=(60, 2))
    Y = one_hot(y)
    Y[10] = np.nan
    probe = fit_probe(F, Y, "softmax")
    assert np.allclose(probe.responses[10], probe.classifier.predict(F[10:11])[0], atol=1e-6)


def test_several_labels_per_image_use_one_sigmoid_per_class() -> None:
    rng = np.random.default_rng(4)
    Y = (rng.random((100, 3)) < 0.4).astype(float)
    probe = fit_probe(Y * 4 + rng.normal(size=Y.shape), Y, "sigmoid")
    assert probe.accuracy > 0.9
    assert ((probe.responses >= 0) & (probe.responses <= 1)).all()


def test_the_same_seed_gives_the_same_responses() -> None:
    rng = np.random.default_rng(5)
    F, Y = rng.normal(size=(50, 6)), one_hot(np.arange(50) % 2)
    assert np.array_equal(fit_probe(F, Y, "softmax").responses, fit_probe(F, Y, "softmax").responses)


def difference_between_seeds(F: np.ndarray, Y: np.ndarray) -> float:
    first, second = (fit_probe(F, Y, "softmax", seed=seed).responses for seed in (0, 1))
    return float(np.abs(first - second).mean())


def test_responses_depend_little_on_how_the_folds_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    y = np.arange(120) % 3
    F, Y = one_hot(y) @ rng.normal(size=(3, 150)) + 2 * rng.normal(size=(120, 150)), one_hot(y)
    averaged = difference_between_seeds(F, Y)
    monkeypatch.setattr(probes, "DIVISIONS", 1)
    once = difference_between_seeds(F, Y)
    assert averaged < 0.7 * once, "the mean of four draws has about half the deviation of one"
    monkeypatch.setattr(probes, "DIVISIONS", 4)
    monkeypatch.setattr(probes, "COMPARED_ROWS", 100)
    one = difference_between_seeds(F, Y)
    assert one > averaged, "many images are divided once"


def test_a_class_with_one_image_is_refused() -> None:
    Y = one_hot(np.array([0, 0, 0, 0, 1]))
    with pytest.raises(InputError, match="class number 2 has 1 labelled images"):
        fit_probe(np.eye(5), Y, "softmax")
