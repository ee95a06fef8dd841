"""Building of projects: results, resuming after interruptions, and invalid input."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from tests.large_pictures import blank_png

from inficond.core import Project
from inficond.core.checksum import sha256_of
from inficond.core.concepts import concept_vectors, evidence
from inficond.core.errors import Cancelled, InputError
from inficond.core.images import decode
from inficond.core.models import load_teacher
from inficond.core.progress import Silent
from inficond.core.project import files

ARRAYS = (
    files.CONCEPT_VECTORS, files.RESPONSES, files.REGIONS, files.ASSIGNMENT, files.BOXES,
    files.CONCEPT_EMBEDDINGS, files.STUDENTS, files.BASELINE, files.IMAGES,
)  # fmt: skip


def checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of every array and every thumbnail."""
    found = {name: sha256_of(folder / name) for name in ARRAYS}
    return found | {
        str(p.relative_to(folder)): sha256_of(p) for p in sorted((folder / "thumbnails").rglob("*.jpg"))
    }


@pytest.fixture(scope="module")
def built(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.create(**tiny.arguments(tmp_path_factory.mktemp("built") / "out"))


def test_project_arrays_follow_their_definitions(built: Project, tiny: Any) -> None:
    from tests.tiny_models import embedding

    assert len(built) == 300
    assert built.image_ids == sorted(built.image_ids)
    assert set(built.classes) == {"red", "green", "blue"}
    np.testing.assert_array_equal(
        np.asarray(built.X), concept_vectors(np.asarray(built.region_embeddings), built.concept_embeddings)
    )
    teacher = load_teacher(tiny.teacher, "cpu", threads=1)
    for row in (0, 7, 299):
        picture = decode(built.image_path(row))
        expected = teacher.respond(teacher.preprocess(picture)[None])[0]
        np.testing.assert_allclose(
            built.T[row], [expected[teacher.labels.index(c)] for c in built.classes], atol=1e-5
        )
        side = min(picture.shape[:2])
        left = (picture.shape[1] - side) // 2
        quarter = picture[: side // 2, left : left + side // 2].reshape(-1, 3).mean(0) / 255
        assert built.regions(row)[0].astype(float) @ embedding(quarter) > 0.999
        assert max(built.thumbnail_image(row).size) <= 256
    assert built.verify() == []
    assert 0.2 < built.is_validation.mean() < 0.4


def test_exam_images_are_the_last_rows_and_equal_those_of_two_parts(
    built: Project, tiny: Any, tmp_path: Path
) -> None:
    project = Project.create(**tiny.arguments(tmp_path / "out", exam=True))
    exam = project.exam
    assert exam is not None
    assert (len(project), len(exam)) == (240, 60)
    assert len(project.validation_rows) == pytest.approx(60, abs=3)
    assert set(exam.image_ids).isdisjoint(project.image_ids)
    ids = [*project.image_ids, *exam.image_ids]
    order = [built.image_ids.index(i) for i in ids]
    assert sorted(order) == list(range(300))
    np.testing.assert_array_equal(np.vstack([project.T, exam.T]), np.asarray(built.T)[order])
    regions = np.concatenate([project.region_embeddings, exam.read_regions()])
    np.testing.assert_array_equal(regions, np.asarray(built.region_embeddings)[order])
    np.testing.assert_array_equal(
        np.vstack([project.X, exam.X]), concept_vectors(regions, project.concept_embeddings)
    )
    for row in (0, 100, 239):
        assert project.thumbnail_bytes(row) == built.thumbnail_bytes(order[row])
        assert project.image_path(row) == built.image_path(order[row])
        np.testing.assert_array_equal(project.assignment(row), built.assignment(order[row]))
    assert project.verify() == []
    assert any("60 for the exam" in choice for choice in project.config["choices"])


def test_students_are_faithful_and_evidence_is_in_the_right_region(built: Project) -> None:
    S = built.students.predict(built.X)
    held = built.validation_rows
    assert np.mean((S[held] > 0.5) == (built.T[held] > 0.5)) > 0.9
    red = built.concepts.index("red")
    row = int(np.argmax(built.X[:, red]))
    found = evidence(built.regions(row), built.assignment(row), built.concept_embeddings[red])
    assert found.score == pytest.approx(float(built.X[row, red]), abs=1e-6)
    assert found.mask[built.assignment(row) == found.region].all()
    left, top, right, bottom = built.boxes[row, found.region]
    assert found.mask[round(top * 4) : round(bottom * 4), round(left * 4) : round(right * 4)].all()


def test_a_finished_project_is_not_rebuilt_or_overwritten(built: Project, tiny: Any) -> None:
    before = {p: p.stat().st_mtime_ns for p in built.path.rglob("*") if p.is_file()}
    Project.create(**tiny.arguments(built.path))
    assert {p: p.stat().st_mtime_ns for p in built.path.rglob("*") if p.is_file()} == before
    with pytest.raises(InputError, match="already holds a project"):
        Project.create(**tiny.arguments(built.path, lam=0.1))


COMMAND = """
import os, signal, sys
from inficond.core.cli.main import main
from inficond.core.pipeline.shards import ShardStore
save = ShardStore.save
def save_and_die(self, sources, shard):
    save(self, sources, shard)
    os.kill(os.getpid(), signal.SIGKILL)
ShardStore.save = save_and_die
raise SystemExit(main(sys.argv[1:]))
"""
"""The command, which is killed when it has written the first shard."""


def distill(tiny: Any, out: Path, *more: str, killed: bool = False) -> subprocess.Popen[str]:
    start = [sys.executable, "-c", COMMAND] if killed else [sys.executable, "-m", "inficond.core.cli.main"]
    return subprocess.Popen(
        [*start, "distill", str(tiny.photos), "--out", str(out), "--encoder", str(tiny.encoder), "--teacher",
         str(tiny.teacher), "--concepts", str(tiny.words), "--provider", "cpu", "--no-cache", "--no-exam",
         "--json", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_build_resumes_to_the_same_bytes(built: Project, tiny: Any, tmp_path: Path) -> None:
    out, pieces = tmp_path / "out", tmp_path / "out" / ".build" / "shards"
    process = distill(tiny, out, killed=True)
    complaints = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, complaints
    assert not (out / files.PROJECT).exists()
    with pytest.raises(InputError, match="not finished: run the same"):
        Project.open(out)
    finished = {p.name: p.stat().st_mtime_ns for p in pieces.glob("*.npz")}
    half = sorted(pieces.glob("*.npz"))[0]
    assert 0 < len(finished) < 3

    (pieces / (half.name + ".rubbish")).write_bytes(b"left over")
    process = distill(tiny, out, "--workers", "1")
    printed, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert json.loads(printed)["reused"] >= 128 * len(finished) - 84
    assert checksums(out) == checksums(built.path)
    assert not (out / files.BUILD).exists()


@pytest.mark.parametrize("fault", ["cut", "flip", "empty"])
def test_a_damaged_shard_is_rebuilt(tiny: Any, built: Project, tmp_path: Path, fault: str) -> None:
    class StopAfterEncoding(Silent):
        def start(self, stage: str, total: int, done: int = 0) -> None:
            super().start(stage, total, done)
            if stage == "concept vectors":
                raise Cancelled("here")

    out = tmp_path / "out"
    with pytest.raises(Cancelled):
        Project.create(**tiny.arguments(out, progress=StopAfterEncoding()))
    piece = sorted((out / ".build" / "shards").glob("*.npz"))[0]
    data = bytearray(piece.read_bytes())
    if fault == "flip":
        data[len(data) // 2] ^= 1
    piece.write_bytes({"cut": data[: len(data) // 2], "flip": data, "empty": b""}[fault])
    Project.create(**tiny.arguments(out))
    assert checksums(out) == checksums(built.path)


def test_a_cancelled_build_keeps_finished_shards(tiny: Any, tmp_path: Path) -> None:
    class StopAt150(Silent):
        def advance(self, n: int = 1) -> None:
            super().advance(n)
            if self.remaining.done >= 150 and self.stage.endswith("encoding images"):
                self.cancel()

    out = tmp_path / "out"
    with pytest.raises(Cancelled):
        Project.create(**tiny.arguments(out, progress=StopAt150()))
    assert len(list((out / ".build" / "shards").glob("*.npz"))) == 1
    assert Project.create(**tiny.arguments(out)).config["source"]["reused"] == 128


def test_two_builds_in_one_folder_are_refused(tiny: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out" / files.BUILD
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"), pytest.raises(InputError, match="another process"):
        Project.create(**tiny.arguments(tmp_path / "out"))


def test_unreadable_files_are_skipped_and_listed(tiny: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(tiny.photos / "a", photos)
    whole = (photos / "00001.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_text("I am no picture")
    Image.new("RGB", (1, 1)).save(photos / "dot.png")
    (photos / "huge.png").write_bytes(blank_png(20_000, 20_000))
    Image.new("CMYK", (64, 64), (0, 200, 200, 0)).save(photos / "print.jpg")
    Image.fromarray(np.full((64, 64), 40_000, np.uint16)).save(photos / "deep.png")
    frames = [Image.new("RGB", (64, 64), c) for c in ("red", "blue")]
    frames[0].save(photos / "moving.gif", save_all=True, append_images=frames[1:])
    (photos / "again").symlink_to(photos, target_is_directory=True)
    progress = Silent()
    project = Project.create(**tiny.arguments(tmp_path / "out", images=photos, progress=progress))
    source = project.config["source"]
    reasons = dict(map(tuple, source["skipped_files"]))
    assert reasons == {
        "again": "a symbolic link to a folder already searched",
        "cut.jpg": "truncated file",
        "dot.png": "too small (1×1 pixels; 8 is the least)",
        "empty.jpg": "empty file (0 bytes)",
        "huge.png": reasons["huge.png"],
        "text.jpg": "a text file, not a picture; download the picture again",
    }
    assert reasons["huge.png"].startswith("too large")
    assert source["skipped"] == 6
    assert sorted(source["notes"]) == [
        "deep.png: reduced to 8 bits per channel",
        "moving.gif: the first frame is used",
        "print.jpg: CMYK converted to RGB",
    ]
    assert {"deep.png", "moving.gif", "print.jpg"} <= set(project.image_ids)
    assert not reasons.keys() & set(project.image_ids)
    assert len(project) == 150 + 3
    assert all(f"skipped {name}: {reason}" in progress.notes for name, reason in reasons.items())
    red = project.concepts.index("red")
    assert project.X[project.image_ids.index("moving.gif"), red] > 0.9


def test_an_unreadable_file_is_read_again_by_the_next_run(tiny: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(tiny.photos / "a", photos)
    os.symlink(tmp_path / "not-there-yet.jpg", photos / "later.jpg")
    first = Project.create(**tiny.arguments(tmp_path / "one", images=photos))
    assert dict(map(tuple, first.config["source"]["skipped_files"])) == {
        "later.jpg": "cannot be read: No such file or directory"
    }
    shutil.copy(photos / "00001.jpg", tmp_path / "not-there-yet.jpg")
    assert "later.jpg" in Project.create(**tiny.arguments(tmp_path / "two", images=photos)).image_ids


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def responses(project: Project, path: Path, more: str = "") -> Path:
    rows = [
        f"{id},{name},{project.T[i, c]:.5f}"
        for i, id in enumerate(project.image_ids)
        for c, name in enumerate(project.classes)
    ]
    return table(path, "image,class,probability\n" + "\n".join(rows) + "\n" + more)


def test_a_file_of_responses_equals_the_teacher(built: Project, tiny: Any, tmp_path: Path) -> None:
    more = "absent.jpg,red,0.5\n" + f"{built.image_ids[0]},red,{built.T[0, built.classes.index('red')]:.5f}\n"
    teacher = responses(built, tmp_path / "r.csv", more)
    labels = table(
        tmp_path / "l.csv",
        "image,Red,green,absent\n"
        + "\n".join(
            f"{id},{int(built.T[i, built.classes.index('red')] > 0.5)},,"
            for i, id in enumerate(built.image_ids[:200])
        )
        + "\nnowhere.jpg,1,0,0\n",
    )
    project = Project.create(**tiny.arguments(tmp_path / "out", teacher=str(teacher), labels=labels))
    order = [project.classes.index(c) for c in built.classes]
    np.testing.assert_allclose(np.asarray(project.T)[:, order], built.T, atol=1e-5)
    red = project.labels[:, project.classes.index("red")]
    assert np.isnan(red[200:]).all()
    assert set(red[:200]) == {0.0, 1.0}
    assert np.isnan(project.labels[:, project.classes.index("blue")]).all()
    notes = " | ".join(project.config["source"]["notes"])
    for said in (
        "r.csv: 1 repeated row(s) with the same values ignored",
        "r.csv: responses for 1 missing image(s) ignored, first 'absent.jpg'",
        "l.csv: labels for 1 image(s) ignored that are missing or not usable, first 'nowhere.jpg'",
        "l.csv: no labels for 100 image(s)",
        "l.csv: no labels for the class(es) blue",
    ):
        assert said in notes, notes


def test_images_without_a_response_are_skipped(built: Project, tiny: Any, tmp_path: Path) -> None:
    lines = responses(built, tmp_path / "r.csv").read_text().splitlines()
    teacher = table(tmp_path / "r.csv", "\n".join([lines[0], *lines[4:]]))
    project = Project.create(**tiny.arguments(tmp_path / "out", teacher=str(teacher)))
    assert len(project) == 299
    assert project.config["source"]["skipped_files"] == [[built.image_ids[0], "no response in r.csv"]]


def test_a_constant_class_is_skipped_and_reported(built: Project, tiny: Any, tmp_path: Path) -> None:
    more = "".join(f"{id},ghost,0.25\n" for id in built.image_ids)
    project = Project.create(
        **tiny.arguments(tmp_path / "out", teacher=str(responses(built, tmp_path / "r.csv", more)))
    )
    assert "ghost" not in project.classes
    assert any(
        "'ghost' left out: the teacher's response is 0.25" in n for n in project.config["source"]["notes"]
    )
    lone = table(tmp_path / "c.csv", "image,ghost\n" + "".join(f"{id},0.25\n" for id in built.image_ids))
    with pytest.raises(InputError, match="nothing to learn"):
        Project.create(**tiny.arguments(tmp_path / "out2", teacher=str(lone)))


def notes_of(project: Project) -> list[str]:
    notes: list[str] = project.config["source"]["notes"]
    return notes


def wide_table(ids: Sequence[str], path: Path, common: int) -> Path:
    """Write a table of 21 classes: the common ones are sure of every fifth image, each other one of three."""
    lines = [f"image,{','.join(f'class {c}' for c in range(21))}"]
    for i, id in enumerate(ids):
        sure = [i % 5 == c if c < common else i // 3 == c for c in range(21)]
        lines.append(",".join([id, *("0.9" if yes else "0.1" for yes in sure)]))
    return table(path, "\n".join(lines))


def test_classes_that_few_images_show_are_left_out_by_default(
    built: Project, tiny: Any, tmp_path: Path
) -> None:
    teacher = wide_table(built.image_ids, tmp_path / "r.csv", common=3)
    project = Project.create(**tiny.arguments(tmp_path / "out", teacher=str(teacher)))
    assert sorted(project.classes) == ["class 0", "class 1", "class 2"]
    assert any("sure of them on fewer than 5 images: class 3, " in n for n in notes_of(project))


def test_a_teacher_whose_classes_hardly_fit_the_images_is_reported(
    built: Project, tiny: Any, tmp_path: Path
) -> None:
    teacher = wide_table(built.image_ids, tmp_path / "r.csv", common=1)
    project = Project.create(**tiny.arguments(tmp_path / "out", teacher=str(teacher)))
    assert len(project.classes) == 20
    assert any("WARNING: only 'class 0' has a probability of at least 0.5" in n for n in notes_of(project))


def test_classes_are_groups_whose_probabilities_are_summed(built: Project, tiny: Any, tmp_path: Path) -> None:
    sets = {"warm": ["red", "GREEN"], "cold": "blue"}
    path = table(tmp_path / "classes.json", json.dumps(sets))
    project = Project.create(**tiny.arguments(tmp_path / "out", classes=path))
    assert project.classes == ["warm", "cold"]
    of = {c: np.asarray(built.T[:, i]) for i, c in enumerate(built.classes)}
    np.testing.assert_allclose(project.T[:, 0], of["red"] + of["green"], atol=1e-6)


def test_softmax_students_sum_to_one(built: Project, tiny: Any, tmp_path: Path) -> None:
    project = Project.create(**tiny.arguments(tmp_path / "out", link="softmax"))
    np.testing.assert_allclose(np.asarray(project.T).sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(project.students.predict(project.X).sum(1), 1, atol=1e-5)


def test_groups_and_split_are_read_from_a_csv(tiny: Any, tmp_path: Path) -> None:
    paths = sorted(tiny.photos.rglob("*.jpg"))[:60]
    rows = [f"{p},g{i // 2},{'val' if i % 6 < 2 else 'train'}" for i, p in enumerate(paths)]
    listed = table(tmp_path / "images.csv", "path,group,split\n" + "\n".join(rows))
    project = Project.create(**tiny.arguments(tmp_path / "out", images=listed))
    for row in range(len(project)):
        i = paths.index(project.image_path(row))
        assert project.image_groups[row] == f"g{i // 2}"
        assert project.is_validation[row] == (i % 6 < 2)


REFUSED = [
    ({"images": "empty"}, "no images in"),
    ({"images": "missing"}, "No such file"),
    ({"images": "text-only"}, "none of the 1 images .* can be used; the first is x.jpg: a text file"),
    ({"images": "few"}, "2 usable images"),
    ({"images": "six", "classes": {f"c{i}": ["red"] for i in range(7)}}, "6 images for 7 classes"),
    ({"classes": {"a": ["rad"]}}, "unknown teacher label 'rad': did you mean 'red'"),
    ({"classes": {"a": []}}, "'a' needs a list of teacher labels"),
    ({"classes": {}}, "lists no classes"),
    ({"classes": "nowhere.json"}, "no class file nowhere.json"),
    ({"classes": "groups"}, "no groups of labels"),
    ({"labels": "conflict"}, "line 3: image 'a/00001.jpg' is there twice"),
    ({"labels": "halves"}, "0.5 is not a label"),
    ({"labels": "strangers"}, "names none of the images"),
    ({"teacher": "logits"}, "3.5 is not a probability from 0 to 1.*--values"),
    ({"teacher": "strangers"}, "names none of the images"),
    ({"teacher": "no/where.csv"}, "no file"),
    ({"teacher": "encoder"}, "is an encoder, not a teacher"),
    ({"encoder": "words"}, "is a file, not a model folder"),
    ({"concepts": "nowhere.txt"}, "nowhere.txt"),
    ({"provider": "warp"}, "unknown provider 'warp'"),
    ({"lam": float("nan")}, "must be a finite number"),
    ({"link": "tanh"}, "sigmoid or softmax"),
    ({"out": "occupied"}, "holds other files"),
    ({"out": "words"}, "is a file"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[m[:40] for _, m in REFUSED])
def test_invalid_options_raise_one_line(
    tiny: Any, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    for name in ("empty", "text-only", "few", "six", "occupied"):
        (tmp_path / name).mkdir()
    (tmp_path / "text-only" / "x.jpg").write_text("text")
    (tmp_path / "occupied" / "diary.txt").write_text("mine")
    for i, photo in enumerate(sorted((tiny.photos / "a").glob("*.jpg"))[:6]):
        shutil.copy(photo, tmp_path / "six")
        if i < 2:
            shutil.copy(photo, tmp_path / "few")
    stand_ins: dict[str, object] = {
        name: tmp_path / name for name in ("empty", "missing", "text-only", "few", "six", "occupied")
    }
    stand_ins |= {
        "conflict": table(tmp_path / "conflict.csv", "image,red\na/00001.jpg,1\na/00001.jpg,0\n"),
        "halves": table(tmp_path / "halves.csv", "image,red\na/00001.jpg,0.5\n"),
        "logits": table(tmp_path / "logits.csv", "image,red\na/00001.jpg,3.5\n"),
        "encoder": tiny.encoder,
        "words": tiny.words,
    }
    stranger = table(tmp_path / "strangers.csv", "image,red\nstranger.jpg,1\nother.jpg,0\n")
    resolved = {
        key: str(stranger)
        if value == "strangers"
        else stand_ins.get(value, value)
        if isinstance(value, str)
        else value
        for key, value in given.items()
    }
    if "teacher" in resolved:
        resolved["teacher"] = str(resolved["teacher"])
    with pytest.raises(InputError, match=message) as caught:
        Project.create(**tiny.arguments(tmp_path / "out", **{k: v for k, v in resolved.items() if k != "out"})
                       | {k: v for k, v in resolved.items() if k == "out"})  # fmt: skip
    assert "\n" not in str(caught.value)
    assert (tmp_path / "occupied" / "diary.txt").read_text() == "mine"


def test_the_command_exits_with_2_on_invalid_input(tiny: Any, tmp_path: Path) -> None:
    process = distill(tiny, tmp_path / "out", "--labels", str(tmp_path / "none.csv"))
    printed, complaints = process.communicate()
    assert process.returncode == 2
    assert printed == ""
    assert complaints.strip().splitlines() == [
        f"inficond distill: there is no file {tmp_path / 'none.csv'}: check the path"
    ]
