"""Opened images are kept up to a number, whoever else opens some meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.gradio_app import page_files as module


def test_many_who_open_images_at_once_all_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each removes the oldest beyond the limit: what another has just removed is no fault."""
    monkeypatch.setattr(module, "MOST_OPENED", 4)
    project, pictures = Project.open(demo_project()), module.PageFiles()
    monkeypatch.setattr(module, "_original", lambda project, row: _small(row))
    with ThreadPoolExecutor(16) as pool:
        for _ in range(5):
            list(pool.map(lambda row: pictures.opened(project, row), range(200)))
    assert len(list(pictures.folder_of(project).glob("image-*.webp"))) <= 4 + 16
    pictures.close()


def _small(row: int) -> object:
    from PIL import Image

    return Image.new("RGB", (8, 8), (row % 256, 0, 0))
