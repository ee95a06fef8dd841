"""Sparsity is chosen by cross-validated fidelity, and selected concepts are shrunk less."""

import warnings

import numpy as np
import pytest

from inficond.core.solver import fit
from inficond.core.students import Students, distil
from inficond.core.students.relaxed import RELAX, relaxed_fit
from inficond.core.students.sparsity import choose_sparsity, compare_penalties


def problem(
    link: str, n: int = 400, k: int = 60, c: int = 3, used: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Concept vectors, and responses that depend on `used` concepts of each class."""
    rng = np.random.default_rng(seed)
    X = np.abs(rng.normal(size=(n, k))).astype(np.float32)
    W = np.zeros((c, k))
    for row in W:
        row[rng.choice(k, used, replace=False)] = rng.choice([-2.0, 2.0], used)
    logits = (X - X.mean(axis=0)) / X.std(axis=0) @ W.T + 0.5 * rng.normal(size=(n, c))
    if link == "softmax":
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return X, (e / e.sum(axis=1, keepdims=True)).astype(np.float32)
    return X, (1 / (1 + np.exp(-logits))).astype(np.float32)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_a_relaxed_fit_is_optimal_for_its_factors(link: str) -> None:
    X, T = problem(link)
    relaxed = relaxed_fit(X, T, 0.05, link)
    again = fit(X, T, lam=0.05 * RELAX, link=link, penalty=relaxed.penalty, tol=1e-5)
    assert relaxed.converged.all()
    assert np.allclose(relaxed.weights, again.weights, atol=5e-3)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_a_relaxed_fit_shrinks_selected_weights_less_and_selects_about_as_many(link: str) -> None:
    X, T = problem(link)
    plain, relaxed = fit(X, T, lam=0.05, link=link), relaxed_fit(X, T, 0.05, link)
    assert np.abs(relaxed.weights).sum() > 1.2 * np.abs(plain.weights).sum()
    assert np.mean(relaxed.nec) <= 1.1 * np.mean(plain.nec)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_the_choice_follows_the_one_standard_error_rule(link: str) -> None:
    X, T = problem(link)
    choice = choose_sparsity(X, T, link, most=30)
    best = int(np.argmin(choice.loss))
    within = [loss <= choice.loss[best] + error for loss, error in zip(choice.loss, choice.error)]
    assert choice.index == within.index(True)
    assert choice.error[best] == 0


def test_the_choice_keeps_the_limit_of_concepts() -> None:
    X, T = problem("sigmoid", used=20)
    choice = choose_sparsity(X, T, "sigmoid", most=6)
    assert max(choice.nec) <= 6
    assert "the limit is 6" in choice.reason


def test_the_path_over_classes_that_few_words_separate_ends_before_fits_cannot_converge() -> None:
    rng = np.random.default_rng(0)
    T = np.eye(3, dtype=np.float32)[np.arange(48) % 3]
    X = (0.3 + 0.1 * T + 0.01 * rng.normal(size=T.shape)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choice = choose_sparsity(X, T, "softmax")
        within = compare_penalties(X, T, "softmax", [None, np.full(T[:3].shape, 0.5)], nec=12)
    assert choice.loss[choice.index] < 0.1
    assert within.any()


def test_the_choice_does_not_depend_on_copies_of_an_image_in_one_group() -> None:
    """Copies in other folds would reward dense students for remembering noise."""
    rng = np.random.default_rng(1)
    X = np.abs(rng.normal(size=(60, 80))).astype(np.float32)
    T = rng.random((60, 1)).astype(np.float32)
    X, T, groups = np.repeat(X, 4, axis=0), np.repeat(T, 4, axis=0), [str(i // 4) for i in range(240)]
    apart = choose_sparsity(X, T, "sigmoid", most=60)
    together = choose_sparsity(X, T, "sigmoid", most=60, groups=groups)
    assert together.nec[together.index] < apart.nec[apart.index]


def test_the_factors_of_the_penalty_are_kept_in_the_file(tmp_path) -> None:
    X, T = problem("softmax")
    names = [f"c{k}" for k in range(X.shape[1])]
    students, _ = distil(X, T, ["a", "b", "c"], names, lam=0.05, link="softmax", relax=RELAX)
    students.save(tmp_path / "students.safetensors")
    loaded = Students.load(tmp_path / "students.safetensors")
    assert loaded.lam == pytest.approx(0.05 * RELAX)
    assert students.penalty is not None
    assert np.array_equal(loaded.penalty, students.penalty)
