"""Thumbnails lie in few files, every one is checked when it is read, and older projects can be upgraded."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.demo import demo_project
from inficond.core.errors import InputError
from inficond.core.project import files
from inficond.core.project.thumbnails import ThumbnailReader, ThumbnailWriter

ARCHIVE = Path(__file__).resolve().parents[1] / "fixtures" / "v0_1" / "sigmoid" / "project.inficond"


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (4, 3), shade % 256).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A project of version 0.1.0 with one file per thumbnail."""
    assert main(["unpack", str(ARCHIVE), "--out", str(tmp_path / "unpacked")]) == 0
    return tmp_path / "unpacked" / "project"


def write(folder: Path, pictures: list[bytes], n: int | None = None, first: int = 0) -> ThumbnailWriter:
    writer = ThumbnailWriter(folder, len(pictures) if n is None else n)
    for start in range(0, len(pictures), 128):
        writer.append(pictures[start : start + 128], first + start)
    writer.close()
    return writer


def reader(folder: Path, writer: ThumbnailWriter) -> ThumbnailReader:
    ends = np.load(folder / files.THUMBNAIL_ENDS)
    return ThumbnailReader(folder, str(writer.suffix), writer.crc32, ends)


def test_a_file_holds_a_thousand_thumbnails(tmp_path: Path) -> None:
    pictures = [picture(i) for i in range(2_500)]
    writer = write(tmp_path, pictures)
    found = reader(tmp_path, writer)
    assert sorted(p.name for p in (tmp_path / files.THUMBNAILS).iterdir()) == [
        "000.pack", "001.pack", "002.pack", "ends.npy",
    ]  # fmt: skip
    assert [found.read(row) for row in range(2_500)] == pictures
    assert sorted(writer.entries) == [
        *(files.pack_name(row) for row in (0, 1000, 2000)),
        files.THUMBNAIL_ENDS,
    ]


def test_images_without_a_thumbnail_say_so(tmp_path: Path) -> None:
    found = reader(tmp_path, write(tmp_path, [picture(1), picture(2)], n=1_003, first=1_000))
    assert found.read(1_001) == picture(2)
    for row in (0, 999, 1_002):
        with pytest.raises(InputError, match=f"image {row} of .* has no thumbnail"):
            found.read(row)


@pytest.mark.parametrize("change", ["bytes", "cut", "gone"])
def test_a_damaged_pack_is_named_and_others_are_read(tmp_path: Path, change: str) -> None:
    pictures = [picture(i) for i in range(1_001)]
    found = reader(tmp_path, write(tmp_path, pictures))
    pack = tmp_path / files.pack_name(0)
    data = pack.read_bytes()
    if change == "gone":
        pack.unlink()
    else:
        pack.write_bytes(data[:-20] if change == "cut" else data[:-20] + bytes(20))
    with pytest.raises(InputError, match=r"000\.pack is damaged"):
        found.read(999)
    assert found.read(1_000) == pictures[1_000]


@pytest.mark.parametrize(("end", "reason"), [(-5, "has"), (1 << 40, "has"), (3, "have changed|has")])
def test_wrong_ends_are_refused(tmp_path: Path, end: int, reason: str) -> None:
    writer = write(tmp_path, [picture(i) for i in range(5)])
    ends = np.load(tmp_path / files.THUMBNAIL_ENDS)
    ends[2] = end
    found = ThumbnailReader(tmp_path, "png", writer.crc32, ends)
    for row in (2, 3):
        with pytest.raises(InputError, match=reason):
            found.read(row)


def test_an_interrupted_build_leaves_no_part_of_a_pack(tmp_path: Path) -> None:
    writer = ThumbnailWriter(tmp_path, 10)
    writer.append([picture(1)], 0)
    writer.discard()
    assert list((tmp_path / files.THUMBNAILS).iterdir()) == []


def test_an_upgrade_keeps_images_students_and_history(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Project.open(old)
    thumbnails = [before.thumbnail_bytes(row) for row in range(len(before))]
    nodes = history(old, capsys)
    assert main(["project", "upgrade", str(old)]) == 0
    assert f"has format {files.FORMAT} now: {len(before)} thumbnails in 1 file(s)" in capsys.readouterr().out
    after = Project.open(old)
    assert [after.thumbnail_bytes(row) for row in range(len(after))] == thumbnails
    assert after.verify() == []
    assert history(old, capsys) == nodes
    assert np.array_equal(after.student().weights, before.student().weights)
    assert sorted(p.name for p in (old / files.THUMBNAILS).iterdir()) == ["000.pack", "ends.npy"]
    assert main(["project", "upgrade", str(old)]) == 0
    assert "already has format" in capsys.readouterr().out


def history(folder: Path, capsys: pytest.CaptureFixture[str]) -> object:
    capsys.readouterr()
    assert main(["history", str(folder), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["nodes"]


def test_an_upgrade_of_a_damaged_project_changes_nothing(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Project.open(old).thumbnail_file(1)
    bad.write_bytes(bad.read_bytes()[:-1])
    document = (old / files.PROJECT).read_bytes()
    assert main(["project", "upgrade", str(old)]) == 2
    assert bad.name in capsys.readouterr().err
    assert (old / files.PROJECT).read_bytes() == document
    assert Project.open(old).thumbnail_bytes(0)


def test_an_interrupted_upgrade_is_completed_by_the_next(old: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(old, other)
    assert main(["project", "upgrade", str(other)]) == 0
    for name in (files.pack_name(0), files.THUMBNAIL_ENDS):  # a kill before `project.json` was replaced
        shutil.copy(other / name, old / name)
    assert Project.open(old).verify() == []
    shutil.copytree(old / files.THUMBNAILS / "000", other / files.THUMBNAILS / "000")  # and one after it
    for folder in (old, other):
        assert main(["project", "upgrade", str(folder)]) == 0
        assert sorted(p.name for p in (folder / files.THUMBNAILS).iterdir()) == ["000.pack", "ends.npy"]
        assert Project.open(folder).verify() == []


def test_the_demo_keeps_its_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo = tmp_path / "demo"
    shutil.copytree(demo_project(), demo)
    assert main(["project", "upgrade", str(demo)]) == 0
    assert "its thumbnails are its original images" in capsys.readouterr().out
    assert Project.open(demo).image_path(0).is_file()
