"""Files that the page serves or receives: each has an owner, an expiry and an unguessable address.

All files lie in one private temporary folder. The addresses hold random keys instead of paths, so neither
paths of projects nor those of a person's photographs reach a browser. Folders that a killed process left are
removed at the next start.
"""

import contextlib
import re
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError
from inficond.core.serving.picture_process import PictureDecoder
from inficond.gradio_app.background import BackgroundThreads
from inficond.gradio_app.page_folder import make_page_folder
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
UPLOAD_SECONDS = 3600.0
"""Seconds after which an upload that was not used is deleted."""
ABANDONED_SECONDS = 900.0
"""Seconds after which an incomplete upload is deleted; longer than an upload takes."""
EXPORT_SECONDS = 3600.0
"""Seconds after which an export is deleted, if its visit has not ended before."""
PIXELS_PER_SECOND = 25e6
"""Speed of decoding an image, for scheduling."""
PUBLIC = ""
"""Owner of files that all visitors may read."""
_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass(frozen=True)
class RegisteredFile:
    """A registered file or folder.

    Parameters
    ----------
    path : Path
    owner : str
        Token of a visitor, or `PUBLIC`.
    expires : float
        Time of `time.monotonic` after which the entry is deleted; infinite for files that live as long as the
        page.
    is_upload : bool
        Whether the file came from a visitor. Uploads are never served.
    pixels : int
        Of an uploaded image; 0 if it is not one.
    size : int
        Bytes of an upload.
    address : str
        Network address from which an upload came.
    """

    path: Path
    owner: str
    expires: float
    is_upload: bool = False
    pixels: int = 0
    size: int = 0
    address: str = ""


class PageFiles:
    """The register of the files of a running page.

    Parameters
    ----------
    parent : Path, optional
        Folder for the page's own folder; the system's temporary folder by default.
    outside : bool
        Whether originals outside of a project's folder are shown: a project from others may name any
        picture of this machine, so only its owner may open them.
    """

    def __init__(self, parent: Path | None = None, outside: bool = False) -> None:
        self._outside = outside
        parent = parent or Path(tempfile.gettempdir())
        self.folder, self._folder_lock = make_page_folder(parent)
        self.uploads = self.folder / "uploads"
        self.projects = self.folder / "projects"
        self._shared = self.folder / "shared"
        for folder in (self.uploads, self.projects, self._shared):
            folder.mkdir()
        self._entries: dict[str, RegisteredFile] = {}
        self._keys: dict[Path, str] = {}
        self._image_folders: dict[Path, Path] = {}
        self._locks: dict[Path, threading.Lock] = {}
        self._lock = threading.Lock()
        self._threads = BackgroundThreads()
        self.decoder = PictureDecoder()

    def close(self) -> None:
        """End the background threads and processes and delete all files."""
        self.decoder.close()
        self._threads.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._folder_lock is not None:
            self._folder_lock.close()

    # -- the register

    def register(
        self,
        path: Path,
        owner: str,
        seconds: float = float("inf"),
    ) -> str:
        """Register a file, or renew its expiry; return its key.

        Parameters
        ----------
        path : Path
            A file in a folder of its own below `folder`, or a shared image.
        owner : str
            Token of the visitor whose visit ends the life of the file, or `PUBLIC`.
        seconds : float
            Life of the file.
        """
        return self._add(RegisteredFile(path, owner, time.monotonic() + seconds))

    def _add(self, entry: RegisteredFile) -> str:
        with self._lock:
            key = self._keys.setdefault(entry.path, secrets.token_urlsafe(16))
            self._entries[key] = entry
        return key

    def url(self, path: Path, owner: str = PUBLIC, seconds: float = float("inf")) -> str:
        """Return the address of a file relative to the page; register it if necessary."""
        return f"gradio_api/file={quote(self.address(path, owner, seconds))}"

    def address(self, path: Path, owner: str = PUBLIC, seconds: float = float("inf")) -> str:
        """Return ``key/name`` of a file; register it if necessary."""
        key = self._keys.get(path)
        if key is None or owner != PUBLIC:
            key = self.register(path, owner, seconds)
        return f"{key}/{path.name}"

    def find(self, key: str, name: str) -> Path | None:
        """Return the file with an address, or None if there is none that may be served."""
        entry = self._entries.get(key) if _KEY.fullmatch(key) else None
        if entry is None or entry.is_upload or entry.path.name != name or not entry.path.is_file():
            return None
        return entry.path

    def _delete(self, key: str) -> None:
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._keys.pop(entry.path, None)
        if entry is None:
            return
        if entry.path.is_dir():
            shutil.rmtree(entry.path, ignore_errors=True)
            return
        entry.path.unlink(missing_ok=True)
        if entry.path.parent != self.folder and entry.owner != PUBLIC:
            with contextlib.suppress(OSError):  # not empty
                entry.path.parent.rmdir()

    def end_visit(self, owner: str) -> None:
        """Delete the files of a visitor."""
        for key in [k for k, e in list(self._entries.items()) if e.owner == owner]:
            self._delete(key)

    def sweep(self, now: float | None = None) -> int:
        """Delete expired files, and upload folders that no entry refers to; return the number of files.

        Parameters
        ----------
        now : float, optional
            Time of `time.monotonic`.
        """
        moment = time.monotonic() if now is None else now
        expired = [key for key, entry in list(self._entries.items()) if entry.expires <= moment]
        for key in expired:
            self._delete(key)
        known = {entry.path.parent for entry in list(self._entries.values())}
        for folder in self.uploads.iterdir():
            with contextlib.suppress(OSError):
                age = time.time() - folder.stat().st_mtime + moment - time.monotonic()
                if folder not in known and age > ABANDONED_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
        return len(expired)

    # -- uploads

    def new_upload(self, name: str) -> Path:
        """Return the path for a new upload, in a folder of its own with a random name."""
        folder = self.uploads / secrets.token_urlsafe(16)
        folder.mkdir(mode=0o700)
        return folder / safe_file_name(name)

    def discard_upload(self, path: Path) -> None:
        """Delete an upload that is not complete."""
        shutil.rmtree(path.parent, ignore_errors=True)

    def add_upload(self, path: Path, owner: str, pixels: int = 0, address: str = "") -> str:
        """Register a complete upload; return its address, which only `find_upload` accepts."""
        expires = time.monotonic() + UPLOAD_SECONDS
        key = self._add(RegisteredFile(path, owner, expires, True, pixels, path.stat().st_size, address))
        return f"{key}/{path.name}"

    def decode_cost(self, address: object) -> float:
        """Return the expected seconds of decoding and encoding an upload."""
        key = address.partition("/")[0] if isinstance(address, str) else ""
        entry = self._entries.get(key)
        return 0.0 if entry is None else 0.1 + entry.pixels / PIXELS_PER_SECOND

    def upload_use(self, owner: str | None = None, address: str | None = None) -> tuple[int, int]:
        """Return number and bytes of the registered uploads.

        Parameters
        ----------
        owner, address : str, optional
            Count only the uploads of this visitor or from this network address.
        """
        sizes = [
            e.size
            for e in list(self._entries.values())
            if e.is_upload and owner in (None, e.owner) and address in (None, e.address)
        ]
        return len(sizes), sum(sizes)

    def find_upload(self, address: object, owner: str) -> Path:
        """Return the file of an upload.

        Parameters
        ----------
        address : str
            As `add_upload` returned it.
        owner : str
            Token of the visitor. An upload without an owner may be used by anyone who has its address.

        Raises
        ------
        InputError
            There is no such upload of this visitor.
        """
        key = address.partition("/")[0] if isinstance(address, str) and len(address) <= 400 else ""
        entry = self._entries.get(key)
        if entry is None or not entry.is_upload or entry.owner not in (owner, PUBLIC):
            raise InputError("the upload is not here: choose the file and upload it again")
        if address != f"{key}/{entry.path.name}" or not entry.path.is_file():
            raise InputError("the upload is not here: choose the file and upload it again")
        return entry.path

    def delete_upload(self, path: Path) -> None:
        """Delete an upload and its folder."""
        key = self._keys.get(path)
        if key is not None:
            self._delete(key)
        shutil.rmtree(path.parent, ignore_errors=True)

    def add_project_folder(self, folder: Path, uploads: list[Path], owner: str) -> None:
        """Register the folder of a project that is built from uploads, until the visit ends.

        Parameters
        ----------
        folder : Path
            Below `projects`. Its size counts as that of the uploads.
        uploads : list of Path
        owner : str
            Token of the visitor.
        """
        entries = [self._entries[self._keys[path]] for path in uploads if path in self._keys]
        size, address = sum(e.size for e in entries), entries[0].address if entries else ""
        if folder not in self._keys:
            self._add(RegisteredFile(folder, owner, float("inf"), True, 0, size, address))

    def release_project_folder(self, folder: Path) -> None:
        """Remove a folder from the register; it is deleted with the last visit of its project."""
        with self._lock:
            key = self._keys.pop(folder, None)
            if key is not None:
                self._entries.pop(key, None)

    # -- files of one visitor

    def new_file(self, name: str) -> Path:
        """Return the path for a new file of a visitor, in a folder of its own with a random name."""
        folder = self.folder / secrets.token_urlsafe(16)
        folder.mkdir(mode=0o700)
        return folder / name

    def add_own_image(self, owner: str, image: "Image") -> str:
        """Store the image that a visitor tries, in place of the one before; return its address."""
        self.discard_own_image(owner)
        image = image.copy()
        image.thumbnail((OPENED_SIZE, OPENED_SIZE))
        path = self.new_file("own-image.webp")
        image.save(path, "WEBP", quality=84, method=1)
        return self.url(path, owner, EXPORT_SECONDS)

    def discard_own_image(self, owner: str) -> None:
        """Delete the image that a visitor tried."""
        for key, entry in list(self._entries.items()):
            if entry.owner == owner and entry.path.name == "own-image.webp":
                self._delete(key)

    # -- images of projects

    def image_folder(self, project: "ProjectFolder") -> Path:
        """Return the folder of a project's thumbnail sheets and opened images."""
        with self._lock:
            folder = self._image_folders.get(project.path)
            if folder is None:
                folder = self._image_folders[project.path] = self._shared / secrets.token_urlsafe(16)
                folder.mkdir()
        return folder

    def forget_project(self, project: "ProjectFolder") -> None:
        """Delete the thumbnail sheets and opened images of a project."""
        with self._lock:
            folder = self._image_folders.pop(project.path, None)
            if folder is None:
                return
            for key in [k for k, e in self._entries.items() if e.path.parent == folder]:
                self._keys.pop(self._entries.pop(key).path, None)
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
        path = self.image_folder(project) / f"sheet-{number}.webp"
        with self._file_lock(path):
            if not path.is_file():
                _write_sheet(project, number, path)
        return path

    def sheet_url(self, project: "ProjectFolder", number: int, make: bool = False) -> str | None:
        """Return the address of a sheet; None if it does not exist yet and `make` is false."""
        path = self.image_folder(project) / f"sheet-{number}.webp"
        if make:
            path = self.sheet(project, number)
        return self.url(path) if path.is_file() else None

    def opened_image_url(self, project: "ProjectFolder", row: int) -> str:
        """Return the address of an image at full size; of its thumbnail if the original is unreadable."""
        path = self.image_folder(project) / f"image-{row}.webp"
        with self._file_lock(path):
            if not path.is_file():
                image = self._original(project, row)
                image.thumbnail((OPENED_SIZE, OPENED_SIZE))
                _save_webp(image, path, 84)
                self._delete_oldest_images(path.parent)
        return self.url(path)

    def _original(self, project: "ProjectFolder", row: int) -> "Image":
        """Return an image of a project from its original; from its thumbnail if that is not readable."""
        from PIL import Image

        from inficond.core.images.decode import UnreadableImage

        try:
            path = project.image_path(row, inside=not self._outside)
            return Image.fromarray(self.decoder.decode(path, OPENED_SIZE))
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
                key = self._keys.pop(old, None)
                if key is not None:
                    self._entries.pop(key, None)


def tile_order(project: "ProjectFolder") -> NDArray[np.intp]:
    """Return the rows of a project in the order of their tiles, validation images first; shape (N,)."""
    return np.concatenate([project.validation_rows, np.flatnonzero(~np.asarray(project.is_validation, bool))])


def safe_file_name(name: str) -> str:
    """Return a file name that is valid in a folder of the page, from a name that a browser sent."""
    base = re.split(r"[\\/]", name.encode("utf-8", "replace").decode())[-1]
    short = re.sub(r"[\x00-\x1f<>:\"|?*]+", "_", base).strip(". ").encode()[-120:].decode("utf-8", "ignore")
    return short.strip(". ") or "image"


def file_stem(name: str) -> str:
    """Return the stem of a file name for a name: lower case, shortened at a word boundary."""
    slug = re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-").lower()
    short = slug[:41].rpartition("-")[0] if len(slug) > 40 else slug
    return (short or slug)[:40].strip("-") or "inficond"


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
