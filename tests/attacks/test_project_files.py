"""Project folders of others: pipes as files, tables that expand, huge thumbnails, paths that lead out."""

import io
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.large_pictures import blank_png

from inficond.core import Project
from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.project import files
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.report.pictures import ReportPictures
from inficond.core.students import Students
from inficond.gradio_app.page_files import PageFiles

N, K, C, R, D = 6, 3, 2, 4, 5
SIZE = (64, 48)
NAMES = [
    files.PROJECT, files.IMAGES, files.CONCEPTS, files.CONCEPT_VECTORS, files.CONCEPT_EMBEDDINGS,
    files.RESPONSES, files.LABELS, files.REGIONS, files.ASSIGNMENT, files.BOXES, files.STUDENTS,
    files.thumbnail_name(0, "png"), files.pack_name(0), files.THUMBNAIL_ENDS,
]  # fmt: skip


def png(size: tuple[int, int] = SIZE, mode: str = "RGB", colour: Any = (40, 80, 120)) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, "PNG")
    return out.getvalue()


def make(
    folder: Path, paths: list[str] | None = None, thumbnails: list[bytes] | None = None, packed: bool = True
) -> Path:
    rng = np.random.default_rng(0)
    ids = [f"{i}.png" for i in range(N)]
    students = Students(["a", "b"], ["x", "y", "z"], np.zeros((C, K)), np.zeros(C), np.zeros(K), np.ones(K))
    return write_project(
        folder,
        ProjectContents(
            images=[ImageRow(id=i, path=p, width=SIZE[0], height=SIZE[1]) for i, p in zip(ids, paths or ids)],
            T=rng.random((N, C), np.float32),
            labels=np.ones((N, C), np.float32),
            concepts=["x", "y", "z"],
            concept_embeddings=rng.random((K, D), np.float32),
            classes=["a", "b"],
            is_validation=np.arange(N) % 2 == 0,
            students=students,
        ),
        [
            ImageBlock(
                X=rng.random((N, K), np.float32),
                regions=rng.random((N, R, D), np.float32).astype(np.float16),
                assignment=np.tile(np.arange(4, dtype=np.uint8), (N, 1)),
                thumbnails=thumbnails or [png()] * N,
            )
        ],
        grid=(2, 2),
        pack_thumbnails=packed,
    )


def read_everything(folder: Path) -> None:
    project = Project.open(folder)
    assert project.students.n_classes == C
    assert len(project.region_embeddings) == len(project.boxes) == N
    project.regions(0)
    project.assignment(0)
    project.thumbnail_image(0)


def refusal(work: Callable[[], object]) -> str:
    """Return the message of the `InputError` that `work` raises; fail if it does not end."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it does not end"
    assert caught, "it was accepted"
    assert isinstance(caught[0], InputError), repr(caught[0])
    assert "\n" not in str(caught[0])
    return str(caught[0])


def reseal(folder: Path, name: str) -> None:
    """Make the checksums agree with a file that was replaced, as an attacker would."""
    document = json.loads((folder / files.PROJECT).read_text(encoding="utf-8"))
    path = folder / name
    document["files"][name] |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    (folder / files.PROJECT).write_text(json.dumps(files.with_checksum(document)), encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("kind", ["pipe", "device", "link out", "folder"])
@pytest.mark.parametrize("name", NAMES)
def test_only_regular_files_below_the_folder_are_read(name: str, kind: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "project", packed=name != files.thumbnail_name(0, "png"))
    path = folder / name
    outside = tmp_path / "outside"
    shutil.copy(path, outside)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(outside)
    message = refusal(lambda: read_everything(folder))
    assert path.name in message
    if name not in (
        files.PROJECT,
        *files.REQUIRED,
        files.LABELS,
        files.CONCEPT_EMBEDDINGS,
        files.THUMBNAIL_ENDS,
    ):
        assert any(path.name in fault for fault in Project.open(folder).verify())


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_a_link_as_a_parent_folder_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "project")
    (folder / "regions").rename(tmp_path / "elsewhere")
    (folder / "regions").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "leads out of" in refusal(lambda: read_everything(folder))


def image_table(folder: Path) -> pa.Table:
    return pq.read_table(folder / files.IMAGES)


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def many(table: pa.Table, rows: int) -> pa.Table:
    return table.take(np.arange(rows) % N)


TABLES: dict[str, tuple[Callable[[pa.Table], pa.Table], dict[str, Any], str]] = {
    "more rows than the arrays": (lambda t: many(t, 3_000_000), {}, "the arrays have 6"),
    "no rows": (lambda t: t.slice(0, 0), {}, "the arrays have 6"),
    "a codec that expands a thousand times": (
        lambda t: with_column(t, "path", pa.array(["a" * 50_000_000] * N)), {"compression": "zstd"}, "ZSTD"
    ),
    "an encoding that repeats prefixes": (
        lambda t: t, {"use_dictionary": False, "column_encoding": {"path": "DELTA_BYTE_ARRAY"}},
        "DELTA_BYTE_ARRAY",
    ),
    "long texts by dictionary": (
        lambda t: with_column(t, "path", pa.array(["a" * 1_000_000] * N)), {}, "longer than 8,192 bytes"
    ),
    "a row group for each row": (lambda t: t, {"row_group_size": 1}, "6 row groups"),
    "very many columns": (
        lambda t: pa.table(
            {**{f"c{i}": pa.array([0] * N) for i in range(2000)}, **dict(zip(t.column_names, t.columns))}
        ),
        {}, "2,0[0-9]+ columns",
    ),
    "a missing column": (lambda t: t.drop_columns(["path"]), {}, "0 columns 'path'"),
    "numbers as ids": (lambda t: with_column(t, "id", pa.array(range(N))), {}, "images.parquet"),
    "lists as ids": (lambda t: with_column(t, "id", pa.array([["a"]] * N)), {}, "images.parquet"),
    "missing ids": (lambda t: with_column(t, "id", pa.array([None] * N, pa.string())), {}, "is missing"),
    "negative checksums": (
        lambda t: with_column(t, "thumbnail_crc32", pa.array([-1] * N)), {}, "images.parquet"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_a_table_of_images_is_checked_before_it_expands(case: str, tmp_path: Path) -> None:
    change, options, expected = TABLES[case]
    folder = make(tmp_path / "project")
    table = change(image_table(folder))
    pq.write_table(table, folder / files.IMAGES, **options)
    reseal(folder, files.IMAGES)
    del table
    pool = pa.default_memory_pool()
    before = pool.max_memory()
    message = refusal(lambda: Project.open(folder))
    assert re.search(expected, message), message
    assert pool.max_memory() - before < 100 << 20


def test_a_table_cut_at_every_tenth_byte_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "project")
    data = (folder / files.IMAGES).read_bytes()
    for length in range(0, len(data), len(data) // 10):
        (folder / files.IMAGES).write_bytes(data[:length])
        reseal(folder, files.IMAGES)
        assert "images.parquet" in refusal(lambda: Project.open(folder))


HUGE = {
    "bilevel PNG": partial(blank_png, 30_000, 30_000),
    "grey PNG": partial(blank_png, 20_000, 9_000, 8),
    "just above the limit": partial(png, (1_025, 10)),
}
"""Functions that make a picture, which takes more than a second."""


@pytest.mark.parametrize("kind", HUGE)
def test_a_thumbnail_of_huge_size_is_not_decoded(kind: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "project", thumbnails=[HUGE[kind](), *[png()] * (N - 1)])
    project = Project.open(folder)
    assert "000.pack" in refusal(lambda: project.thumbnail_image(0))
    assert project.thumbnail_image(1).size == SIZE
    assert ReportPictures(project, project.context.words.embedding).image(0) == ""
    page = PageFiles(tmp_path)
    try:
        with Image.open(page.images.sheet(project, 0)) as sheet:
            assert sheet.width > 0
    finally:
        page.close()


@pytest.mark.parametrize(
    "path", ["{secret}", "../secret.png", "a/../../secret.png", "link.png", "/dev/zero", "..", "/", "\\..\\x"]
)
@pytest.mark.parametrize("outside", [False, True])
def test_visitors_see_no_picture_outside_of_the_project(path: str, outside: bool, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(colour=(250, 10, 10)))
    folder = make(tmp_path / "project", paths=[path.format(secret=secret)] * N)
    (folder / "a").mkdir()
    if path == "link.png":
        (folder / path).symlink_to(secret)
    project = Project.open(folder)
    page = PageFiles(tmp_path, outside=outside)
    try:
        page.images.opened_image_url(project, 0)
        with Image.open(page.images.folder_of(project) / "image-0.webp") as shown:
            red = np.asarray(shown.convert("RGB"))[10, 10, 0]
    finally:
        page.close()
    reachable = "secret" in path or path == "link.png"
    assert (red > 200) == (outside and reachable)
    if reachable:
        with pytest.raises(InputError, match="leads out of"):
            project.image_path(0, inside=True)


def test_an_original_inside_of_the_project_is_shown(tmp_path: Path) -> None:
    folder = make(tmp_path / "project", paths=["originals/a.png"] * N)
    (folder / "originals").mkdir()
    (folder / "originals" / "a.png").write_bytes(png((200, 100), colour=(10, 240, 10)))
    project = Project.open(folder)
    assert project.image_path(0, inside=True) == folder / "originals" / "a.png"
    page = PageFiles(tmp_path)
    try:
        page.images.opened_image_url(project, 0)
        with Image.open(page.images.folder_of(project) / "image-0.webp") as shown:
            assert shown.size == (200, 100)
    finally:
        page.close()
