"""Files that visitors send to the page and get from it, in one private temporary folder.

Folders that a killed process left are removed at the next start.
"""

import contextlib
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from inficond.core.errors import InputError
from inficond.core.serving.picture_process import PictureDecoder
from inficond.gradio_app.file_names import safe_file_name
from inficond.gradio_app.file_register import PUBLIC, FileRegister, RegisteredFile
from inficond.gradio_app.page_folder import make_page_folder
from inficond.gradio_app.project_images import OPENED_SIZE, ProjectImages

if TYPE_CHECKING:
    from PIL.Image import Image

UPLOAD_SECONDS = 3600.0
"""Seconds after which an upload that was not used is deleted."""
ABANDONED_SECONDS = 900.0
"""Seconds after which an incomplete upload is deleted; longer than an upload takes."""
EXPORT_SECONDS = 3600.0
"""Seconds after which an export is deleted, if its visit has not ended before."""
PIXELS_PER_SECOND = 25e6
"""Speed of decoding an image, for scheduling."""


class PageFiles:
    """The files of a running page.

    Parameters
    ----------
    parent : Path, optional
        Folder for the page's own folder; the system's temporary folder by default.
    outside : bool
        See `ProjectImages`.

    Attributes
    ----------
    folder, uploads, projects : Path
        The page's own folder, and those of uploads and of projects from uploads below it.
    register : FileRegister
    decoder : PictureDecoder
    images : ProjectImages
    """

    def __init__(self, parent: Path | None = None, outside: bool = False) -> None:
        parent = parent or Path(tempfile.gettempdir())
        self.folder, self._folder_lock = make_page_folder(parent)
        self.uploads = self.folder / "uploads"
        self.projects = self.folder / "projects"
        shared = self.folder / "shared"
        for folder in (self.uploads, self.projects, shared):
            folder.mkdir()
        self.register = FileRegister(self.folder)
        self.decoder = PictureDecoder()
        self.images = ProjectImages(shared, self.register, self.decoder, outside)

    def close(self) -> None:
        """End the background threads and processes and delete all files."""
        self.decoder.close()
        self.images.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._folder_lock is not None:
            self._folder_lock.close()

    def end_visit(self, owner: str) -> None:
        """Delete the files of a visitor."""
        for key in [k for k, e in self.register.items() if e.owner == owner]:
            self.register.delete(key)

    def sweep(self, now: float | None = None) -> int:
        """Delete expired files, and upload folders that no entry refers to; return the number of files.

        Parameters
        ----------
        now : float, optional
            Time of `time.monotonic`.
        """
        moment = time.monotonic() if now is None else now
        expired = [key for key, entry in self.register.items() if entry.expires <= moment]
        for key in expired:
            self.register.delete(key)
        known = {entry.path.parent for _, entry in self.register.items()}
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
        key = self.register.add_entry(
            RegisteredFile(path, owner, expires, True, pixels, path.stat().st_size, address)
        )
        return f"{key}/{path.name}"

    def decode_cost(self, address: object) -> float:
        """Return the expected seconds of decoding and encoding an upload."""
        key = address.partition("/")[0] if isinstance(address, str) else ""
        entry = self.register.entry(key)
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
            for _, e in self.register.items()
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
        entry = self.register.entry(key)
        if entry is None or not entry.is_upload or entry.owner not in (owner, PUBLIC):
            raise InputError("the upload is not here: choose the file and upload it again")
        if address != f"{key}/{entry.path.name}" or not entry.path.is_file():
            raise InputError("the upload is not here: choose the file and upload it again")
        return entry.path

    def delete_upload(self, path: Path) -> None:
        """Delete an upload and its folder."""
        key = self.register.key_of(path)
        if key is not None:
            self.register.delete(key)
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
        keys = [key for path in uploads if (key := self.register.key_of(path))]
        entries = [entry for key in keys if (entry := self.register.entry(key))]
        size, address = sum(e.size for e in entries), entries[0].address if entries else ""
        if self.register.key_of(folder) is None:
            self.register.add_entry(RegisteredFile(folder, owner, float("inf"), True, 0, size, address))

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
        return self.register.url(path, owner, EXPORT_SECONDS)

    def discard_own_image(self, owner: str) -> None:
        """Delete the image that a visitor tried."""
        for key, entry in self.register.items():
            if entry.owner == owner and entry.path.name == "own-image.webp":
                self.register.delete(key)
