"""Sources of images: class folders, tables and metadata, and damaged or unusual sources."""

from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from inficond.core.errors import InputError
from inficond.core.images import ImageSet, open_source

CLASSES = ("daisy", "rose", "tulip")


def photographs(folder: Path, n: int = 12) -> dict[str, str]:
    """Write small pictures into class folders; return class by id."""
    rng = np.random.default_rng(0)
    made = {}
    for i in range(n):
        name = CLASSES[i % 3]
        path = folder / name / f"{i:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(path, quality=90)
        made[f"{name}/{i:03d}.jpg"] = name
    return made


def labels_by_id(images: ImageSet) -> dict[str, str | None]:
    return {r.id: r.labels[0] if r.labels else None for r in images.records}


def notes_of(opened: Callable[[Callable[[str, str], None]], ImageSet]) -> tuple[ImageSet, dict[str, str]]:
    notes: dict[str, str] = {}
    return opened(notes.__setitem__), notes


def test_class_folders_become_labels(tmp_path: Path) -> None:
    want = photographs(tmp_path)
    images = open_source(tmp_path)
    assert labels_by_id(images) == want
    assert images.classes == CLASSES
    assert images.exclusive
    assert images.notes == ("3 class folders: daisy 4, rose 4, tulip 4",)
    np.testing.assert_array_equal(images.label_matrix().sum(axis=0), [4, 4, 4])
    np.testing.assert_array_equal(images.label_matrix(["tulip", "oak"]).sum(axis=0), [4, 0])


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "val"), {"train", "val"}),
        (("train", "validation", "test"), {"train", "val", "test"}),
        (("Training", "valid"), {"train", "val"}),
        (("train2017", "val2017"), {"train", "val"}),
        (("Train_Set", "test set"), {"train", "test"}),
        (("train_images", "testing-data"), {"train", "test"}),
    ],
)
def test_split_folders_above_class_folders(tmp_path: Path, names: tuple[str, ...], splits: set[str]) -> None:
    for name in names:
        photographs(tmp_path / name)
    images = open_source(tmp_path)
    assert images.classes == CLASSES
    assert {r.split for r in images.records} == splits
    assert all(r.labels == (r.id.split("/")[1],) for r in images.records)
    assert any(note.startswith("split: ") for note in images.notes)


def test_flat_folders_and_single_folders_have_no_labels(tmp_path: Path) -> None:
    for id in photographs(tmp_path / "a"):
        (tmp_path / "a" / id).rename(tmp_path / "a" / id.replace("/", "-"))
    for folder in (tmp_path / "a", tmp_path):
        images = open_source(folder)
        assert images.classes == ()
        assert {r.split for r in images.records} == {None}


def test_classes_below_a_single_folder_and_a_class_called_train(tmp_path: Path) -> None:
    photographs(tmp_path / "data" / "images")
    assert open_source(tmp_path).classes == CLASSES
    (tmp_path / "data" / "images" / "daisy").rename(tmp_path / "data" / "images" / "train")
    assert open_source(tmp_path).classes == ("rose", "train", "tulip")


def test_split_folders_without_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for id in photographs(tmp_path / split):
            (tmp_path / split / id).rename(tmp_path / split / id.rpartition("/")[2])
        for name in CLASSES:
            (tmp_path / split / name).rmdir()
    images = open_source(tmp_path)
    assert images.classes == ()
    assert {r.split for r in images.records} == {"train", "test"}
    assert images.notes == ("split: test 12, train 12",)


def test_split_folders_in_each_class_folder(tmp_path: Path) -> None:
    made = photographs(tmp_path / "all")
    for n, id in enumerate(made):
        name, _, file = id.partition("/")
        target = tmp_path / "set" / name / ("test" if n % 3 == 0 else "train") / file
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / id).rename(target)
    images = open_source(tmp_path / "set")
    assert images.classes == CLASSES
    assert all(r.split == r.id.split("/")[1] for r in images.records)


def test_class_folders_that_differ_by_spaces_are_one_class(tmp_path: Path) -> None:
    photographs(tmp_path)
    (tmp_path / "tulip").rename(tmp_path / "rose ")
    images = open_source(tmp_path)
    assert images.classes == ("daisy", "rose")
    assert any("2 folders are called 'rose'" in note for note in images.notes)


def test_unusual_class_folders_are_reported(tmp_path: Path) -> None:
    photographs(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "single").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "single" / "x.png")
    (tmp_path / "rose" / "copy.jpg").write_bytes((tmp_path / "daisy" / "000.jpg").read_bytes())
    Image.new("RGB", (16, 16), "red").save(tmp_path / "loose.png")
    images = open_source(tmp_path)
    said = " | ".join(images.notes)
    assert "class folder 'empty' holds no image" in said
    assert "1 class(es) with one image, first 'single'" in said
    assert "1 image(s) without a label, first 'loose.png'" in said
    assert "1 photograph(s) in more than one class, first 'daisy/000.jpg' and 'rose/copy.jpg'" in said
    groups = {r.group for r in images.records if r.id in ("daisy/000.jpg", "rose/copy.jpg")}
    assert len(groups) == 1
    assert groups != {None}


def test_many_class_folders_are_summarised(tmp_path: Path) -> None:
    picture = tmp_path / "0000" / "a.png"
    picture.parent.mkdir()
    Image.new("RGB", (16, 16)).save(picture)
    for i in range(1, 1000):
        (tmp_path / f"{i:04d}").mkdir()
        (tmp_path / f"{i:04d}" / "a.png").hardlink_to(picture)
    images = open_source(tmp_path)
    assert len(images.classes) == 1000
    assert max(map(len, images.notes)) < 400


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_image_folder_metadata(tmp_path: Path, kind: str) -> None:
    want = photographs(tmp_path)
    rows = [
        (id, name.upper(), "test" if i % 4 == 0 else "train") for i, (id, name) in enumerate(want.items())
    ]
    if kind == "csv":
        text = "file_name,label,split\n" + "".join(f"{i},{n},{s}\n" for i, n, s in rows[:-1])
    else:
        text = "".join(f'{{"file_name": "{i}", "label": "{n}", "split": "{s}"}}\n' for i, n, s in rows[:-1])
    (tmp_path / f"metadata.{kind}").write_text(text)
    images = open_source(tmp_path)
    got = labels_by_id(images)
    assert got.pop(rows[-1][0]) is None
    assert got == {i: n for i, n, _ in rows[:-1]}
    assert {r.id: r.split for r in images.records if r.labels} == {i: s for i, _, s in rows[:-1]}
    assert f"metadata of 11 of 12 images: metadata.{kind}" in images.notes


@pytest.mark.parametrize("kind", ["long", "list", "semicolons", "jsonl"])
def test_tables_of_paths_with_labels(tmp_path: Path, kind: str) -> None:
    want = photographs(tmp_path)
    suffix = "jsonl" if kind == "jsonl" else "csv"
    if kind == "jsonl":
        text = "".join(f'{{"image": "{i}", "label": "{n}"}}\n' for i, n in want.items())
    elif kind == "semicolons":
        text = "Datei;Klasse;label\n" + "".join(f"{i.replace('/', chr(92))};7;{n}\n" for i, n in want.items())
    else:
        head = "path,class" if kind == "long" else "path,labels"
        text = head + "\n" + "".join(f"{i},{n}\n" for i, n in want.items())
    (tmp_path / f"images.{suffix}").write_text(text)
    images = open_source(tmp_path / f"images.{suffix}")
    assert labels_by_id(images) == want
    assert "3 classes in column 'class'" in " ".join(images.notes) or kind != "long"


def test_a_table_with_a_row_for_each_label(tmp_path: Path) -> None:
    want = photographs(tmp_path)
    rows = [f"{id},{name}\n{id},flower\n" for id, name in want.items()]
    (tmp_path / "images.csv").write_text("path,class\n" + "".join(rows))
    images, notes = notes_of(lambda note: open_source(tmp_path / "images.csv", note))
    assert notes == {}
    assert {r.id: r.labels for r in images.records} == {id: (name, "flower") for id, name in want.items()}
    assert not images.exclusive


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    from inficond.core.tables import TableOptions

    photographs(tmp_path)
    (tmp_path / "images.csv").write_text("path,klass\ndaisy/000.jpg,daisy\n")
    for options in (TableOptions(label_columns=("class",)), TableOptions(image_columns=("pat",))):
        with pytest.raises(
            InputError, match=r"images.csv: --(image|label)-column: unknown column .*'(path|klass)'"
        ):
            open_source(tmp_path / "images.csv", options=options)


def test_class_folders_that_differ_in_the_encoding_of_accents_are_one_class(tmp_path: Path) -> None:
    photographs(tmp_path)
    for form, folder in (("NFC", "rose"), ("NFD", "tulip")):
        (tmp_path / folder).rename(tmp_path / normalize(form, "café"))
    images = open_source(tmp_path)
    assert images.classes == ("café", "daisy")
    assert sum(r.labels == ("café",) for r in images.records) == 8
    assert any("accents or spaces in different encodings" in note for note in images.notes)


def test_class_folders_that_differ_in_case_are_reported(tmp_path: Path) -> None:
    photographs(tmp_path)
    (tmp_path / "daisy").rename(tmp_path / "Rose")
    images = open_source(tmp_path)
    assert images.classes == ("Rose", "rose", "tulip")
    assert any("'Rose' and 'rose' differ in case only: they are 2 classes" in note for note in images.notes)
