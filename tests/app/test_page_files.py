"""The register of files: addresses, owners, expiry and clean-up."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.gradio_app import project_images
from inficond.gradio_app.file_register import PUBLIC
from inficond.gradio_app.page_files import EXPORT_SECONDS, UPLOAD_SECONDS, PageFiles
from inficond.gradio_app.page_folder import PREFIX


def write(path: Path, content: bytes = b"x") -> Path:
    path.write_bytes(content)
    return path


def test_opened_images_are_kept_up_to_a_limit_while_many_are_opened(
    monkeypatch: pytest.MonkeyPatch, small_project: Project, files: PageFiles
) -> None:
    monkeypatch.setattr(project_images, "MAX_OPENED", 4)
    monkeypatch.setattr(files.decoder, "decode", lambda path, at_least: np.zeros((8, 8, 3), np.uint8))
    with ThreadPoolExecutor(16) as pool:
        for _ in range(5):
            list(pool.map(lambda row: files.images.opened_image_url(small_project, row), range(200)))
    assert len(list(files.images.folder_of(small_project).glob("image-*.webp"))) <= 4 + 16


def test_an_address_holds_a_random_key_and_no_path(files: PageFiles) -> None:
    first, second = (write(files.new_file("student.onnx")) for _ in range(2))
    addresses = [files.register.address(path, "visit") for path in (first, second)]
    assert addresses[0] != addresses[1]
    assert all(str(files.folder) not in a and a.endswith("/student.onnx") for a in addresses)
    key, name = addresses[0].split("/")
    assert files.register.find(key, name) == first
    assert files.register.find(key, "other.onnx") is None
    assert files.register.find("A" * 22, name) is None


def test_two_uploads_of_one_picture_are_two_files(files: PageFiles) -> None:
    """Ten visitors who try the same picture must not delete each other's upload."""
    addresses = [files.add_upload(write(files.new_upload("cat.jpg")), "visit") for _ in range(10)]
    paths = [files.find_upload(address, "visit") for address in addresses]
    files.delete_upload(paths[0])
    assert all(path.is_file() for path in paths[1:])


def test_an_upload_belongs_to_its_visit_and_is_never_served(files: PageFiles) -> None:
    address = files.add_upload(write(files.new_upload("cat.jpg")), "visit one")
    with pytest.raises(InputError, match="upload it again"):
        files.find_upload(address, "visit two")
    for forged in (address + "x", address.split("/")[0], "../" + address, "", None, 7, address * 100):
        with pytest.raises(InputError, match="upload it again"):
            files.find_upload(forged, "visit one")
    key, name = address.split("/")
    assert files.register.find(key, name) is None
    assert files.find_upload(address, "visit one").name == "cat.jpg"


def test_the_end_of_a_visit_deletes_its_files_and_no_others(files: PageFiles) -> None:
    mine, shared = write(files.new_file("a.onnx")), write(files.new_file("b.onnx"))
    upload = write(files.new_upload("c.jpg"))
    files.register.add(mine, "visit", EXPORT_SECONDS)
    files.register.add(shared, PUBLIC)
    files.add_upload(upload, "visit")
    files.end_visit("visit")
    assert not mine.parent.exists()
    assert not upload.parent.exists()
    assert shared.is_file()


def test_expired_files_and_incomplete_uploads_are_swept(files: PageFiles) -> None:
    used = write(files.new_upload("used.jpg"))
    files.add_upload(used, "visit")
    broken_off = [write(files.new_upload("half.jpg")) for _ in range(50)]
    export = write(files.new_file("a.onnx"))
    files.register.add(export, "visit", EXPORT_SECONDS)
    assert files.sweep() == 0
    assert used.is_file()
    assert all(path.is_file() for path in broken_off), "they may still arrive"
    files.sweep(time.monotonic() + UPLOAD_SECONDS - 1)
    assert used.is_file()
    assert not any(path.parent.exists() for path in broken_off)
    assert files.sweep(time.monotonic() + UPLOAD_SECONDS + 1) == 2
    assert not used.parent.exists()
    assert not export.exists()


@pytest.mark.skipif(os.name != "posix", reason="process ids are not checked on this system")
def test_the_folder_of_a_killed_page_is_deleted_at_the_next_start(
    tmp_path: Path,
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    abandoned = tmp_path / f"{PREFIX}{ended.pid}-abc"
    (abandoned / "uploads").mkdir(parents=True)
    running = tmp_path / f"{PREFIX}{os.getppid()}-abc"
    running.mkdir()
    files = PageFiles(tmp_path)
    assert not abandoned.exists()
    assert running.exists()
    files.close()


@pytest.mark.skipif(os.name != "posix", reason="files are not locked on this system")
def test_the_folder_of_a_killed_page_is_deleted_even_if_its_process_id_is_used_again(tmp_path: Path) -> None:
    """In a container, each start of the page has the same process id."""
    abandoned = tmp_path / f"{PREFIX}{os.getpid()}-abc"
    (abandoned / "uploads").mkdir(parents=True)
    (abandoned / ".lock").touch()
    first, second = PageFiles(tmp_path), PageFiles(tmp_path)
    assert not abandoned.exists()
    assert first.folder.is_dir()
    first.close()
    second.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.jpg",
        "..\\..\\evil.jpg",
        "/etc/cron.d/evil",
        "C:\\evil.jpg",
        "a\0b.jpg",
        "",
        "..",
        "\ud800",
    ],
)
def test_the_name_of_an_upload_does_not_choose_its_folder(name: str, files: PageFiles) -> None:
    path = files.new_upload(name)
    assert path.parent.parent == files.uploads
    assert write(path).is_file()
