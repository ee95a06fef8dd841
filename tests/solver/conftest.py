"""What the solver's tests share."""

import pytest

from inficond.core.solver import validate


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small problems in float32 too, as large ones are."""
    monkeypatch.setattr(validate, "SMALL", 0)
