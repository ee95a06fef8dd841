"""Project folders are written completely, verified when opened, and name a damaged file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.project import files
from inficond.core.project.arrays import ArrayWriter, FileEntry, save_array
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project


@pytest.fixture
def copy(small_project: Project, tmp_path: Path) -> Path:
    shutil.copytree(small_project.path, tmp_path / "copy")
    return tmp_path / "copy"


def flip(path: Path, place: float = 0.6) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 4
    path.write_bytes(data)


def test_arrays_are_memory_mapped_and_read_only(small_project: Project) -> None:
    assert isinstance(small_project.X, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        small_project.X[0, 0] = 1.0
    assert small_project.X.dtype == small_project.T.dtype == np.float32
    assert len(small_project.concepts) == len(set(small_project.concepts)) == small_project.X.shape[1]


@pytest.mark.parametrize(
    "name",
    [
        files.PROJECT,
        files.IMAGES,
        files.CONCEPTS,
        files.CONCEPT_VECTORS,
        files.RESPONSES,
        files.CONCEPT_EMBEDDINGS,
    ],
)
@pytest.mark.parametrize("place", [0.0, 0.1, 0.6, 1.0])
def test_a_changed_byte_is_found_when_the_project_is_opened(copy: Path, name: str, place: float) -> None:
    flip(copy / name, place)
    with pytest.raises(InputError, match=Path(name).name) as caught:
        Project.open(copy)
    assert "\n" not in str(caught.value)


def test_a_changed_region_is_found_when_it_is_read(copy: Path) -> None:
    flip(copy / files.REGIONS, 0.999)
    project = Project.open(copy)
    last = len(project) - 1
    assert project.regions(0).dtype == np.float16
    with pytest.raises(InputError, match=r"regions/embeddings\.npy is damaged"):
        project.regions(last)
    with pytest.raises(InputError, match=r"embeddings\.npy is damaged"):
        _ = project.region_embeddings
    assert len(project.verify()) == 1


def test_changed_students_are_found(copy: Path) -> None:
    flip(copy / files.STUDENTS)
    with pytest.raises(InputError, match=r"base\.safetensors is damaged"):
        _ = Project.open(copy).students


@pytest.mark.parametrize("name", [files.CONCEPT_VECTORS, files.IMAGES, files.CONCEPTS])
def test_missing_and_cut_files_are_named(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=Path(name).name):
        Project.open(copy)
    (copy / name).unlink()
    with pytest.raises(InputError, match="missing"):
        Project.open(copy)


def test_a_folder_without_a_project_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder does not exist"):
        Project.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match="inficond distill"):
        Project.open(tmp_path)
    (tmp_path / "student.onnx").touch()
    with pytest.raises(InputError, match="is a file, not a project: give the folder"):
        Project.open(tmp_path / "student.onnx")
    with pytest.raises(InputError, match="path of the project is empty"):
        Project.open("")
    (tmp_path / files.BUILD).mkdir()
    with pytest.raises(InputError, match="not finished"):
        Project.open(tmp_path)


def test_a_newer_format_is_refused(copy: Path) -> None:
    document = json.loads((copy / files.PROJECT).read_text())
    document["format"] = files.FORMAT + 1
    (copy / files.PROJECT).write_text(json.dumps(files.with_checksum(document)))
    with pytest.raises(InputError, match="newer InFiConD"):
        Project.open(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"format": 1, "checksum": "x"}'])
def test_an_invalid_project_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / files.PROJECT).write_text(content)
    with pytest.raises(InputError, match=r"project\.json is damaged"):
        Project.open(tmp_path)


def test_a_document_without_its_fields_is_refused(copy: Path) -> None:
    document = json.loads((copy / files.PROJECT).read_text())
    for missing in ("files", "classes", "name", "thumbnails"):
        rest = {key: value for key, value in document.items() if key != missing}
        (copy / files.PROJECT).write_text(json.dumps(files.with_checksum(rest)))
        with pytest.raises(InputError, match="a field is missing or wrong"):
            Project.open(copy)


def test_invalid_rows_are_refused(small_project: Project) -> None:
    for row in (-1, len(small_project)):
        with pytest.raises(InputError, match="does not exist"):
            small_project.regions(row)


def test_an_existing_project_is_not_overwritten(make_project: Callable[..., Project]) -> None:
    project = make_project()
    with pytest.raises(InputError, match="already holds a project"):
        write_project(
            project.path, ProjectContents(images=["a"], T=np.zeros((1, 1), np.float32),
            concepts=["c"], classes=["k"], is_validation=np.array([True]), students=project.students),
            [ImageBlock(X=np.zeros((1, 1), np.float32))],
        )  # fmt: skip
    assert Project.open(project.path).verify() == []


def write_blocks(path: Path, shape: tuple[int, ...], *blocks: np.ndarray) -> FileEntry:
    with ArrayWriter(path, shape, "float32") as writer:
        for block in blocks:
            writer.append(block)
    return writer.entry


def test_an_array_written_in_blocks_gives_the_same_file(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.float32).reshape(12, 5)
    whole = save_array(tmp_path / "whole.npy", array)
    assert write_blocks(tmp_path / "blocks.npy", (12, 5), array[:5], array[5:6], array[6:]) == whole
    np.testing.assert_array_equal(np.load(tmp_path / "blocks.npy"), array)
    with pytest.raises(ValueError, match="6 rows written of 12"):
        write_blocks(tmp_path / "short.npy", (12, 5), array[:6])
    with pytest.raises(ValueError, match=r"block \(7, 5\) in an array \(12, 5\) at row 6"):
        write_blocks(tmp_path / "short.npy", (12, 5), array[:6], array[:7])
    assert not (tmp_path / "short.npy").exists()
    assert not list(tmp_path.glob(".*.part"))
