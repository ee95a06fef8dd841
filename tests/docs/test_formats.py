"""Every file format of docs/formats.md refuses an unknown version with one line and without changes."""

import hashlib
import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.history.recipe import Recipe
from inficond.core.models.predictor import FORMAT, load_predictor
from inficond.core.models.sessions import open_session
from inficond.core.students import safetensors_io
from inficond.core.students.student import Students

ROOT = Path(__file__).resolve().parents[2]
UNKNOWN = 99


@dataclass(frozen=True)
class Format:
    """A format: its section in formats.md, a function that changes the version, and a function that reads."""

    heading: str
    make: Callable[[Project, Path], Path]
    command: Callable[[Path, Path], list[str]]


def _copy(project: Project, place: Path) -> Path:
    return shutil.copytree(project.path, place / "project")


def of_project(project: Project, place: Path) -> Path:
    folder = _copy(project, place)
    said = json.loads((folder / "project.json").read_text())
    said["format"] = UNKNOWN
    (folder / "project.json").write_text(json.dumps(said))
    return folder


def of_model(project: Project, place: Path) -> Path:
    folder = shutil.copytree(ROOT / "core" / "assets" / "teacher", place / "teacher")
    said = json.loads((folder / "manifest.json").read_text())
    said["format"] = UNKNOWN
    (folder / "manifest.json").write_text(json.dumps(said))
    return folder


def of_students(project: Project, place: Path) -> Path:
    path = place / "student.safetensors"
    project.students.save(path)
    tensors, metadata = safetensors_io.read(path)
    safetensors_io.write(
        path, tensors, safetensors_io.with_checksum(tensors, metadata | {"format_version": str(UNKNOWN)})
    )
    return path


def of_exported(project: Project, place: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper

    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["B", 8, 8, 3])
    out = helper.make_tensor_value_info("probabilities", TensorProto.UINT8, ["B", 8, 8, 3])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["pixels"], ["probabilities"])], "g", [pixels], [out]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"format": FORMAT, "format_version": str(UNKNOWN)})
    onnx.save(model, place / "student.onnx")
    return place / "student.onnx"


def of_recipe(project: Project, place: Path) -> Path:
    said = project.session().recipe().to_json() | {"version": UNKNOWN}
    (place / "recipe.json").write_text(json.dumps(said))
    _copy(project, place)
    return place / "recipe.json"


def of_history(project: Project, place: Path) -> Path:
    folder = _copy(project, place)
    main(["tune", str(folder), "--class", project.classes[0], "--mute", project.concepts[0], "--json"])
    _edit(folder / "history.sqlite", f"UPDATE meta SET value = '{UNKNOWN}' WHERE key = 'format'")
    return folder


def _edit(path: Path, *statements: str) -> None:
    """Change an SQLite file directly, without leaving changes in its log."""
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()


def of_archive(project: Project, place: Path) -> Path:
    (place / "a.txt").write_text("a")
    main(["pack", str(place / "a.txt"), "--out", str(place / "whole.inficond"), "--json"])
    path = place / "a.inficond"
    with zipfile.ZipFile(place / "whole.inficond") as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            body = old.read(info)
            if info.filename == "archive.json":
                body = json.dumps(json.loads(body) | {"format": UNKNOWN}).encode()
            new.writestr(info.filename, body)
    return path


FORMATS = {
    "project": Format("Project folder", of_project, lambda f, p: ["report", str(f)]),
    "model folder": Format(
        "Model folder", of_model, lambda f, p: ["distill", str(p), "--teacher", str(f), "--out", str(p / "o")]
    ),
    "exported student": Format("Exported student", of_exported, lambda f, p: ["predict", str(f), str(p)]),
    "recipe": Format("Recipe", of_recipe, lambda f, p: ["replay", str(p / "project"), str(f)]),
    "history": Format("History", of_history, lambda f, p: ["history", str(f)]),
    "archive": Format("Archive", of_archive, lambda f, p: ["unpack", str(f), "--out", str(p / "out")]),
}


def _state(place: Path) -> dict[str, str]:
    """Return the files of a folder, without SQLite's shared memory and log."""
    return {
        str(p.relative_to(place)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in place.rglob("*")
        if p.is_file() and not p.name.endswith(("-shm", "-wal"))
    }


@pytest.mark.parametrize("name", FORMATS)
def test_an_unknown_version_raises_one_line_and_changes_nothing(
    name: str, small_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = FORMATS[name]
    file = kind.make(small_project, tmp_path)
    before = _state(tmp_path)
    capsys.readouterr()
    code = main(kind.command(file, tmp_path))
    said = capsys.readouterr()
    assert code == 2, said
    assert said.err.strip().count("\n") == 0, said.err
    assert str(UNKNOWN) in said.err
    assert re.search(r"upgrade|update|use the version|with the version", said.err), "it says what to do"
    assert "Traceback" not in said.err + said.out
    assert {k: v for k, v in _state(tmp_path).items() if k in before} == before


def test_an_unknown_version_of_students_raises_one_line(small_project: Project, tmp_path: Path) -> None:
    path = of_students(small_project, tmp_path)
    with pytest.raises(Exception, match="format version '99'.*use the version of inficond") as told:
        Students.load(path)
    assert "\n" not in str(told.value)


def test_every_format_is_described() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.M)
    wanted = {kind.heading for kind in FORMATS.values()} | {"Students", "Versions"}
    assert {h.split(" (")[0] for h in headings} == wanted
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title = section.split("\n")[0]
        assert title == "Versions" or "MUST" in section, f"{title} says nothing that must hold"


def test_a_history_of_format_1_is_read_and_upgraded(small_project: Project, tmp_path: Path) -> None:
    """Format 1 had no checksums; they are added with the next step."""
    folder = _copy(small_project, tmp_path)
    step = ["--class", small_project.classes[0], "--json"]
    assert main(["tune", str(folder), *step, "--mute", small_project.concepts[0]]) == 0
    _edit(
        folder / "history.sqlite",
        "DROP TABLE seal",
        "UPDATE meta SET value = '1' WHERE key = 'format'",
        "DELETE FROM meta WHERE key NOT IN ('format', 'data')",
    )
    (folder / "history.sqlite-seal").unlink(missing_ok=True)
    assert len(Project.open(folder).session("main").tree()) == 2
    assert main(["tune", str(folder), *step, "--mute", small_project.concepts[1]]) == 0
    with sqlite3.connect(folder / "history.sqlite") as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == ("2",)
        assert db.execute("SELECT count(*) FROM seal").fetchone()[0] >= 1
    db.close()
    assert len(Project.open(folder).session("main").tree()) == 3


def test_a_recipe_is_read_as_it_was_written(small_project: Project) -> None:
    session = small_project.session()
    session.apply(small_project.classes[0], [{"kind": "mute", "concept": small_project.concepts[0]}])
    recipe = session.recipe()
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_an_exported_student_of_an_unknown_version_is_refused(small_project: Project, tmp_path: Path) -> None:
    path = of_exported(small_project, tmp_path)
    open_session(path)  # the graph itself is sound
    with pytest.raises(Exception, match="format version '99'"):
        load_predictor(path)
