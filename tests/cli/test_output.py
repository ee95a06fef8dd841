"""What commands print: encodings, terminals, full devices and full disks."""

import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inficond.core import Project
from inficond.core.atomic_io import replacing
from inficond.core.cli.main import main
from inficond.core.cli.output import Output
from inficond.core.errors import InputError, printable
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]
HOSTILE = "\x1b[2Jgone\nforged\x9b31m\u202eevil\ud800"


def run(*arguments: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **how.pop("env", {})}
    command = [sys.executable, "-m", "inficond.core.cli.main", *map(str, arguments)]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.run(command, text=True, env=env, timeout=120, check=False, **how)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_encoding_of_stdout_is_enough(
    make_project: MakeProject, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(classes=("boat", "Vögel 鳥"))
    project.session("main").apply("Vögel 鳥", Action("up", "c1"), note="λ → 鳥")

    def printed(*arguments: str) -> str:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
        assert main([arguments[0], str(project.path), *arguments[1:]]) == 0
        return raw.getvalue().decode(encoding)

    assert "Vögel" in printed("history") or encoding == "ascii"
    for command in ("history", "recipe"):
        assert "λ → 鳥" in json.dumps(json.loads(printed(command, "--json")), ensure_ascii=False)
    assert json.loads(printed("recipe"))["steps"][0]["note"] == "λ → 鳥"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_full_output_device_is_one_line_and_the_step_is_kept(
    make_project: MakeProject,
    flags: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = make_project()
    tune = ["tune", str(project.path), "--class", "boat", "--mute", "c1", *flags]
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert main(tune) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot write the output" in said
    assert len(project.session("main").tree()) == 2
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", full)
        assert main([*tune, "--class", "unknown"]) == 2


def test_a_closed_pipe_ends_a_command_quietly(make_project: MakeProject) -> None:
    command = f"'{sys.executable}' -m inficond.core.cli.main recipe '{make_project().path}' | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_names_cannot_control_the_terminal(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json)
    out.say(f"name: {HOSTILE}")
    out.warn(HOSTILE)
    out.result({"name": HOSTILE})
    out.document({"name": HOSTILE})
    said = capsys.readouterr()
    for stream in (said.out, said.err):
        assert stream.replace("\n", "").isprintable()
    assert "forged" not in [line.strip() for line in (said.out + said.err).splitlines()]
    if as_json:
        assert all(json.loads(line)["name"] == HOSTILE for line in said.out.splitlines())


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain 鳥 λ", "plain 鳥 λ"), ("a\nb", "a\\nb"), ("\x1b[0m", "\\x1b[0m"), ("क\u200dष", "क\u200dष"),
     ("\u202etxt", "\\u202etxt"), ("\udcff.jpg", "\\udcff.jpg")],
)  # fmt: skip
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def limited() -> None:
    """Let every file of this process end at 16 kB, as on a disk that fills up."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))


@pytest.mark.parametrize("old", [b"<html>last week's report</html>", None])
def test_a_report_on_a_full_disk_leaves_the_old_page_or_none(
    make_project: MakeProject, tmp_path: Path, old: bytes | None
) -> None:
    project, page = make_project(classes=tuple(f"class {i}" for i in range(8))), tmp_path / "r.html"
    if old:
        page.write_bytes(old)
    done = run("report", project.path, "--html", page, preexec_fn=limited)
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [p.read_bytes() for p in tmp_path.glob("*.html")] == [old] * bool(old)
    assert not list(tmp_path.glob(".r.html*"))
    done = run("report", project.path, "--html", page)
    assert done.returncode == 0
    assert page.read_text("utf-8").rstrip().endswith("</html>")


def test_a_replaced_file_keeps_its_permissions_and_a_link_its_target(tmp_path: Path) -> None:
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real.name)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half" * (1 // 0))
    assert path.read_text() == "old"
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"), replacing(tmp_path / "folder") as file:
        file.write(b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_a_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        with replacing(pipe) as file:
            file.write(b"through")
        assert reader.communicate(timeout=20)[0] == "through"
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("inficond.core.tuning.refit.refit", MemoryError()),
        ("numpy.lib.format.read_magic", MemoryError()),
        ("numpy.lib.format.read_magic", OSError(errno.ENOMEM, "Cannot allocate memory")),
        ("numpy.lib.format.read_magic", OSError(errno.EMFILE, "Too many open files")),
        ("numpy.lib.format.read_magic", OSError(errno.EIO, "Input/output error")),
    ],
)
def test_a_lack_of_memory_or_of_files_is_not_called_damage(
    place: str,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make_project: MakeProject,
) -> None:
    def starved(*given: Any, **named: Any) -> None:
        raise error

    project = make_project()
    monkeypatch.setattr(place, starved)
    monkeypatch.setattr("inficond.core.sessions.session.refit", starved)
    assert main(["tune", str(project.path), "--class", "boat", "--mute", "c1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    wanted = "not enough memory" if getattr(error, "errno", errno.ENOMEM) == errno.ENOMEM else error.args[1]
    assert wanted in said
    assert "damaged" not in said


def test_without_a_folder_for_temporary_files_a_command_says_so(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make_project: MakeProject,
    tmp_path: Path,
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/']")

    project = make_project()
    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    assert main(["pack", str(project.path), "--out", str(tmp_path / "a.zip")]) == 2
    assert "no folder for temporary files can be written: set TMPDIR" in capsys.readouterr().err
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.skipif(os.name == "nt", reason="descriptors of POSIX")
@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
def test_closed_streams_do_not_matter(make_project: MakeProject, closed: tuple[int, ...]) -> None:
    project = make_project()
    shut = " ".join(f"{n}>&-" for n in closed)
    command = f'"{sys.executable}" -m inficond.core.cli.main history "{project.path}" --json {shut}'
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="a current folder cannot be deleted there")
def test_a_deleted_current_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["history", "project"]) == 2
    assert capsys.readouterr().err == (
        "inficond history: the current folder was deleted; change to another folder\n"
    )
