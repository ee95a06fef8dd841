"""The benchmark of many rows: generated data, certified fits, memory beside the rows."""

import json

import numpy as np
import pytest

from inficond.core.bench import solver_rows
from inficond.core.bench.solver_rows import BLOCK, C, K, make_rows
from inficond.core.cli.main import main


def test_the_rows_do_not_depend_on_their_number() -> None:
    (X, T), (Y, S) = make_rows(BLOCK), make_rows(BLOCK + 100)
    assert (X.shape, T.shape) == ((BLOCK, K), (BLOCK, C))
    np.testing.assert_array_equal(Y[:BLOCK], X)
    np.testing.assert_array_equal(S[:BLOCK], T)
    assert 0.01 < float(T.mean()) < 0.2
    assert X.min() == 0


@pytest.mark.slow
def test_rows_are_fitted_and_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(solver_rows, "SIZES", (20_000, 60_000))
    assert main(["bench", "solver", "--only", "rows", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rows"]
    assert [one["rows"] for one in found["sizes"]] == [20_000, 60_000]
    assert [one["certified"] for one in found["sizes"]] == [C, C]
    for one in found["sizes"]:
        assert one["of_rows"] == pytest.approx(one["memory"] / (4 * K * one["rows"]))
        assert one["seconds"] > 0
    assert found["sizes"][1]["of_rows"] < 1, "the rows were copied"
