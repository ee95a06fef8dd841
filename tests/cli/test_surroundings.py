"""Surroundings of a command: limits, variables, permissions and names are one line, never a traceback."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import inficond
from inficond.core.cli.main import main
from inficond.core.errors import InputError, fault_of_surroundings
from inficond.core.facade import Project

MakeProject = Callable[..., Project]
HISTORY = "import sys; from inficond.core.cli.main import main; sys.exit(main(sys.argv[1:]))"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="limits and permissions of POSIX")


def run(project: Path, before: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `inficond history` in a shell after other commands, with variables."""
    command = f'{before} exec "{sys.executable}" -c "$CODE" history "{project}"'
    env = {**os.environ, "CODE": HISTORY, **variables}
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=env, timeout=300, check=False
    )


@pytest.mark.parametrize(
    ("before", "variables", "said"),
    [
        ("", {"NUMBA_NUM_THREADS": "0"}, "Numba, which compiles the computations, cannot be loaded"),
        ("", {"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT is set"),
        ("", {"NUMBA_NUM_THREADS": "many"}, "Numba, which compiles the computations, cannot be loaded"),
        ("", {"NUMBA_THREADING_LAYER": "none"}, "NUMBA_THREADING_LAYER is 'none', which Numba does not know"),
    ],
)
def test_surroundings_in_which_nothing_runs_are_one_line(
    make_project: MakeProject, before: str, variables: dict[str, str], said: str
) -> None:
    done = run(make_project().path, before, **variables)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("before", "variables"),
    [
        ("ulimit -n 32; umask 0777;", {"TZ": "Nowhere/Land", "COLUMNS": "1", "HOME": "/etc/passwd"}),
        ("", {"PYTHONOPTIMIZE": "2", "TMPDIR": "/nonexistent", "INFICOND_CACHE": "/etc/passwd"}),
        (
            "exec <&-;",
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONWARNINGS": "error"},
        ),
    ],
    ids=["limits", "no folders", "locale and warnings"],
)
def test_a_history_is_listed_in_odd_surroundings(
    make_project: MakeProject, before: str, variables: dict[str, str]
) -> None:
    done = run(make_project().path, before, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "as fitted" in done.stdout


def test_names_that_are_too_long_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x" * 300, "a/" * 2500):
        assert main(["history", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert "cannot read the project at" in said
        assert "too long" in said
        assert said.count("\n") == 1


def test_a_project_of_another_account_is_one_line(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    project = make_project().path
    monkeypatch.setattr(Path, "exists", forbidden)
    with pytest.raises(InputError, match=r"cannot read the project at .*: Permission denied"):
        Project.open(project)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EMFILE, errno.ESTALE])
def test_any_command_says_which_file_and_why(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*given: Any) -> None:
        raise OSError(number, os.strerror(number), "photos/\x1b[2Ja.jpg")

    monkeypatch.setattr("inficond.core.cli.commands.history.run", failing)
    assert main(["history", "anywhere"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"inficond history: photos/\\x1b[2Ja.jpg: {os.strerror(number)}; ")
    assert said.count("\n") == 1


def test_a_system_without_more_threads_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*given: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("inficond.core.cli.commands.history.run", failing)
    assert main(["history", "anywhere"]) == 2
    assert "cannot start a thread; allow more processes" in capsys.readouterr().err


def test_a_tilde_is_the_home_directory_wherever_it_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for command in (["history", "~/project"], ["pack", "x", "--out=~/packed"]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "~" not in said
    with pytest.raises(InputError, match="no-such-account-here/photos: No such file or directory"):
        inficond.distill("~no-such-account-here/photos", out=tmp_path / "made")
    with pytest.raises(InputError, match=re.escape(f"no project at {tmp_path}/project")):
        Project.open("~/project")


@pytest.mark.parametrize("command", [["trust", ""], ["predict", "", "x.jpg"], ["pack", "", "--out", "x"]])
def test_an_empty_path_is_not_the_current_folder(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(command)
    assert "the path is empty; is a variable not set?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["serve", "s.onnx", "--batch", "0"], "--batch is 0: give a number from 1 to 4,096"),
        (
            ["distill", ".", "--out", "made", "--seed", "-1"],
            "the seed must be a whole number from 0 on, not -1",
        ),
    ],
)
def test_numbers_out_of_range_are_one_line(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    assert said in capsys.readouterr().err


def test_a_machine_without_shared_memory_prints_nothing_of_numba() -> None:
    code = (
        "import warnings, inficond.core.kernel_cache; "
        "warnings.warn('\\x1b[1mCould not obtain multiprocessing lock due to OS level error')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_other_errors_of_the_system_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*given: Any) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("inficond.core.cli.commands.history.run", failing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(["history", "anywhere"])
    assert fault_of_surroundings(OSError("no number")) is None
