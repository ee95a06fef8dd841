"""Fixtures of the solver's tests."""

import pytest

from inficond.core.solver import validation


@pytest.fixture
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit small problems in float32, as large ones are."""
    monkeypatch.setattr(validation, "SMALL_BYTES", 0)
