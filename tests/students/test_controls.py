"""Controls of the words, and the share of answers that rest on absent concepts."""

import numpy as np
import pytest

from inficond.core.students.controls import absent_share, mean_fidelity, random_regions, random_rows
from inficond.core.students.student import Students


def students(weights: list[list[float]], bias: list[float]) -> Students:
    W = np.array(weights, np.float32)
    return Students(
        [f"class {c}" for c in range(len(W))],
        [f"c{k}" for k in range(W.shape[1])],
        W,
        np.array(bias, np.float32),
        np.full(W.shape[1], 0.5, np.float32),
        np.ones(W.shape[1], np.float32),
    )


def test_the_absent_share_counts_answers_whose_largest_contribution_is_absent() -> None:
    """One concept speaks for the class, another against it; images 0 and 1 get a yes."""
    one = students([[2.0, -2.0]], [0.1])
    X = np.array([[1.0, 0.5], [0.5, 0.0], [0.0, 0.5]])  # present word · absent word · no
    assert absent_share(one, X) == 0.5
    assert absent_share(one, X[2:]) is None


def test_classes_without_both_answers_are_left_out_of_the_mean_fidelity() -> None:
    both = students([[1.0], [1.0]], [0.0, 0.0])
    X = np.array([[0.9], [0.1], [0.8]])
    assert mean_fidelity(both, X, np.array([[1, 1], [0, 1], [1, 1]])) == 1.0
    assert mean_fidelity(both, X, np.ones((3, 2))) is None


@pytest.mark.parametrize("count", [5, 50])
def test_random_regions_are_unit_regions_of_the_given_images(count: int) -> None:
    rng = np.random.default_rng(0)
    regions = rng.normal(size=(10, 3, 8)).astype(np.float16)
    drawn = random_regions(regions, [2, 7], count, seed=3)
    allowed = regions[[2, 7]].reshape(-1, 8).astype(np.float32)
    allowed /= np.linalg.norm(allowed, axis=1, keepdims=True)
    assert drawn.shape == (count, 8)
    assert ((drawn @ allowed.T).max(axis=1) > 1 - 1e-4).all()
    assert np.array_equal(drawn, random_regions(regions, [2, 7], count, seed=3))


def test_random_rows_do_not_repeat_while_there_are_enough() -> None:
    assert len(set(random_rows(20, 20).tolist())) == 20
    assert len(random_rows(3, 7)) == 7
