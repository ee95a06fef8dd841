"""The register of the page's files: each has an owner, an expiry and an unguessable address.

The addresses hold random keys instead of paths, so neither paths of projects nor those of a person's
photographs reach a browser.
"""

import contextlib
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

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


class FileRegister:
    """Files and folders of a page by key.

    Parameters
    ----------
    folder : Path
        The page's folder. A file of a visitor lies in a folder of its own below it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[str, RegisteredFile] = {}
        self._keys: dict[Path, str] = {}
        self._lock = threading.Lock()

    def add(self, path: Path, owner: str, seconds: float = float("inf")) -> str:
        """Register a file, or renew its expiry; return its key.

        Parameters
        ----------
        path : Path
            A file in a folder of its own below the page's folder, or a shared image.
        owner : str
            Token of the visitor whose visit ends the life of the file, or `PUBLIC`.
        seconds : float
            Life of the file.
        """
        return self.add_entry(RegisteredFile(path, owner, time.monotonic() + seconds))

    def add_entry(self, entry: RegisteredFile) -> str:
        """Register a file or folder with all its fields; return its key."""
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
            key = self.add(path, owner, seconds)
        return f"{key}/{path.name}"

    def find(self, key: str, name: str) -> Path | None:
        """Return the file with an address, or None if there is none that may be served."""
        entry = self.entry(key) if _KEY.fullmatch(key) else None
        if entry is None or entry.is_upload or entry.path.name != name or not entry.path.is_file():
            return None
        return entry.path

    def entry(self, key: str) -> RegisteredFile | None:
        """Return the entry of a key."""
        return self._entries.get(key)

    def key_of(self, path: Path) -> str | None:
        """Return the key of a file or folder."""
        return self._keys.get(path)

    def items(self) -> list[tuple[str, RegisteredFile]]:
        """Return all keys and entries."""
        return list(self._entries.items())

    def remove(self, path: Path) -> None:
        """Remove a file or folder from the register without deleting it."""
        with self._lock:
            key = self._keys.pop(path, None)
            if key is not None:
                self._entries.pop(key, None)

    def remove_folder(self, folder: Path) -> None:
        """Remove the files of a folder from the register without deleting them."""
        with self._lock:
            for key in [k for k, e in self._entries.items() if e.path.parent == folder]:
                self._keys.pop(self._entries.pop(key).path, None)

    def delete(self, key: str) -> None:
        """Remove a file or folder from the register and delete it."""
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
        if entry.path.parent != self._folder and entry.owner != PUBLIC:
            with contextlib.suppress(OSError):  # not empty
                entry.path.parent.rmdir()
