"""Images of projects as the page shows them: sheets of thumbnails, and single images at full size."""

import secrets
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError
from inficond.core.serving.picture_process import PictureDecoder
from inficond.gradio_app.background import BackgroundThreads
from inficond.gradio_app.file_register import FileRegister
from inficond.gradio_app.request_queue import lower_thread_priority

if TYPE_CHECKING:
    from PIL.Image import Image

    from inficond.core.project.folder import ProjectFolder

TILE = 96
"""Side of a thumbnail in a sheet, in pixels."""
COLUMNS = 16
PER_SHEET = COLUMNS * COLUMNS
OPENED_SIZE = 960
"""Longer side of an opened image, in pixels."""
MAX_OPENED = 400
"""Opened images per project that are kept on disk; the oldest are deleted first."""


class ProjectImages:
    """Thumbnail sheets and opened images of projects, each written when it is first needed.

    Parameters
    ----------
    folder : Path
        In which each project gets a folder with a random name.
    register : FileRegister
    decoder : PictureDecoder
    outside : bool
        Whether originals outside of a project's folder are shown: a project from others may name any
        picture of this machine, so only its owner may open them.
    """

    def __init__(
        self, folder: Path, register: FileRegister, decoder: PictureDecoder, outside: bool = False
    ) -> None:
        self._folder, self._register, self._decoder, self._outside = folder, register, decoder, outside
        self._folders: dict[Path, Path] = {}
        self._locks: dict[Path, threading.Lock] = {}
        self._lock = threading.Lock()
        self._threads = BackgroundThreads()

    def close(self) -> None:
        """End the background threads."""
        self._threads.close()

    def folder_of(self, project: "ProjectFolder") -> Path:
        """Return the folder of a project's thumbnail sheets and opened images."""
        with self._lock:
            folder = self._folders.get(project.path)
            if folder is None:
                folder = self._folders[project.path] = self._folder / secrets.token_urlsafe(16)
                folder.mkdir()
        return folder

    def forget(self, project: "ProjectFolder") -> None:
        """Delete the thumbnail sheets and opened images of a project."""
        with self._lock:
            folder = self._folders.pop(project.path, None)
            if folder is None:
                return
            self._register.remove_folder(folder)
            for path in [p for p in self._locks if p.parent == folder]:
                del self._locks[path]
        shutil.rmtree(folder, ignore_errors=True)

    def sheet(self, project: "ProjectFolder", number: int) -> Path:
        """Return a sheet of `PER_SHEET` thumbnails; make it if necessary.

        Parameters
        ----------
        project : ProjectFolder
        number : int
            Tile `k` of sheet `s` is image `s * PER_SHEET + k` of `tile_order`.

        Raises
        ------
        InputError
            There is no such sheet.
        """
        last = (len(project) - 1) // PER_SHEET
        if not 0 <= number <= last:
            raise InputError(f"sheet {number} does not exist: the last one is {last}")
        path = self.folder_of(project) / f"sheet-{number}.webp"
        with self._file_lock(path):
            if not path.is_file():
                _write_sheet(project, number, path)
        return path

    def sheet_url(self, project: "ProjectFolder", number: int, make: bool = False) -> str | None:
        """Return the address of a sheet; None if it does not exist yet and `make` is false."""
        path = self.folder_of(project) / f"sheet-{number}.webp"
        if make:
            path = self.sheet(project, number)
        return self._register.url(path) if path.is_file() else None

    def opened_image_url(self, project: "ProjectFolder", row: int) -> str:
        """Return the address of an image at full size; of its thumbnail if the original is unreadable."""
        path = self.folder_of(project) / f"image-{row}.webp"
        with self._file_lock(path):
            if not path.is_file():
                image = self._original(project, row)
                image.thumbnail((OPENED_SIZE, OPENED_SIZE))
                _save_webp(image, path, 84)
                self._delete_oldest_images(path.parent)
        return self._register.url(path)

    def _original(self, project: "ProjectFolder", row: int) -> "Image":
        """Return an image of a project from its original; from its thumbnail if that is not readable."""
        from PIL import Image

        from inficond.core.images.decode import UnreadableImage

        try:
            path = project.image_path(row, inside=not self._outside)
            return Image.fromarray(self._decoder.decode(path, OPENED_SIZE))
        except (UnreadableImage, OSError, InputError):
            return project.thumbnail_image(row)

    def start_sheets(self, project: "ProjectFolder") -> None:
        """Make all sheets of a project in a background thread."""

        def work() -> None:
            for number in range((len(project) - 1) // PER_SHEET + 1):
                if self._threads.stopped:
                    return
                if number == 1:
                    lower_thread_priority()  # only the first sheet is on the first page
                try:
                    self.sheet(project, number)
                except (FileNotFoundError, InputError):
                    return  # the page was closed and its folder removed

        self._threads.start("inficond-sheets", work)

    def _file_lock(self, path: Path) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(path, threading.Lock())

    def _delete_oldest_images(self, folder: Path) -> None:
        with self._lock:  # concurrent calls would list files that the other has just deleted
            files = sorted(folder.glob("image-*.webp"), key=lambda f: f.stat().st_mtime)
            for old in files[:-MAX_OPENED]:
                old.unlink(missing_ok=True)
                self._register.remove(old)


def tile_order(project: "ProjectFolder") -> NDArray[np.intp]:
    """Return the rows of a project in the order of their tiles, validation images first; shape (N,)."""
    return np.concatenate([project.validation_rows, np.flatnonzero(~np.asarray(project.is_validation, bool))])


def _write_sheet(project: "ProjectFolder", number: int, path: Path) -> None:
    from PIL import Image, ImageOps

    rows = tile_order(project)[number * PER_SHEET : (number + 1) * PER_SHEET].tolist()
    lines = -(-len(rows) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, lines * TILE), (128, 136, 146))
    for i, row in enumerate(rows):
        try:
            tile = ImageOps.fit(project.thumbnail_image(row), (TILE, TILE))
        except InputError:
            continue  # a missing or damaged thumbnail becomes a grey tile
        sheet.paste(tile, (i % COLUMNS * TILE, i // COLUMNS * TILE))
    _save_webp(sheet, path, 78)


def _save_webp(image: "Image", path: Path, quality: int) -> None:
    with replacing(path) as file:
        image.save(file, "WEBP", quality=quality, method=1)
