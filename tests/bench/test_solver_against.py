"""The comparison of two installed versions of the solver on the same rows."""

import sys
from pathlib import Path

import pytest

from inficond.core.bench import solver_against
from inficond.core.bench.solver_rows import C
from inficond.core.cli.main import main
from inficond.core.cli.output import Output
from inficond.core.errors import InputError


@pytest.mark.slow
def test_both_versions_fit_the_same_rows(capsys: pytest.CaptureFixture[str]) -> None:
    found = solver_against.compare(Path(sys.executable), Output(False), rows=3000, repeats=2)
    for one in found.values():
        assert one["certified"] == C
        assert len(one["seconds"]) == 2
        assert min(one["seconds"]) > 0
    ours, theirs = found.values()
    assert ours["passes"] == theirs["passes"], "the same version took different steps"
    assert "ratio" in capsys.readouterr().out


def test_an_interpreter_that_cannot_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--against .*: not an interpreter"):
        solver_against.compare(tmp_path / "python", Output(False), rows=300, repeats=1)


def test_another_version_is_only_timed_on_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "solver", "--only", "refit", "--against", sys.executable]) != 0
    assert "--against needs --only rows" in capsys.readouterr().err
