"""Bad labelled sources end in one line, or cost only the images or classes concerned."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inficond.core import InputError, Project
from inficond.core.cli.main import main


def write_classes(folder: Path, n: int = 8) -> Path:
    """Write noisy images of two colours into two class folders."""
    rng = np.random.default_rng(0)
    for name, colour in (("blue", (40, 60, 200)), ("red", (200, 50, 40))):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = np.asarray(colour) + rng.normal(0, 25, (40, 40, 3))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def create(tiny: Any, tmp_path: Path, images: Path, **options: Any) -> Project:
    arguments = tiny.arguments(tmp_path / "out", images=images, teacher="probe", lam=0.01, baseline=False)
    return Project.create(**{**arguments, **options})


def test_small_empty_and_overlapping_classes(tiny: Any, tmp_path: Path) -> None:
    photos = write_classes(tmp_path / "photos")
    (photos / "single").mkdir()
    Image.new("RGB", (40, 40), (250, 240, 20)).save(photos / "single" / "only.png")
    (photos / "empty").mkdir()
    shutil.copyfile(photos / "red" / "0.png", photos / "blue" / "copy of red.png")
    project = create(tiny, tmp_path, photos)
    said = " | ".join([*project.config["source"]["notes"], *project.config["choices"]])
    assert project.classes == ["blue", "red"]
    assert "class 'single' left out: it has 1 labelled image, and a class needs two" in said
    assert "class folder 'empty' holds no image" in said
    assert "1 photograph(s) in more than one class" in said
    both = [project.image_ids.index(id) for id in ("red/0.png", "blue/copy of red.png")]
    assert len(set(project.is_validation[both].tolist())) == 1


def test_five_thousand_class_folders_with_one_image_each(tiny: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    picture = sorted(tiny.photos.rglob("*.jpg"))[0]
    for i in range(5000):
        (photos / f"class {i:04d}").mkdir(parents=True)
        (photos / f"class {i:04d}" / "0.jpg").hardlink_to(picture)
    with pytest.raises(InputError, match="no class has two labelled images"):
        create(tiny, tmp_path, photos)


def test_labels_of_images_that_are_missing(tiny: Any, tmp_path: Path) -> None:
    photos = write_classes(tmp_path / "photos")
    rows = [f"{name}/{i}.png,{name}" for name in ("blue", "red") for i in range(8)]
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label\n" + "\n".join([*rows, "gone.png,red"]))
    project = create(tiny, tmp_path, photos, labels=labels)
    notes = " | ".join(project.config["source"]["notes"])
    assert "labels for 1 image(s) ignored that are missing or not usable, first 'gone.png'" in notes
    assert len(project) == 16


def test_split_folders_without_classes_need_another_teacher(tiny: Any, tmp_path: Path) -> None:
    photos = write_classes(tmp_path / "photos")
    for old, new in (("blue", "train"), ("red", "test")):
        (photos / old).rename(photos / new)
    with pytest.raises(InputError, match="these images have no labels: put them into one folder per class"):
        create(tiny, tmp_path, photos)
    project = create(tiny, tmp_path, photos, teacher=tiny.teacher)
    assert {project.image_ids[row].split("/")[0] for row in project.validation_rows} == {"test"}


def test_a_column_that_does_not_exist_is_refused_before_anything_is_made(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_classes(tmp_path / "photos")
    table = tmp_path / "photos" / "t.csv"
    table.write_text("picture,kind\n" + "\n".join(f"red/{i}.png,red" for i in range(8)))
    given = ["distill", str(table), "--out", str(tmp_path / "out"), "--encoder", str(tiny.encoder)]
    assert main([*given, "--image-column", "pictrue"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "'pictrue'" in error
    assert "picture" in error
    assert not list((tmp_path / "out").rglob("*.npz"))
    assert photos.is_dir()
