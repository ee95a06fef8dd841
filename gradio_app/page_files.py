"""Images for the page: thumbnails as a few sprite sheets, an opened image as one file.

Everything lies in one private folder, the only one that the page may serve from; no path of a project or of a
person's photographs is ever given to a browser.
"""

import hashlib
import io
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.gradio_app.request_queue import lower_thread_priority

if TYPE_CHECKING:
    from PIL.Image import Image

    from inficond.core.project.folder import ProjectFolder

TILE = 96
"""Pixels of a thumbnail's side in a sheet; shown at up to that size."""
COLUMNS = 16
PER_SHEET = COLUMNS * COLUMNS
OPENED = 960
"""Pixels of the longer side of an opened image."""
MOST_OPENED = 400
"""Opened images kept on disk; the oldest go first."""


class PageFiles:
    """The folder of pictures of one running page."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="inficond-page-")).resolve()
        self.uploads = Path(tempfile.mkdtemp(prefix="inficond-in-")).resolve()
        self._locks: dict[Path, threading.Lock] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        """Remove every picture."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.uploads, ignore_errors=True)

    def url(self, path: Path) -> str:
        """Where the browser finds a file of the folder, relative to the page."""
        return "gradio_api/file=" + quote(path.resolve().as_posix())

    def folder_of(self, project: "ProjectFolder") -> Path:
        """Where a project's pictures lie."""
        key = hashlib.sha256(str(project.path).encode()).hexdigest()[:16]
        folder = self.folder / key
        folder.mkdir(exist_ok=True)
        return folder

    def sheet(self, project: "ProjectFolder", number: int) -> Path:
        """A sheet of `PER_SHEET` thumbnails, made when first asked for.

        Parameters
        ----------
        project : Project
        number : int
            Tile `k` of sheet `s` is image `s * PER_SHEET + k` of `order_of`.

        Raises
        ------
        InputError
            There is no such sheet.
        """
        last = (len(project) - 1) // PER_SHEET
        if not 0 <= number <= last:
            raise InputError(f"there is no sheet {number}: the last is {last}")
        path = self.folder_of(project) / f"sheet-{number}.webp"
        with self._lock(path):
            if not path.is_file():
                self._write_sheet(project, number, path)
        return path

    def _write_sheet(self, project: "ProjectFolder", number: int, path: Path) -> None:
        from PIL import Image

        rows = order_of(project)[number * PER_SHEET : (number + 1) * PER_SHEET].tolist()
        lines = -(-len(rows) // COLUMNS)
        sheet = Image.new("RGB", (COLUMNS * TILE, lines * TILE), (128, 136, 146))
        for i, row in enumerate(rows):
            try:
                with Image.open(io.BytesIO(project.thumbnail_bytes(row))) as thumb:
                    tile = _square(thumb.convert("RGB"), TILE)
            except (OSError, InputError):
                continue  # a lost or damaged thumbnail is a grey tile, not a broken gallery
            sheet.paste(tile, (i % COLUMNS * TILE, i // COLUMNS * TILE))
        part = path.with_suffix(".part")
        sheet.save(part, "WEBP", quality=78, method=1)
        part.replace(path)

    def sheet_url(self, project: "ProjectFolder", number: int, make: bool = False) -> str | None:
        """The address of a sheet; None while it is not made, unless `make`."""
        path = self.folder_of(project) / f"sheet-{number}.webp"
        if make:
            path = self.sheet(project, number)
        return self.url(path) if path.is_file() else None

    def opened(self, project: "ProjectFolder", row: int) -> Path:
        """One image, large enough to look at; the thumbnail where the original is gone."""
        path = self.folder_of(project) / f"image-{row}.webp"
        with self._lock(path):
            if not path.is_file():
                picture = _original(project, row)
                picture.thumbnail((OPENED, OPENED))
                part = path.with_suffix(".part")
                picture.save(part, "WEBP", quality=84, method=1)
                part.replace(path)
                self._forget_oldest(path.parent)
        return path

    def keep(self, owner: str, picture: "Image", name: str) -> Path:
        """A visitor's own picture, in a folder that `forget` removes."""
        folder = self.private(owner)
        picture = picture.copy()
        picture.thumbnail((OPENED, OPENED))
        path = folder / f"{name}.webp"
        picture.save(path, "WEBP", quality=84, method=1)
        return path

    def forget_own(self, owner: str, name: str) -> None:
        """Remove a visitor's own picture."""
        (self.private(owner) / f"{name}.webp").unlink(missing_ok=True)

    def private(self, owner: str) -> Path:
        """A folder for files made for one visitor (exports), removed by `forget`."""
        folder = self.folder / f"own-{hashlib.sha256(owner.encode()).hexdigest()[:24]}"
        folder.mkdir(exist_ok=True)
        return folder

    def forget(self, owner: str) -> None:
        """Remove everything made for a visitor."""
        shutil.rmtree(
            self.folder / f"own-{hashlib.sha256(owner.encode()).hexdigest()[:24]}", ignore_errors=True
        )

    def warm(self, project: "ProjectFolder") -> None:
        """Make every sheet, off the first visitor's path."""

        def work() -> None:
            for number in range((len(project) - 1) // PER_SHEET + 1):
                if number == 1:
                    lower_thread_priority()  # the first sheet is on the first page, the others are not
                try:
                    self.sheet(project, number)
                except FileNotFoundError:
                    return  # the page was closed meanwhile, and its folder is removed

        threading.Thread(target=work, name="inficond-sheets", daemon=True).start()

    def _lock(self, path: Path) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(path, threading.Lock())

    def _forget_oldest(self, folder: Path) -> None:
        with self._guard:  # one at a time, or two would look at what the other has just removed
            files = sorted(folder.glob("image-*.webp"), key=lambda f: f.stat().st_mtime)
            for old in files[:-MOST_OPENED]:
                old.unlink(missing_ok=True)


def order_of(project: "ProjectFolder") -> NDArray[np.intp]:
    """(N,) rows in the order of their tiles: held-out images first, as they are what is looked at first."""
    return np.concatenate([project.validation_rows, np.flatnonzero(~np.asarray(project.is_validation, bool))])


def _square(picture: "Image", side: int) -> "Image":
    """The middle of a picture, as a square: what the encoder saw, near enough for a thumbnail."""
    from PIL import ImageOps

    return ImageOps.fit(picture, (side, side))


def _original(project: "ProjectFolder", row: int) -> "Image":
    from PIL import Image

    from inficond.core.images.decode import UnreadableImage, decode

    try:
        return Image.fromarray(decode(project.image_path(row), OPENED))
    except (UnreadableImage, OSError):
        with Image.open(io.BytesIO(project.thumbnail_bytes(row))) as thumb:
            return thumb.convert("RGB")
