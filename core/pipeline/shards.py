"""Finished shards of a build, each a file named by everything its content depends on.

A shard does not depend on the run that made it, so an interrupted build resumes from the shards of earlier
runs. The format is described in docs/formats.md.
"""

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from inficond.core.checksum import sha256_of
from inficond.core.images import ImageRecord
from inficond.core.pipeline.shard_files import open_place
from inficond.core.processors import available_processors
from inficond.core.progress import Progress

SHARD_SIZE = 128
"""Images in a shard: an interruption costs at most so much work."""

READ_TOGETHER = 16
"""Images whose checksums a thread reads before it takes others: a small file takes less time than that."""

VERSION = 2
"""Part of every name; increased when the same images would give other numbers."""

READERS = 8
"""Shards that are read at a time."""

KEPT_BYTES = 64 << 20
"""Bytes of the first shards that a store keeps in memory after writing them."""

RETRIED = ("cannot be read", "not enough memory")
"""Reasons for which an image is tried again by the next run."""


@dataclass(frozen=True)
class SourceFile:
    """An image and the version of its content.

    Parameters
    ----------
    file : ImageRecord
    size : int
        Bytes; −1 where the size is unknown or the file cannot be read.
    content : str
        SHA-256 of a file, or the version of an image inside another file; empty where it cannot be read.
    """

    file: ImageRecord
    size: int
    content: str

    @classmethod
    def of(cls, file: ImageRecord) -> Self:
        """Read the size and the checksum of an image."""
        if file.path is None:
            return cls(file, file.size, file.version)
        try:
            info = file.path.stat()
            if not stat.S_ISREG(info.st_mode):  # opening a pipe would block
                return cls(file, -1, "")
            return cls(file, info.st_size, sha256_of(file.path))
        except (OSError, ValueError):
            return cls(file, -1, "")


@dataclass(frozen=True, eq=False, kw_only=True)
class ShardSummary:
    """Names and sizes of the images of a shard, without its arrays.

    Parameters
    ----------
    ids : list of n str
        Of the images that could be read, in the order of the rows.
    sizes : (n, 2) int32
        Width and height of the upright images.
    skipped : list of (id, reason)
        Images that could not be read.
    remarks : list of (id, remark)
        Conversions that were made while reading.
    maker : str
        Execution provider and versions of the process that made the shard.
    """

    ids: list[str]
    sizes: np.ndarray
    skipped: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    maker: str = ""

    @property
    def unread(self) -> list[tuple[str, str]]:
        """Skipped images that may be readable at another time or on another machine, with the reasons."""
        return [(id, reason) for id, reason in self.skipped if reason.startswith(RETRIED)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Shard(ShardSummary):
    """Results for a number of images, of which n could be read.

    Parameters
    ----------
    ids, sizes, skipped, remarks, maker
        As for `ShardSummary`.
    regions : (n, R, D) float16
        Region embeddings.
    assignment : (n, h*w) uint8
        The region of each cell.
    responses : (n, L) float32
        The teacher's probabilities; L = 0 if the teacher is a response table.
    thumbnails : list of n bytes
    """

    regions: np.ndarray
    assignment: np.ndarray
    responses: np.ndarray
    thumbnails: list[bytes]

    @classmethod
    def joined(cls, parts: Sequence["Shard"]) -> Self:
        """Return one shard with the images of several."""
        return cls(
            ids=[id for part in parts for id in part.ids],
            sizes=np.concatenate([part.sizes for part in parts]),
            skipped=[skip for part in parts for skip in part.skipped],
            remarks=[remark for part in parts for remark in part.remarks],
            maker=parts[0].maker,
            regions=np.concatenate([part.regions for part in parts]),
            assignment=np.concatenate([part.assignment for part in parts]),
            responses=np.concatenate([part.responses for part in parts]),
            thumbnails=[thumbnail for part in parts for thumbnail in part.thumbnails],
        )

    @property
    def nbytes(self) -> int:
        """Size of arrays and thumbnails in memory."""
        arrays = self.sizes, self.regions, self.assignment, self.responses
        return sum(array.nbytes for array in arrays) + sum(map(len, self.thumbnails))

    @property
    def summary(self) -> ShardSummary:
        """The shard without its arrays."""
        return ShardSummary(
            ids=self.ids,
            sizes=self.sizes,
            skipped=self.skipped,
            remarks=self.remarks,
            maker=self.maker,
        )


class ShardStore:
    """Finished shards in a folder or at a URL.

    The name of a shard follows from the ids and the content of its images and from the models alone, so that
    any number of processes and machines may write to one store. In a folder, each file is written under a
    name of its own and renamed; where two processes make the same shard, the later one replaces the earlier.

    Parameters
    ----------
    place : Path or str
        A folder, or a URL that fsspec opens; see `open_place`.
    basis : str
        Checksums of the models; see `Encoding.basis`.
    """

    def __init__(self, place: Path | str, basis: str) -> None:
        self.place = place
        self._files, self._basis = open_place(place), basis
        self._kept: dict[str, Shard] = {}
        self._room = KEPT_BYTES

    def name(self, sources: Sequence[SourceFile]) -> str:
        """Return the file name of the shard of these images, whether it exists or not."""
        parts = [VERSION, self._basis, [(s.file.id, s.size, s.content) for s in sources]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40] + ".npz"

    def path(self, sources: Sequence[SourceFile]) -> Path:
        """Return the file of the shard of these images in a store that is a folder."""
        return Path(self.place) / self.name(sources)

    def finished(self, sources: Sequence[SourceFile], retry: bool = True) -> ShardSummary | None:
        """Return the summary of a finished shard.

        Parameters
        ----------
        sources : sequence of SourceFile
        retry : bool
            Whether a shard counts as missing if an image of it should be tried again.

        Returns
        -------
        ShardSummary or None
            None if the shard has to be made: it is missing, damaged or of other images.

        Raises
        ------
        InputError
            The store cannot be reached.
        """
        name = self.name(sources)
        if not self._files.exists(name):
            return None
        try:
            with self._opened(name) as data:
                summary = _summary(data)
        except Exception:  # zipfile, NumPy and json raise many types for damaged files
            return None
        held = {*summary.ids, *(id for id, _ in summary.skipped)}
        if held != {source.file.id for source in sources}:
            return None
        return None if retry and summary.unread else summary

    def finished_all(self, shards: Sequence[Sequence[SourceFile]]) -> list[ShardSummary | None]:
        """Return `finished` of each shard, read in parallel.

        Raises
        ------
        InputError
            The store cannot be reached.
        """
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(self.finished, shards))

    def save(self, sources: Sequence[SourceFile], shard: Shard) -> None:
        """Write a shard atomically; the zip format adds a CRC-32 of each array.

        The first shards that are written stay in memory too, so that a small project reads none again.

        Raises
        ------
        InputError
            The disk is full, or the place cannot be written or reached.
        """
        names = {
            "ids": shard.ids, "skipped": shard.skipped, "remarks": shard.remarks, "maker": shard.maker,
        }  # fmt: skip
        name, size = self.name(sources), shard.nbytes
        with self._files.write(name) as file:
            np.savez(
                file,
                said=np.frombuffer(json.dumps(names).encode(), np.uint8),
                regions=shard.regions,
                assignment=shard.assignment,
                responses=shard.responses,
                sizes=shard.sizes,
                thumbnails=np.frombuffer(b"".join(shard.thumbnails), np.uint8),
                thumbnail_ends=np.cumsum([len(t) for t in shard.thumbnails], dtype=np.int64),
            )
        if size <= self._room and name not in self._kept:
            self._room -= size
            self._kept[name] = shard

    def load(self, sources: Sequence[SourceFile]) -> Shard:
        """Read a shard; every array is compared with its CRC-32.

        Raises
        ------
        Exception
            The file is missing or damaged; zipfile, NumPy and json raise many types.
        """
        name = self.name(sources)
        if name in self._kept:
            return self._kept[name]
        with self._opened(name) as data:
            summary = _summary(data)
            blob, ends = data["thumbnails"].tobytes(), data["thumbnail_ends"].tolist()
            if [0, *ends] != sorted([0, *ends]):
                raise ValueError("the thumbnails of a shard overlap")
            shard = Shard(
                ids=summary.ids,
                sizes=summary.sizes,
                skipped=summary.skipped,
                remarks=summary.remarks,
                maker=summary.maker,
                regions=data["regions"],
                assignment=data["assignment"],
                responses=data["responses"],
                thumbnails=[blob[start:end] for start, end in zip([0, *ends], ends)],
            )
        arrays = (shard.regions, shard.assignment, shard.responses, shard.thumbnails)
        if any(len(array) != len(shard.ids) for array in arrays):
            raise ValueError("the arrays of a shard do not fit each other")
        if not (np.isfinite(shard.regions).all() and np.isfinite(shard.responses).all()):
            raise ValueError("a shard has NaN or infinite values")
        return shard

    def load_responses(self, sources: Sequence[SourceFile]) -> np.ndarray:
        """Read the teacher's responses of a shard, (n, L) float32, compared with their CRC-32.

        Raises
        ------
        Exception
            The file is missing or damaged; zipfile, NumPy and json raise many types.
        """
        name = self.name(sources)
        if name in self._kept:
            return self._kept[name].responses
        with self._opened(name) as data:
            summary, responses = _summary(data), data["responses"]
        if len(responses) != len(summary.ids):
            raise ValueError("the arrays of a shard do not fit each other")
        return responses

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        """Open the arrays of a shard; compressed ones are refused, so that none is larger than the file."""
        with self._files.read(name) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                    raise ValueError("the arrays of a shard are compressed")
                if sum(entry.file_size for entry in entries) > size:
                    raise ValueError("the arrays of a shard overlap")
            file.seek(0)
            with np.load(file, allow_pickle=False) as data:
                yield data


def _summary(data: Any) -> ShardSummary:
    names: dict[str, Any] = json.loads(data["said"].tobytes())
    summary = ShardSummary(
        ids=names["ids"],
        sizes=data["sizes"],
        skipped=[(id, reason) for id, reason in names["skipped"]],
        remarks=[(id, remark) for id, remark in names["remarks"]],
        maker=names["maker"],
    )
    texts = [text for pair in (*summary.skipped, *summary.remarks) for text in pair]
    if not all(isinstance(text, str) for text in (*summary.ids, *texts, summary.maker)):
        raise ValueError("the names of a shard are not texts")
    if summary.sizes.dtype != np.int32 or (summary.sizes < 1).any():
        raise ValueError("the sizes of a shard are not numbers of pixels")
    if summary.sizes.shape != (len(summary.ids), 2):
        raise ValueError("the sizes of a shard do not fit its images")
    return summary


def shards_of(sources: Sequence[SourceFile]) -> Iterator[Sequence[SourceFile]]:
    """Yield the images of each shard."""
    for start in range(0, len(sources), SHARD_SIZE):
        yield sources[start : start + SHARD_SIZE]


def read_versions(records: Sequence[ImageRecord], progress: Progress) -> list[SourceFile]:
    """Return the images with the checksums of their content, read in parallel."""
    found: list[SourceFile] = []
    progress.start("reading checksums of images", len(records))
    parts = [records[start : start + READ_TOGETHER] for start in range(0, len(records), READ_TOGETHER)]
    with ThreadPoolExecutor(available_processors()) as pool:
        for part in pool.map(lambda part: [SourceFile.of(record) for record in part], parts):
            found += part
            progress.advance(len(part))
    return found
