"""Students with a wanted number of concepts, for which λ is searched."""

import numpy as np
import pytest

from inficond.core.students.distil import distil


def problem(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.maximum(0, rng.normal(0.15, 0.1, (400, 60))).astype(np.float32)
    logits = 30 * (X[:, :24] - 0.15) @ rng.normal(size=(24, 3)) / 5
    return X, (1 / (1 + np.exp(-logits))).astype(np.float32)


@pytest.mark.parametrize("wanted", [3, 8, 20])
def test_students_have_at_most_the_wanted_number_of_concepts(wanted: int) -> None:
    X, T = problem(wanted)
    students, fit = distil(X, T, list("abc"), [f"w{k}" for k in range(60)], nec=wanted)
    assert wanted - 2 <= students.nec().mean() <= wanted
    assert students.lam == fit.lam > 0
    again, _ = distil(X, T, list("abc"), [f"w{k}" for k in range(60)], lam=students.lam)
    np.testing.assert_allclose(again.weights, students.weights, atol=0.02)
