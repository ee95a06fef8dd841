"""Surroundings of a command: limits, variables, permissions and names are one line, never a traceback."""

import errno
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import inficond
from inficond.core.cli.main import main
from inficond.core.errors import InputError, fault_of_library, fault_of_surroundings
from inficond.core.facade import Project
from inficond.core.models.load_failure import load_failure
from inficond.core.models.local_session import opened_session

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


def test_libraries_that_interrupt_without_threads_are_not_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("inficond.core.cli.commands.history.run", interrupted)
    assert main(["history", "anywhere"]) == 130
    assert "interrupted; finished work is kept" in capsys.readouterr().err
    monkeypatch.setattr(threading.Thread, "start", refused)
    assert main(["history", "anywhere"]) == 2
    assert "cannot start a thread; allow more processes" in capsys.readouterr().err


def test_a_low_limit_of_threads_is_one_line_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    ran: list[bool] = []
    monkeypatch.setattr("inficond.core.cli.commands.history.run", lambda *given: ran.append(True))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (40, 40))
    assert main(["history", "anywhere"]) == 0
    monkeypatch.setattr("inficond.core.cli.main._can_start", lambda count: count < 4)
    assert main(["history", "anywhere"]) == 2
    assert "cannot start a thread; allow more processes" in capsys.readouterr().err
    assert ran == [True]


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


def imported(line: str) -> ImportError:
    """Return the error of an import by a module of this package."""
    try:
        exec(line, {"__name__": "inficond.core.somewhere"})
    except ImportError as error:
        return error
    raise AssertionError(line)


def test_a_library_that_cannot_be_loaded_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "half_installed").mkdir()
    (tmp_path / "half_installed" / "__init__.py").write_text("raise ImportError('libhalf.so: no such file')")
    monkeypatch.syspath_prepend(str(tmp_path))

    def failing(*given: Any) -> None:
        raise imported("import half_installed")

    monkeypatch.setattr("inficond.core.cli.commands.history.run", failing)
    assert main(["history", "anywhere"]) == 2
    said = capsys.readouterr().err
    assert "the library half_installed cannot be loaded (libhalf.so: no such file): install it again" in said
    assert said.count("\n") == 1
    assert "pip install not_there`" in (fault_of_library(imported("import not_there")) or "")
    for own in ("from inficond.core.errors import nothing", "import inficond.nowhere"):
        assert fault_of_library(imported(own)) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "ONNX Runtime is installed only in part, without InferenceSession: remove it with"),
        ("raise ImportError('DLL load failed')", "cannot be loaded .DLL load failed.: .*onnxruntime-gpu"),
    ],
    ids=["in part", "not at all"],
)
def test_two_packages_of_onnx_runtime_that_broke_each_other_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    spec = importlib.util.find_spec("inficond.core.models.runtime")
    assert spec is not None
    assert spec.loader is not None
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(InputError, match=said):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    sys.modules.pop("onnxruntime", None)


def test_a_session_opens_with_one_thread_where_the_system_allows_no_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[int] = []

    def opened(content: bytes, options: Any, **given: Any) -> str:
        asked.append(options.intra_op_num_threads)
        if options.intra_op_num_threads > 1:
            raise RuntimeError("env.cc:327 PosixThread::PosixThread pthread_create failed")
        return f"fallback {given['enable_fallback']}"

    runtime, options = SimpleNamespace(InferenceSession=opened), SimpleNamespace(intra_op_num_threads=4)
    assert opened_session(runtime, b"", options, []) == "fallback 0"  # which would print to stdout
    assert asked == [4, 1]
    assert load_failure(RuntimeError("PosixThread")).startswith("the system allows no more threads")
