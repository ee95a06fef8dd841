"""Rounding of weights that keeps the outputs of a layer."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the export extra is not installed")

from inficond.export.embedded.rounding import TOP, round_matrix


def _case(seed: int, correlated: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(24, 48)).astype(np.float32)
    mix = rng.normal(size=(8, 48)) if correlated else np.eye(48)
    return weight, np.maximum(rng.normal(size=(2000, mix.shape[0])) @ mix, 0)


@pytest.mark.parametrize("seed", range(3))
def test_rounded_weights_lie_on_the_grid_of_the_quantiser(seed):
    weight, x = _case(seed, correlated=True)
    rounded = round_matrix(weight, x.T @ x / len(x))
    codes = rounded / (np.abs(rounded).max(axis=1, keepdims=True) / TOP)
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)
    np.testing.assert_allclose(np.abs(rounded).max(axis=1), np.abs(weight).max(axis=1), rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_outputs_on_correlated_inputs_change_less_than_with_nearest_rounding(seed):
    weight, x = _case(seed, correlated=True)
    scale = np.abs(weight).max(axis=1, keepdims=True) / TOP
    nearest = np.rint(weight / scale) * scale
    ours = round_matrix(weight, x.T @ x / len(x))

    def error(rounded):
        return float(np.square(x @ (weight - rounded).T).mean())

    assert error(ours) < 0.5 * error(nearest)


def test_independent_inputs_round_to_nearest():
    weight, _ = _case(0, correlated=False)
    scale = np.abs(weight).max(axis=1, keepdims=True) / TOP
    np.testing.assert_allclose(
        round_matrix(weight, np.eye(48)), np.rint(weight / scale) * scale, rtol=1e-5, atol=1e-6
    )


def test_inputs_that_are_always_zero_give_finite_weights():
    weight, x = _case(1, correlated=True)
    x[:, 5] = 0
    assert np.isfinite(round_matrix(weight, x.T @ x / len(x))).all()
