"""Arrays of other libraries and invalid entries given to students: converted, or refused by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inficond.core.errors import InputError
from inficond.core.students import Students, contributions, distil, keep_largest

rng = np.random.default_rng(0)
X = rng.standard_normal((120, 6)).astype(np.float32)
LOGITS = X @ rng.standard_normal((6, 3))
T = 1 / (1 + np.exp(-LOGITS))
SHARES = T / T.sum(1, keepdims=True)
CLASSES, CONCEPTS = ("boat", "car", "cow"), ("water", "wheel", "grass", "mast", "road", "horn")


@pytest.fixture(scope="module")
def students() -> Students:
    return distil(X, T, CLASSES, CONCEPTS, lam=0.01)[0]


def with_entry(array: np.ndarray, place: tuple[int, int], value: float) -> np.ndarray:
    changed = array.copy()
    changed[place] = value
    return changed


def torch_tensor(array: np.ndarray) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(array, requires_grad=True)


def bfloat16(array: np.ndarray) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(array).bfloat16()


def nullable_frame(array: np.ndarray) -> Any:
    return pytest.importorskip("pandas").DataFrame(array).astype("Float64")


def csr(array: np.ndarray) -> Any:
    return pytest.importorskip("scipy.sparse").csr_matrix(array)


@pytest.mark.parametrize("convert", [torch_tensor, nullable_frame, np.asfortranarray, np.ndarray.tolist])
def test_arrays_of_other_libraries_give_the_same_students(
    students: Students, convert: Callable[[np.ndarray], Any]
) -> None:
    found, _ = distil(convert(X), convert(T), CLASSES, CONCEPTS, lam=0.01)
    np.testing.assert_allclose(found.weights, students.weights, atol=1e-3)
    np.testing.assert_allclose(found.predict(convert(X)), students.predict(X), atol=1e-3)
    assert keep_largest(students, convert(X), convert(T), n=2).nec().max() <= 2


@pytest.mark.parametrize("convert", [bfloat16, lambda a: a.astype(np.float16)])
def test_responses_of_16_bits_sum_to_one_within_their_rounding(convert: Callable[[np.ndarray], Any]) -> None:
    coarse, _ = distil(X, convert(SHARES), CLASSES, CONCEPTS, lam=0.01, link="softmax")
    exact, _ = distil(X, SHARES, CLASSES, CONCEPTS, lam=0.01, link="softmax")
    np.testing.assert_allclose(coarse.weights, exact.weights, atol=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: distil(csr(X), T, CLASSES, CONCEPTS), "X must be a dense array.*sparse"),
        (lambda s: distil(X, csr(T), CLASSES, CONCEPTS), "T must be a dense array.*sparse"),
        (lambda s: distil(np.ma.masked_less(X, -1), T, CLASSES, CONCEPTS), "X must have no masked entries"),
        (lambda s: distil(with_entry(X, (3, 2), np.nan), T, CLASSES, CONCEPTS), r"X\[3, 2\] is nan"),
        (lambda s: distil(X, with_entry(T, (3, 2), np.nan), CLASSES, CONCEPTS), r"T\[3, 2\] is nan"),
        (lambda s: distil(X, with_entry(T, (4, 0), 1.5), CLASSES, CONCEPTS), r"T\[4, 0\] is 1.5"),
        (lambda s: distil(X.astype(float) * 1e200, T, CLASSES, CONCEPTS), r"X must be finite.*float32"),
        (lambda s: s.predict(csr(X)), "X must be a dense array"),
        (lambda s: s.predict(with_entry(X, (7, 1), np.nan)), r"X\[7, 1\] is nan"),
        (lambda s: s.predict(with_entry(X, (7, 1), -np.inf)), r"X\[7, 1\] is -inf"),
        (lambda s: s.predict([["a"] * 6]), "X must be an array of real numbers"),
        (lambda s: contributions(s, 0, csr(X[:1])), "x must be a dense array"),
        (lambda s: keep_largest(s, csr(X), T), "X must be a dense array"),
        (lambda s: keep_largest(s, X[:, :4], T), r"X \(N, 6\)"),
        (lambda s: keep_largest(s, X, T[:, :2]), r"T \(N, 3\)"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    students: Students, call: Callable[[Students], Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        call(students)
