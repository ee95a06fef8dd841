"""Fitting of students, thresholds, the largest concepts and the random-direction baseline."""

import numpy as np
import pytest

from inficond.core.errors import InputError
from inficond.core.evaluation.metrics import average_precision
from inficond.core.students import distil, keep_largest, random_concept_baseline
from inficond.core.students.baseline import random_concept_vectors, random_directions

N, K, C, D, R = 600, 40, 3, 48, 4
CLASSES, CONCEPTS = [f"class {c}" for c in range(C)], [f"word {k}" for k in range(K)]


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray]:
    """Make images with regions near words; the teacher depends on six words per class."""
    rng = np.random.default_rng(0)
    words = random_directions(K, D, 1)
    shown = rng.integers(0, K, (N, R))
    regions = words[shown] + 0.12 * rng.normal(size=(N, R, D))
    regions = (regions / np.linalg.norm(regions, axis=2, keepdims=True)).astype(np.float16)
    X = random_concept_vectors(regions, words)
    Z = (X - X.mean(0)) / X.std(0)
    T = np.column_stack([1 / (1 + np.exp(2.5 - 1.6 * Z[:, 6 * c : 6 * c + 6].sum(1))) for c in range(C)])
    return {
        "words": words,
        "regions": regions,
        "X": X,
        "T": T.astype(np.float32),
        "train": np.arange(N) % 3 > 0,
    }


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_students_are_faithful_and_certified(world, link: str) -> None:
    T = world["T"] if link == "sigmoid" else world["T"] / world["T"].sum(axis=1, keepdims=True)
    train = world["train"]
    students, fit = distil(world["X"][train], T[train], CLASSES, CONCEPTS, link=link)
    assert fit.converged.all()
    assert (fit.gap <= 1e-4 * fit.objective).all()
    S = students.predict(world["X"][~train])
    for c in range(C):
        assert average_precision(T[~train, c] >= 0.5, S[:, c]) > 0.8
    # Stored students and the result of the solver predict the same.
    np.testing.assert_array_equal(students.weights, fit.weights.astype(np.float32))


def test_students_use_the_words_of_the_teacher(world) -> None:
    students, _ = distil(world["X"], world["T"], CLASSES, CONCEPTS, lam=0.02)
    for c in range(C):
        assert set(students.top(c, 6)) == set(range(6 * c, 6 * c + 6))


def test_matched_thresholds_give_the_rate_of_the_teacher(world) -> None:
    X, T = world["X"], world["T"]
    students, _ = distil(X, T, CLASSES, CONCEPTS, thresholds="matched")
    S = students.predict(X)
    for c in range(C):
        assert int((S[:, c] >= students.thresholds[c]).sum()) == int((T[:, c] >= 0.5).sum())


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_five_largest_concepts_are_kept_and_refitted(world, link: str) -> None:
    X, T = world["X"], world["T"]
    if link == "softmax":
        T = T / T.sum(axis=1, keepdims=True)
    students, _ = distil(X, T, CLASSES, CONCEPTS, link=link)
    few = keep_largest(students, X, T, 5)
    assert few.nec().max() <= 5
    for c in range(C):
        assert set(np.flatnonzero(few.weights[c])) <= set(students.top(c, 5))
    cut = students.weights.copy()
    for c in range(C):
        cut[c, np.setdiff1d(np.arange(K), students.top(c, 5))] = 0
    # The refit has at most the loss of the truncated students.
    from dataclasses import replace

    from inficond.core.evaluation.metrics import bce, mean_kl

    loss = (lambda S: bce(T, S).mean()) if link == "sigmoid" else (lambda S: mean_kl(T, S))
    assert loss(few.predict(X)) < loss(replace(students, weights=cut).predict(X))


def test_words_are_better_than_random_directions_for_a_teacher_of_words(world) -> None:
    X, T, train = world["X"], world["T"], world["train"]
    students, _ = distil(X[train], T[train], CLASSES, CONCEPTS)
    random = random_concept_baseline(world["regions"], T, train, CLASSES, K)
    S, S_random = students.predict(X[~train]), random.students.predict(random.X[~train])
    gains = [
        average_precision(T[~train, c] >= 0.5, S[:, c])
        - average_precision(T[~train, c] >= 0.5, S_random[:, c])
        for c in range(C)
    ]
    assert np.mean(gains) > 0.1
    # The directions are stored, so the baseline predicts from regions.
    np.testing.assert_allclose(
        random.students.predict_regions(world["regions"][:5]), random.students.predict(random.X[:5])
    )


def test_random_directions_are_unit_seeded_and_spread() -> None:
    a = random_directions(200, 64, 3)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(a, random_directions(200, 64, 3))
    off = (a @ a.T)[~np.eye(200, dtype=bool)]
    assert abs(off.mean()) < 0.01
    assert off.std() == pytest.approx(1 / 8, rel=0.1)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_a_constant_teacher_gives_a_student_without_concepts(world, value: float) -> None:
    students, _ = distil(world["X"], np.full((N, 1), value), ["constant"], CONCEPTS, thresholds="matched")
    assert students.nec()[0] == 0
    np.testing.assert_allclose(students.predict(world["X"]), value, atol=2e-3)
    assert keep_largest(students, world["X"], np.full((N, 1), value)).nec()[0] == 0


def test_constant_concepts_have_no_weight(world) -> None:
    X = world["X"].copy()
    X[:, 2] = 0.0
    students, _ = distil(X, world["T"], CLASSES, CONCEPTS)
    assert (students.weights[:, 2] == 0).all()
    assert (students.scale > 0).all()


def test_invalid_input_is_named(world) -> None:
    X, T = world["X"], world["T"]
    with pytest.raises(InputError, match="3 classes over 40 concepts"):
        distil(X[:, :5], T, CLASSES, CONCEPTS)
    with pytest.raises(InputError, match="between 0 and 1"):
        distil(X, T + 1, CLASSES, CONCEPTS)
    with pytest.raises(InputError, match="between 0 and 1"):
        distil(X, np.full_like(T, np.nan), CLASSES, CONCEPTS)
    with pytest.raises(InputError, match="1 training image"):
        distil(X[:1], T[:1], CLASSES, CONCEPTS)
    with pytest.raises(InputError, match="thresholds"):
        distil(X, T, CLASSES, CONCEPTS, thresholds="best")
