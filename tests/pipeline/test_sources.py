"""The same photographs through every kind of source give the same project."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.images import test_source_kinds as kinds

from inficond.core import Project

PHOTOGRAPHS = 300
EXAM = 60
"""Photographs of the exam part: a fifth."""
KINDS = [
    kinds.by_folder, kinds.by_csv, kinds.by_jsonl, kinds.by_parquet, kinds.by_load_dataset,
    kinds.by_webdataset, kinds.by_coco, kinds.by_yolo, kinds.by_url_of_folder,
]  # fmt: skip


def photographs(tiny: Any, folder: Path, n: int = 24) -> dict[str, str]:
    """Some of the small photographs in class folders that are named like the teacher's labels."""
    made = {}
    for i, path in enumerate(sorted(tiny.photos.rglob("*.*"))[:n]):
        name = ("blue", "green", "red")[i % 3]
        (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name / f"{i:03d}.jpg")
        made[f"{name}/{i:03d}.jpg"] = name
    return made


@pytest.fixture(scope="module")
def want(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("want")
    photographs(tiny, root / "photos", PHOTOGRAPHS)
    return build(tiny, root / "out", root / "photos")


def build(tiny: Any, out: Path, images: Any) -> Project:
    return Project.create(
        **tiny.arguments(out, images=images, baseline=False, lam=0.01, cache=False, exam=True)
    )


@pytest.mark.parametrize("door", KINDS)
def test_every_kind_of_source_gives_the_same_project(
    tiny: Any,
    want: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    door: Callable[[Path, dict[str, str], Path], Any],
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(kinds, "CLASSES", ("blue", "green", "red"))
    monkeypatch.setattr(kinds, "open_source", opened.append)
    made = photographs(tiny, tmp_path / "photos", PHOTOGRAPHS)
    (tmp_path / "at").mkdir()
    door(tmp_path / "photos", made, tmp_path / "at")
    check(build(tiny, tmp_path / "out", opened[0]), want, same_ids=door is not kinds.by_yolo)


def test_a_url_gives_the_same_project(tiny: Any, want: Project, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    photographs(tiny, tmp_path / "photos", PHOTOGRAPHS)
    with kinds.served(tmp_path / "photos") as url:
        check(build(tiny, tmp_path / "out", url + "/"), want)


def check(project: Project, want: Project, same_ids: bool = True) -> None:
    """Compare two projects to the bit."""
    assert project.exam is not None
    assert (len(project), len(project.exam)) == (PHOTOGRAPHS - EXAM, EXAM)
    if same_ids:
        assert project.image_ids == want.image_ids
    assert project.classes == want.classes
    np.testing.assert_array_equal(np.asarray(project.X), np.asarray(want.X))
    np.testing.assert_array_equal(np.asarray(project.T), np.asarray(want.T))
    np.testing.assert_array_equal(np.asarray(project.labels), np.asarray(want.labels))
    assert not np.isnan(np.asarray(want.labels)).all()
    notes = " | ".join(project.config["source"]["notes"])
    assert "3 " in notes
    assert "blue 100, green 100, red 100" in notes


def test_the_split_and_the_labels_of_a_folder_are_used(tiny: Any, tmp_path: Path) -> None:
    made = photographs(tiny, tmp_path / "all", 48)
    for i, id in enumerate(made):
        path = tmp_path / "photos" / ("test" if i % 4 == 0 else "train") / id
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / id).rename(path)
    project = Project.create(**tiny.arguments(tmp_path / "out", images=tmp_path / "photos", baseline=False))
    held_out = [project.image_ids[row] for row in project.validation_rows]
    assert sorted(held_out) == sorted(id for id in project.image_ids if id.startswith("test/"))
    for row, id in enumerate(project.image_ids):
        expected = [float(name == id.split("/")[1]) for name in project.classes]
        known = ~np.isnan(project.labels[row])
        assert np.asarray(project.labels[row])[known].tolist() == np.array(expected)[known].tolist()
    notes = " | ".join(project.config["source"]["notes"])
    assert "3 class folders" in notes
    assert "12 test images of the source are used for validation" in notes


def test_damaged_images_of_any_source_are_skipped(tiny: Any, tmp_path: Path) -> None:
    made = photographs(tiny, tmp_path / "photos")
    first = next(iter(made))
    (tmp_path / "photos" / first).write_bytes(b"no image")
    table = kinds.arrow_table(tmp_path / "photos", dict.fromkeys(made, "daisy"))
    kinds.pq.write_table(table, tmp_path / "t.parquet")
    arrays = list(np.random.default_rng(0).integers(0, 256, (6, 20, 20, 3), np.uint8))
    reason = "a text file, not a picture; download the picture again"
    for images, skipped in (
        (tmp_path / "t.parquet", [[first, reason]]),
        ([*arrays, b"no image", Image.new("RGB", (30, 30))], [["000006", reason]]),
    ):
        out = tmp_path / f"out {len(skipped[0][0])}"
        project = Project.create(**tiny.arguments(out, images=images, baseline=False))
        assert project.config["source"]["skipped_files"] == skipped
        assert project.thumbnail_bytes(0)
