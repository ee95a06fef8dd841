"""Export of students as web pages; `tests/browser/test_student_page.py` runs them."""

import base64
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.demo import demo_project
from inficond.core.errors import InputError
from inficond.core.models.sessions import open_session
from inficond.core.onnx_student.export import export_student
from inficond.core.student_page import build, export_student_page


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.open(demo_project())


@pytest.fixture(scope="module")
def page(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "student.html"
    export_student_page(project, path)
    return path


def element(page: Path, name: str) -> str:
    found = re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_command_writes_the_same_page(
    project: Project, page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "page", str(project.path), "--out", str(tmp_path / "student.html")]) == 0
    assert (tmp_path / "student.html").read_bytes() == page.read_bytes()
    assert "drop a photograph on it" in capsys.readouterr().out


def test_an_exported_student_gives_the_same_numbers(project: Project, page: Path, tmp_path: Path) -> None:
    export_student(project, tmp_path / "student.onnx")
    export_student_page(tmp_path / "student.onnx", tmp_path / "student.html")
    one, other = (json.loads(element(p, "student")) for p in (page, tmp_path / "student.html"))
    for name in ("classes", "concepts", "link", "image", "grid", "regions"):
        assert one[name] == other[name]
    for name in ("bias", "mean", "scale", "thresholds"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6)
    for these, those in zip(one["weights"], other["weights"], strict=True):
        np.testing.assert_allclose(these, those, rtol=1e-6)


def test_the_graph_opens_under_the_limits_of_foreign_graphs(page: Path, tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_bytes(gzip.decompress(base64.b64decode(element(page, "graph"))))
    opened = open_session(tmp_path / "page.onnx", "cpu")
    assert set(opened.outputs) == {"student_cosines", "assignment"}


def test_names_cannot_leave_their_element(project: Project) -> None:
    from dataclasses import replace

    from inficond.core.student_page.source import from_session

    student = from_session(project.session("main"))
    hostile = "</script><img src=x onerror=alert(1)>{{files}}"
    named = replace(student, name=hostile, classes=[hostile, *student.classes[1:]])
    text = build.page_html(named, b"graph")
    assert hostile not in text
    assert "<img" not in text


def test_an_existing_file_is_kept(project: Project, tmp_path: Path) -> None:
    (tmp_path / "student.html").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export_student_page(project, tmp_path / "student.html")
    assert (tmp_path / "student.html").read_text() == "mine"


def test_an_encoder_that_is_too_large_is_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MAX_GRAPH", 1000)
    with pytest.raises(InputError, match="the encoder 'embedded' has 7 MiB.*inficond predict"):
        export_student_page(project, tmp_path / "student.html")
    assert not (tmp_path / "student.html").exists()


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"text", [], "not an ONNX file|is not an exported student"),
        (b"text", ["--node", "1"], "is a file and has no nodes"),
    ],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, arguments: list[str], message: str
) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    out = tmp_path / "student.html"
    assert main(["export", "page", str(tmp_path / "x.onnx"), "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(message, error)
    assert len(error.splitlines()) == 1
    assert not out.exists()
