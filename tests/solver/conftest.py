"""Fixtures of the solver's tests."""

from collections.abc import Iterator

import pytest
from threadpoolctl import ThreadpoolController

from inficond.core.solver import validation


@pytest.fixture
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit small problems in float32, as large ones are."""
    monkeypatch.setattr(validation, "SMALL_BYTES", 0)


@pytest.fixture
def two_blas_threads() -> Iterator[None]:
    """Two threads of BLAS, also in workers of a test run, which have one each."""
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        yield
