"""Thumbnails of a project: packs of a thousand images each, or one file per image in projects of format 1."""

import zlib
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from inficond.core.atomic_io import replacing, write_errors
from inficond.core.checksum import HashingFile
from inficond.core.errors import InputError
from inficond.core.file_access import open_regular, read_regular
from inficond.core.project import files
from inficond.core.project.arrays import FileEntry, damaged, save_array

MAX_THUMBNAIL = 4 << 20
"""Bytes of a thumbnail."""


class ThumbnailReader:
    """Reads the thumbnails of a project.

    Parameters
    ----------
    root : Path
        The project folder.
    suffix : str
        Kind of the image files: ``jpg``, ``webp`` or ``png``.
    crc32 : (N,) uint32
        Checksums; 0 where an image has no thumbnail.
    ends : (N,) int64, optional
        Where the thumbnail of each image ends in its pack; None for one file per image.
    """

    def __init__(self, root: Path, suffix: str, crc32: np.ndarray, ends: np.ndarray | None = None) -> None:
        self._root, self._suffix, self._crc32, self._ends = root, suffix, crc32, ends

    @property
    def packed(self) -> bool:
        """Whether a file holds many thumbnails."""
        return self._ends is not None

    def file(self, row: int) -> Path:
        """Return the file that holds an image's thumbnail."""
        name = files.pack_name(row) if self.packed else files.thumbnail_name(row, self._suffix)
        return self._root / name

    def read(self, row: int) -> bytes:
        """Return the image file of a thumbnail, compared with its checksum.

        Parameters
        ----------
        row : int
            Of an existing image.

        Raises
        ------
        InputError
            It is missing, its file is not a regular file, or its bytes have changed.
        """
        path = self.file(row)
        try:
            data = read_regular(path, self._root, MAX_THUMBNAIL) if self._ends is None else self._part(row)
        except OSError as error:
            raise damaged(path, error.strerror or str(error)) from error
        expected = int(self._crc32[row])
        if expected and zlib.crc32(data) != expected:
            raise damaged(path, f"the bytes of image {row} have changed")
        return data

    def _part(self, row: int) -> bytes:
        """Return the part of a pack that belongs to an image."""
        path, ends = self.file(row), self._ends
        assert ends is not None
        start = int(ends[row - 1]) if row % files.PER_PACK else 0
        size = int(ends[row]) - start
        if size == 0:
            raise InputError(f"image {row} of {self._root} has no thumbnail")
        if start < 0 or not 0 < size <= MAX_THUMBNAIL:
            raise damaged(self._root / files.THUMBNAIL_ENDS, f"image {row} has {size:,} bytes at {start:,}")
        with open_regular(path, self._root) as file:
            file.seek(start)
            data = file.read(size)
        if len(data) != size:
            raise damaged(path, "it is cut short")
        return data


class ThumbnailWriter:
    """Writes the thumbnails of a project in row order.

    Parameters
    ----------
    root : Path
        The project folder.
    n_images : int
        N.
    packed : bool
        Whether a thousand thumbnails share a file. One file per image suits a project whose originals are its
        thumbnails.

    Attributes
    ----------
    suffix : str or None
        Kind of the image files written so far.
    crc32 : (N,) uint32
    entries : dict of str to FileEntry
        The complete packs; after `close` all files except those of single images.
    """

    def __init__(self, root: Path, n_images: int, packed: bool = True) -> None:
        self._root, self._packed = root, packed
        self.suffix: str | None = None
        self.crc32 = np.zeros(n_images, np.uint32)
        self.entries: dict[str, FileEntry] = {}
        self._ends = np.zeros(n_images, np.int64)
        self._rows = 0
        self._name = ""
        self._context: AbstractContextManager[BinaryIO] | None = None
        self._pack: HashingFile | None = None

    def append(self, thumbnails: Iterable[bytes], first: int) -> int:
        """Write the thumbnails of consecutive images; return their number.

        Parameters
        ----------
        thumbnails : iterable of bytes
            Image files, all JPEG, all WebP or all PNG.
        first : int
            Row of the first image; images left out before it have no thumbnail.

        Raises
        ------
        ValueError
            One is not an image file, or of another kind than those before.
        InputError
            The disk is full.
        """
        self._skip_to(first)
        for data in thumbnails:
            suffix = next((s for magic, s in files.THUMBNAIL_KINDS.items() if data.startswith(magic)), None)
            if suffix is None or self.suffix not in (None, suffix):
                raise ValueError(f"thumbnail {self._rows} is not a {self.suffix or 'JPEG, WebP or PNG'} file")
            self.suffix = suffix
            self.crc32[self._rows] = zlib.crc32(data)
            self._write(data)
        return self._rows - first

    def _skip_to(self, row: int) -> None:
        while self._rows < row:
            self._write(b"")

    def _write(self, data: bytes) -> None:
        row, self._rows = self._rows, self._rows + 1
        if not self._packed:
            if data:
                path = self._root / files.thumbnail_name(row, self.suffix or "jpg")
                with write_errors(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
            return
        if row % files.PER_PACK == 0:
            self._close_pack()
            self._name = files.pack_name(row)
            self._context = replacing(self._root / self._name)
            self._pack = HashingFile(self._context.__enter__())
        assert self._pack is not None
        with write_errors(self._root / files.pack_name(row)):
            self._pack.write(data)
        self._ends[row] = self._pack.bytes

    def _close_pack(self) -> None:
        if self._context is None or self._pack is None:
            return
        self._context.__exit__(None, None, None)
        self.entries[self._name] = {"sha256": self._pack.sha256, "bytes": self._pack.bytes}
        self._context = self._pack = None

    def close(self) -> None:
        """Complete the last pack and write where each thumbnail ends; without thumbnails write nothing."""
        if not self._packed or self.suffix is None:
            return
        self._skip_to(len(self._ends))
        self._close_pack()
        self.entries[files.THUMBNAIL_ENDS] = save_array(self._root / files.THUMBNAIL_ENDS, self._ends)

    def discard(self) -> None:
        """Delete the pack that is not complete."""
        if self._context is not None:
            error = InputError("the project was not completed")
            with suppress(InputError):
                self._context.__exit__(InputError, error, None)
            self._context = self._pack = None
