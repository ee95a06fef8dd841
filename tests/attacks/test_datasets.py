"""Data sets of strangers: no endless read, no memory beyond a limit, no file outside of the data set."""

import io
import json
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inficond.core.errors import InputError
from inficond.core.images import ImageSet, UnreadableImage, open_source
from inficond.core.models.graph_file import read_graph
from inficond.core.tables import read_table

pa = pytest.importorskip("pyarrow")
MANY_DIGITS = "9" * 5000
"""A number that Python refuses to convert."""


def picture(colour: int = 0) -> bytes:
    """Return a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), colour, np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    """Write a tar archive."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_yolo(folder: Path, config: str, label: str = "0") -> Path:
    """Write a data set of one image in the YOLO form."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "images" / "a.png").write_bytes(picture())
    (folder / "labels" / "a.txt").write_text(f"{label} 0.5 0.5 0.1 0.1\n")
    (folder / "data.yaml").write_text(config)
    return folder


def write_coco(file: Path, names: list[str]) -> Path:
    """Write a COCO annotation file of images with these names."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    annotations = [{"image_id": i, "category_id": 0} for i in range(len(names))]
    file.parent.mkdir(parents=True, exist_ok=True)
    categories = [{"id": 0, "name": "boat"}]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def skipped_of(images: ImageSet) -> dict[str, str]:
    """Read all images; return the reasons of those that cannot be read."""
    found = {}
    for record in images.records:
        try:
            record.open()
        except UnreadableImage as error:
            found[record.id] = error.reason
    return found


def pipe_as_coco(folder: Path) -> Path:
    write_coco(folder / "annotations" / "instances_a.json", []).unlink()
    os.mkfifo(folder / "annotations" / "instances_a.json")
    return folder


def pipe_as_list(folder: Path) -> Path:
    write_yolo(folder / "d", "names: [a, b]\ntrain: list.txt\n")
    os.mkfifo(folder / "d" / "list.txt")
    return folder / "d"


def device_as_list(folder: Path) -> Path:
    return write_yolo(folder / "d", "names: [a, b]\ntrain: /dev/zero\n")


def pipe_as_table(folder: Path) -> Path:
    os.mkfifo(folder / "images.csv")
    return folder / "images.csv"


def pipe_as_parquet(folder: Path) -> Path:
    os.mkfifo(folder / "images.parquet")
    return folder / "images.parquet"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "write", [pipe_as_coco, pipe_as_list, device_as_list, pipe_as_table, pipe_as_parquet]
)
def test_a_pipe_or_device_in_a_data_set_is_refused(write: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a (pipe|device), not a regular file"):
        open_source(write(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_as_list_of_classes_beside_an_archive_is_ignored(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {"0.png": picture(), "0.cls": b"0"})
    os.mkfifo(tmp_path / "classes.txt")
    assert open_source(archive).classes == ("0",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_as_onnx_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "student.onnx")
    with pytest.raises(InputError, match="is a pipe"):
        read_graph(tmp_path / "student.onnx")


@pytest.mark.parametrize("config", ["names: [a, b]\ntrain: images\nmade: 2001-99-99\n", "names: {x: y}\n"])
def test_an_invalid_yaml_file_is_refused_in_one_line(config: str, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(InputError, match="data.yaml"):
        open_source(write_yolo(tmp_path / "d", config))


def test_yaml_aliases_do_not_expand(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    lines = ["a0: &a0 [xxxxxxxxxx, xxxxxxxxxx]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    config = "\n".join([*lines, "names: [*a11, boat]", "train: images"])
    with pytest.raises(InputError, match="`names` is not a list of class names"):
        open_source(write_yolo(tmp_path / "d", config))


def test_class_numbers_of_thousands_of_digits_are_not_converted(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    images = open_source(write_yolo(tmp_path / "d", "names: [a, b]\ntrain: images\n", MANY_DIGITS))
    assert any("is not the number of a class" in note for note in images.notes)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "classes.txt").write_text("boat\ncar\n")
    archive = write_tar(tmp_path / "t" / "a.tar", {"0.png": picture(), "0.cls": MANY_DIGITS.encode()})
    assert open_source(archive).records[0].labels not in (None, ("boat",), ("car",))


@pytest.mark.parametrize("line", ["/", ".", "images/\0.png", "images/" + "a" * 5000])
def test_impossible_paths_in_a_list_are_left_out(line: str, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    folder = write_yolo(tmp_path / "d", "names: [a, b]\ntrain: list.txt\n")
    (folder / "list.txt").write_text(f"{line}\nimages/a.png\n")
    images = open_source(folder)
    assert "images/a.png" in [record.id for record in images.records]
    assert "images/a.png" not in skipped_of(images)


@pytest.mark.parametrize("absolute", [True, False])
def test_coco_annotations_name_no_picture_outside_of_the_data_set(absolute: bool, tmp_path: Path) -> None:
    secret = tmp_path / "private" / "secret.png"
    secret.parent.mkdir()
    secret.write_bytes(picture(9))
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "train" / "a.png").write_bytes(picture())
    names = ["a.png", str(secret) if absolute else "../../private/secret.png"]
    notes: dict[str, str] = {}
    file = write_coco(tmp_path / "set" / "annotations" / "instances_train.json", names)
    images = open_source(file, notes.__setitem__)
    assert [record.id for record in images.records] == ["a.png"]
    assert "outside of the data set" in notes[names[1]]


def write_cells(path: Path, cells: list[dict[str, Any]], **more: Any) -> Path:
    """Write a Parquet file with a column of pictures, as Hugging Face `datasets` does."""
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(cells, kind), **more}), path)
    return path


@pytest.mark.parametrize("path", ["SECRET", "../private/secret.png", "/dev/zero"])
def test_a_table_of_pictures_names_no_file_outside_of_its_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.png").write_bytes(picture(9))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "beside.png").write_bytes(picture(1))
    path = path.replace("SECRET", str(tmp_path / "private" / "secret.png"))
    cells = [{"bytes": picture(), "path": "a.png"}, {"bytes": None, "path": path}]
    cells.append({"bytes": None, "path": "beside.png"})
    skipped = skipped_of(open_source(write_cells(tmp_path / "set" / "x.parquet", cells)))
    assert len(skipped) == 1
    assert "leads out of" in next(iter(skipped.values()))


def test_a_text_that_a_dictionary_repeats_is_not_expanded(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000), pa.array(["x" * 100_000]))
    file = tmp_path / "labels.parquet"
    table = pa.table({"image": [f"{i}.png" for i in range(200_000)], "label": texts})
    pq.write_table(table, file, compression="zstd")
    assert file.stat().st_size < 5_000_000
    with pytest.raises(InputError, match="too large"):
        read_table(file)


def test_compressed_buffers_of_an_arrow_file_are_not_expanded(tmp_path: Path) -> None:
    file, stated = tmp_path / "images.arrow", 1 << 40
    table = pa.table({"image": pa.array([picture()] * 4, pa.binary()), "label": ["boat", "car"] * 2})
    with pa.ipc.new_file(
        str(file), table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_table(table)
    data = file.read_bytes()
    size = struct.pack("<q", 4 * len(picture()))
    assert data.count(size) == 1
    file.write_bytes(data.replace(size, struct.pack("<q", stated)))  # the size of the buffer of pictures
    with pytest.raises(InputError, match="too large"):
        open_source(file)


def test_members_of_an_archive_whose_names_lead_elsewhere_are_left_out(tmp_path: Path) -> None:
    names = ["../../evil.png", "/evil.png", "a\x1b[31m.png", "good.png"]
    notes: list[str] = []
    archive = write_tar(tmp_path / "a.tar", {name: picture() for name in names})
    images = open_source(archive, lambda name, reason: notes.append(reason))
    assert [record.id for record in images.records] == ["good.png"]
    assert len([note for note in notes if "not usable" in note and note.isprintable()]) == 3


def test_a_huge_member_of_a_sparse_archive_is_not_read(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {"0.png": picture()})
    member = tarfile.TarInfo("1.png")
    member.size = 8 << 30
    with archive.open("r+b") as file:
        file.seek(512 + 512 * -(-len(picture()) // 512))
        file.write(member.tobuf())
        file.truncate(file.tell() + member.size + 1024)
    assert skipped_of(open_source(archive)) == {"1.png": "larger than 256 MiB"}


def test_an_archive_that_is_replaced_while_it_is_read_gives_no_other_pictures(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {"0.png": picture(0), "0.cls": b"boat"})
    images = open_source(archive)
    write_tar(archive, {"0.png": picture(255), "0.cls": b"car"})
    os.utime(archive, ns=(1, 1))
    assert "has changed" in skipped_of(images)["0.png"]
