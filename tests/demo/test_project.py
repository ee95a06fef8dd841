"""The built-in project: content, size, and creation in the cache by several processes."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.demo.material import ASSETS
from inficond.core.demo.plan import HABITAT, scenes
from inficond.core.demo.project import BASELINE, STUDENTS, scene_file
from inficond.core.demo.words import WATER
from inficond.core.errors import InputError
from inficond.core.students import Students


def test_the_assets_have_at_most_6_megabytes():
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) <= 6_000_000


def test_the_project_contains_the_planned_scenes(project):
    plan = scenes()
    assert project.image_ids == [scene.id for scene in plan]
    assert list(project.image_groups) == [scene.cutout for scene in plan]
    assert project.is_validation.tolist() == [scene.split == "val" for scene in plan]
    assert project.classes == list(HABITAT)
    truth = [project.classes[k] for k in np.asarray(project.labels).argmax(axis=1)]
    assert truth == [scene.klass for scene in plan]


def test_checksums_match(project):
    project.verify()


def test_images_are_the_rendered_scenes(project):
    for row in (0, 599, 1199):
        assert Path(project.image_path(row)).read_bytes() == scene_file(scenes()[row])
        with project.thumbnail_image(row) as picture:
            assert picture.size == (256, 256)


def test_the_shipped_students_are_fits_of_the_shipped_arrays(project):
    from inficond.core.students.distil import distil

    shipped, training = project.students, ~project.is_validation
    again, _ = distil(
        project.X[training], project.T[training], project.classes, project.concepts, lam=shipped.lam
    )
    assert np.abs(shipped.predict(project.X) - again.predict(project.X)).max() < 0.02
    assert list(shipped.concepts) == project.concepts
    assert Students.load(STUDENTS).nec().min() > 0
    assert Students.load(BASELINE).n_classes == len(project.classes)


def test_the_teacher_is_right_on_nine_of_ten_scenes(project):
    truth = np.asarray(project.labels).argmax(axis=1)
    assert (np.asarray(project.T).argmax(axis=1) == truth).mean() >= 0.9


def test_water_words_are_one_group(project):
    grouped = {word for word, group in zip(project.concepts, project.concept_groups) if group == "water"}
    assert {"water", "sea", "river", "lake"} <= grouped <= WATER


def test_a_second_call_returns_the_same_folder_with_its_files(tmp_path, monkeypatch):
    built = demo_project()
    first = shutil.copytree(built, tmp_path / built.name)
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path))
    (first / "mark").write_text("here")
    assert demo_project() == first
    assert (first / "mark").exists()

    # Half of it is gone: a new one is made, what was there is put aside.
    (first / "project.json").unlink()
    assert demo_project() == first
    assert Project.open(first).image_ids
    assert [path for path in tmp_path.glob("*damaged*/mark") if path.read_text() == "here"]


def test_concurrent_processes_get_one_complete_project(tmp_path):
    code = (
        "from inficond.core.demo import demo_project; from inficond.core import Project;"
        "path = demo_project(); Project.open(path); print(path)"
    )
    env = {**os.environ, "INFICOND_CACHE": str(tmp_path)}

    def ask(_: int) -> str:
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    with ThreadPoolExecutor(2) as pool:
        found = set(pool.map(ask, range(2)))
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == [Path(found.pop()).name]


def test_a_temporary_folder_is_used_until_a_cache_can_be_written(tmp_path, monkeypatch):
    """Regression: a demo in the temporary folder was preferred for ever."""
    blocked, temporary = tmp_path / "file", tmp_path / "tmp"
    blocked.write_text("no folder")
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("INFICOND_CACHE", str(blocked / "cache"))
    fallback = demo_project()
    assert fallback.is_relative_to(temporary)
    assert demo_project() == fallback, "used again while the cache cannot be written"
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    assert demo_project().is_relative_to(tmp_path / "cache")


def test_no_temporary_folder_either_is_one_line(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("INFICOND_CACHE", str(blocked / "cache"))

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    with pytest.raises(InputError, match="set INFICOND_CACHE"):
        demo_project()


def test_no_writable_folder_is_one_line(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("INFICOND_CACHE", str(blocked / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    with pytest.raises(InputError, match="set INFICOND_CACHE"):
        demo_project()


def test_a_temporary_folder_that_others_can_write_to_is_not_used(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    (tmp_path / f"inficond-{owner}").mkdir(mode=0o777)
    (tmp_path / f"inficond-{owner}").chmod(0o777)
    monkeypatch.setenv("INFICOND_CACHE", str(blocked / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputError):
        demo_project()


@pytest.mark.nightly
def test_a_rebuild_gives_the_shipped_files(tmp_path):
    from inficond.core.demo.build import build_demo
    from inficond.core.demo.packed import unpack_bytes, unpack_regions

    build_demo(tmp_path)
    with np.load(ASSETS / "arrays.npz") as ours, np.load(tmp_path / "arrays.npz") as made:
        shipped, built = (
            unpack_regions({key: file[f"regions_{key}"] for key in ("shape", "axes", "codes")})
            for file in (ours, made)
        )
        cosine = (shipped.astype(np.float32) * built.astype(np.float32)).sum(axis=2)
        # Integer kernels differ between processors: most regions are the same, none is another one.
        assert np.quantile(cosine, 0.01) > 0.98
        assert np.abs(ours["teacher"] - made["teacher"]).mean() < 0.02
        cells = 1200 * int(np.prod(json.loads((ASSETS / "project.json").read_text())["grid"]))
        same = unpack_bytes(ours["assignment"], cells) == unpack_bytes(made["assignment"], cells)
        assert same.mean() > 0.97
    theirs, mine = Students.load(tmp_path / "students.safetensors"), Students.load(STUDENTS)
    assert theirs.concepts == mine.concepts
    cosines = (theirs.weights * mine.weights).sum(axis=1) / (
        np.linalg.norm(theirs.weights, axis=1) * np.linalg.norm(mine.weights, axis=1)
    )
    assert cosines.min() > 0.9
