"""Students, teachers and projects side by side: common images, changes, files, the command and its page."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.comparison.rewriting import jpeg, rewritten

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.comparison.files import open_sides
from inficond.core.comparison.match import NOT_HELD_OUT
from inficond.core.comparison.measure import SideBySide, side_by_side
from inficond.core.comparison.page import render_comparison
from inficond.core.comparison.sides import student_side, teacher_side
from inficond.core.errors import InputError

MakeProject = Callable[..., Project]
MUTE = {"kind": "mute", "concept": "group:water"}


def tuned(project: Project) -> tuple[Any, str]:
    """Return a session after a step on boat, and the node before it."""
    session = project.session()
    fitted = session.node
    session.apply("boat", MUTE)
    return session, fitted


def test_changes_are_those_of_the_answers(small_project: Project) -> None:
    session, fitted = tuned(small_project)
    found = side_by_side(student_side(session, fitted), student_side(session))
    rows = small_project.validation_rows
    assert found.images.first.tolist() == rows.tolist()
    at = session.threshold("boat")
    before, after = (
        small_project.students.predict(small_project.X)[:, 0] >= at,
        session.scores()[:, 0] >= at,
    )
    held = small_project.is_validation
    truth = small_project.labels[:, 0] >= 0.5
    expected = {
        "yes-no": before & ~after, "no-yes": ~before & after,
        "right-wrong": (before == truth) & (after != truth),
        "wrong-right": (before != truth) & (after == truth),
    }  # fmt: skip
    for kind, mask in expected.items():
        assert found.rows("a", "boat", kind).tolist() == np.flatnonzero(mask & held).tolist()
    assert sum(len(found.rows("b", "boat", kind)) for kind in ("yes-no", "no-yes")) > 0
    for cls in ("bird", "barn"):
        assert not any(len(positions) for positions in found.classes[cls].changed.values())
        assert found.classes[cls].fidelity["ap"].delta.value == 0
        assert not any(pair.difference for pair in found.classes[cls].weights)


def test_changes_of_agreement_are_those_of_the_comparison_of_steps(small_project: Project) -> None:
    session, fitted = tuned(small_project)
    found = side_by_side(student_side(session, fitted), student_side(session))
    steps = session.compare(fitted, session.node).classes["boat"]
    assert found.rows("a", "boat", "disagree-agree").tolist() == sorted(steps.fixed.tolist())
    assert found.rows("a", "boat", "agree-disagree").tolist() == sorted(steps.broken.tolist())
    for name in ("ap", "f1", "agreement"):
        assert found.classes["boat"].fidelity[name].delta.value == pytest.approx(
            steps.fidelity[name].delta.value
        )
    weights = {w.concept: (w.before, w.after) for w in steps.weights}
    moved = {w.concept: (w.a, w.b) for w in found.classes["boat"].weights if w.a != w.b}
    assert moved == weights


def test_a_student_and_its_teacher_have_no_fidelity_to_compare(small_project: Project) -> None:
    session = small_project.session()
    found = side_by_side(student_side(session), teacher_side(small_project))
    assert found.fidelity is None
    assert found.kinds == ("yes-no", "no-yes", "right-wrong", "wrong-right")
    missed = session.subset("boat", "missed")
    assert found.rows("a", "boat", "no-yes").tolist() == missed.tolist()
    assert found.accuracy["ap"].after == pytest.approx(1)  # the labels are the teacher's answers


def test_projects_are_matched_by_content_whatever_the_names(
    make_project: MakeProject, tmp_path: Path
) -> None:
    source = make_project(n=120)
    pictures = jpeg
    one = rewritten(source, tmp_path / "one", np.arange(0, 90), lambda r: f"a/{r}.jpg", pictures)
    two = rewritten(
        source, tmp_path / "two", np.arange(119, 29, -1), lambda r: f"a/{r + 1}.jpg", pictures
    )  # the names occur in both, for other images
    found = side_by_side(student_side(one.session()), student_side(two.session()))
    assert found.images.matched_by == "content"
    assert found.images.found == 60
    assert found.images.first.tolist() == [r for r in range(30, 90) if source.is_validation[r]]
    assert (found.images.second == 119 - found.images.first).all()
    assert all(not len(positions) for c in found.classes.values() for positions in c.changed.values())
    assert "images with the same content" in " ".join(lines_of(found))


def test_without_pictures_projects_are_matched_by_name(make_project: MakeProject) -> None:
    one, two = make_project(n=120), make_project(n=120, lam=0.02)
    found = side_by_side(student_side(one.session()), student_side(two.session()))
    assert found.images.matched_by == "name"
    assert len(found.images.first) == len(one.validation_rows)
    assert found.classes["boat"].weights


def test_the_same_picture_stored_in_two_ways_is_common_and_another_one_is_not(
    make_project: MakeProject, tmp_path: Path
) -> None:
    source, rows = make_project(n=80), np.arange(80)
    scenes = np.random.default_rng(0).integers(0, 255, (80, 3, 4, 3), np.uint8)

    def stored(side: int, quality: int, negative: bool) -> Callable[[int], bytes]:
        def picture(r: int) -> bytes:
            out = io.BytesIO()
            scene = 255 - scenes[r] if negative and r % 2 == 0 else scenes[r]
            image = Image.fromarray(scene).resize((side, side), Image.Resampling.BICUBIC)
            image.save(out, "JPEG", quality=quality)
            return out.getvalue()

        return picture

    one = rewritten(source, tmp_path / "one", rows, lambda r: f"{r}.jpg", stored(96, 90, False))
    two = rewritten(source, tmp_path / "two", rows, lambda r: f"{r}.jpg", stored(64, 70, True))
    found = side_by_side(student_side(one.session()), student_side(two.session()))
    assert found.images.matched_by == "name"
    assert found.images.found == 40  # those of odd numbers; the others are negatives
    assert (found.images.first % 2 == 1).all()
    three = rewritten(source, tmp_path / "three", rows, lambda r: f"{r + 80}.jpg", stored(64, 70, True))
    with pytest.raises(InputError, match="have no image in common"):
        side_by_side(student_side(one.session()), student_side(three.session()))


def test_images_that_one_side_was_fitted_on_count_only_if_there_are_no_others(
    make_project: MakeProject, tmp_path: Path
) -> None:
    source = make_project(n=100)
    rows, pictures = np.arange(100), jpeg
    one, two = (
        rewritten(source, tmp_path / name, rows, lambda r: f"{r}.jpg", pictures, held)
        for name, held in (("one", rows < 30), ("two", rows >= 70))
    )
    found = side_by_side(student_side(one.session()), student_side(two.session()))
    assert found.images.note == NOT_HELD_OUT
    assert len(found.images.first) == 100
    assert NOT_HELD_OUT in lines_of(found)
    teachers = side_by_side(teacher_side(one), teacher_side(two))
    assert not teachers.images.note
    assert len(teachers.images.first) == 100


def test_exam_images_stay_locked(make_project: MakeProject) -> None:
    project = make_project(n=200, exam=60)
    found = side_by_side(teacher_side(project), teacher_side(project))
    assert len(found.images.first) == len(project) == 140


def lines_of(found: SideBySide) -> list[str]:
    from inficond.core.cli.commands.compare import comparison_lines

    return comparison_lines(found)


# -- the command


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Function that runs the command with --json; it returns the object, or the exit code and the error."""

    def call(*arguments: object) -> Any:
        code = main(["compare", *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        if code:
            assert err.count("\n") == 1
            return code, err.strip()
        return json.loads(out)

    return call


def test_two_steps_by_either_form(make_project: MakeProject, run: Callable[..., Any]) -> None:
    project = make_project()
    session = project.session("main")
    fitted = session.node
    session.apply("boat", MUTE)
    session.name(session.node, "no water")
    three = run(project.path, fitted, "no water")
    two = run(f"{project.path}#{fitted}", f"{project.path}#no water")
    assert (three["a"], three["b"]) == (fitted, session.node)
    assert set(three["classes"]) == {"boat"}
    assert three["side_by_side"] == two
    changed = two["classes"]["boat"]["changed"]
    assert sorted(three["classes"]["boat"]["fixed"]) == sorted(changed["disagree-agree"])
    assert two["mean"]["fidelity"]["ap"]["verdict"] in ("better", "worse", "no clear change")


def test_students_as_files_answer_the_images_of_the_project(
    make_project: MakeProject, run: Callable[..., Any], tmp_path: Path
) -> None:
    project = make_project()
    session, fitted = tuned(project)
    session.students.save(tmp_path / "tuned.safetensors")
    found = run(project.path, tmp_path / "tuned.safetensors")
    direct = side_by_side(student_side(session, fitted), student_side(session))
    ids = [project.image_ids[r] for r in direct.rows("a", "boat", "yes-no")]
    assert found["classes"]["boat"]["changed"]["yes-no"] == ids
    assert found["classes"]["boat"]["weights"]
    code, line = run(tmp_path / "tuned.safetensors", tmp_path / "tuned.safetensors")
    assert code == 2
    assert "has no encoder" in line


def test_tables_of_answers_are_compared(run: Callable[..., Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.5
    for name, noise in (("first.csv", 1.0), ("second.csv", 0.2)):
        p = np.clip(truth + noise * rng.normal(size=200) * 0.5, 0, 1)
        lines = [f"{i}.jpg,{one:.3f},{1 - one:.3f}" for i, one in enumerate(p)]
        (tmp_path / name).write_text("\n".join(["image,boat,bird", *lines]))
    labels = [f"{i}.jpg,{'boat' if yes else 'bird'}" for i, yes in enumerate(truth)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *labels]))
    found = run(tmp_path / "first.csv", tmp_path / "second.csv", "--labels", tmp_path / "labels.csv")
    assert found["images"] == 200
    assert found["mean"]["fidelity"] is None
    assert found["mean"]["accuracy"]["agreement"]["verdict"] == "better"
    assert found["top1"]["verdict"] == "better"
    assert len(found["classes"]["boat"]["changed"]["wrong-right"]) > 20


def test_bad_input_is_one_line(make_project: MakeProject, run: Callable[..., Any], tmp_path: Path) -> None:
    project = make_project(n=60)
    other = make_project(n=60, classes=("car", "cat"))
    nowhere = tmp_path / "nowhere"
    for arguments, part in (
        ((project.path,), "name two sides, as in `inficond compare A B`"),
        ((project.path, other.path), "no class in common: boat, bird, barn and car, cat"),
        ((project.path, nowhere), "nowhere"),
        ((project.path, f"{project.path}#nothing"), "nothing"),
        ((project.path, project.path, "--html", nowhere / "page.html"), "name a file in an existing folder"),
        ((tmp_path / "a.onnx", tmp_path / "b.onnx"), "a.onnx"),
    ):
        code, line = run(*arguments)
        assert code == 2
        assert part in line


def test_two_projects_without_common_images_are_one_line(
    make_project: MakeProject, run: Callable[..., Any], tmp_path: Path
) -> None:
    one = make_project(n=60)
    two = rewritten(one, tmp_path / "two", np.arange(60), lambda r: f"other {r}.jpg", None)
    code, line = run(one.path, two.path)
    assert code == 2
    assert "have no image in common: 60 and 60 images" in line


def test_the_page_is_complete_and_links_cells_to_pictures(
    make_project: MakeProject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project()
    session = project.session("main")
    fitted = session.node
    session.apply("boat", MUTE)
    target = tmp_path / "page.html"
    assert main(["compare", f"{project.path}#{fitted}", str(project.path), "--html", str(target)]) == 0
    assert "no clear change" in capsys.readouterr().out
    text = target.read_text(encoding="utf-8")
    links = set(re.findall(r'href="#(c\d+-[a-z-]+)"', text))
    assert links
    assert links <= set(re.findall(r'id="(c\d+-[a-z-]+)"', text))
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)


def test_names_are_escaped_on_the_page(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(n=60, classes=("<b>boat", "bird"))
    folder = tmp_path / "<img src=x>"
    shutil.copytree(project.path, folder)
    first, second = open_sides(str(folder), f"{folder}#teacher")
    text = render_comparison(side_by_side(first, second))
    assert "&lt;b&gt;boat" in text
    assert "<b>boat" not in text
