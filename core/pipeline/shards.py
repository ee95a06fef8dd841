"""Finished pieces of a long build: named by what they depend on, whole or absent, believed once checked.

That is what makes a killed build resumable: a piece's numbers depend on nothing but what is in its name, so
it does not matter which run made it. The format is described in docs/formats.md.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.atomic_io import replacing
from inficond.core.images import ImageRecord

PIECE = 128
"""Images in a piece: what a kill can cost at most."""

VERSION = 1
"""Part of every name: raised whenever the numbers of a piece would come out differently."""


@dataclass(frozen=True)
class SourceFile:
    """An image and the version of its content.

    Parameters
    ----------
    file : ImageRecord
    size : int
        Bytes; −1 where the size is unknown.
    changed : int or str
        Time of the last change of a file in nanoseconds, or the version of an image inside another file.
    """

    file: ImageRecord
    size: int
    changed: int | str

    @classmethod
    def of(cls, file: ImageRecord) -> "SourceFile":
        """Read the size and the version of an image."""
        if file.path is None:
            return cls(file, file.size, file.version)
        try:
            info = file.path.stat()
        except OSError:
            return cls(file, -1, 0)
        return cls(file, info.st_size, info.st_mtime_ns)


@dataclass(frozen=True, eq=False)
class Piece:
    """What was computed from up to `PIECE` image files; n of them could be read.

    Parameters
    ----------
    ids : list of n str
        In the order of the rows.
    regions : (n, R, D) float16
    assignment : (n, h*w) uint8
    responses : (n, L) float32
        The teacher's probabilities; L = 0 where the teacher is a file.
    sizes : (n, 2) int32
        Width and height of the upright pictures.
    thumbnails : list of n bytes
    skipped : list of (id, reason)
        The files that could not be read.
    remarks : list of (id, remark)
        What was changed while reading.
    """

    ids: list[str]
    regions: np.ndarray
    assignment: np.ndarray
    responses: np.ndarray
    sizes: np.ndarray
    thumbnails: list[bytes]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)


class PieceStore:
    """The folder of finished pieces.

    Parameters
    ----------
    folder : Path
    basis : str
        Everything that all pieces depend on: models, provider, batch size.
    """

    def __init__(self, folder: Path, basis: str) -> None:
        self._folder, self._basis = folder, basis

    def path(self, sources: Sequence[SourceFile]) -> Path:
        """Where the piece of these files is, or will be."""
        said = [VERSION, self._basis, [(s.file.id, s.file.where, s.size, s.changed) for s in sources]]
        return self._folder / (hashlib.sha256(json.dumps(said).encode()).hexdigest()[:40] + ".npz")

    def finished(self, sources: Sequence[SourceFile]) -> bool:
        """Whether the piece is there and whole; one that is not, or that met a passing fault, is removed."""
        path = self.path(sources)
        if not path.exists():
            return False
        try:
            piece = self.load(sources)
        except Exception:  # damage reaches zip, NumPy and JSON as everything that they can raise
            path.unlink(missing_ok=True)
            return False
        if any(reason.startswith(("cannot be read", "not enough memory")) for _, reason in piece.skipped):
            path.unlink(missing_ok=True)
            return False
        return True

    def save(self, sources: Sequence[SourceFile], piece: Piece) -> None:
        """Write a piece; it takes its name only when it is on the disk. Zip keeps CRC-32 of each array."""
        thumbnails = np.frombuffer(b"".join(piece.thumbnails), np.uint8)
        ends = np.cumsum([len(t) for t in piece.thumbnails], dtype=np.int64)
        said = {"ids": piece.ids, "skipped": piece.skipped, "remarks": piece.remarks}
        with replacing(self.path(sources)) as file:
            np.savez(
                file,
                said=np.frombuffer(json.dumps(said).encode(), np.uint8),
                regions=piece.regions,
                assignment=piece.assignment,
                responses=piece.responses,
                sizes=piece.sizes,
                thumbnails=thumbnails,
                thumbnail_ends=ends,
            )

    def load(self, sources: Sequence[SourceFile]) -> Piece:
        """Read a piece; every array is held against its CRC-32."""
        with np.load(self.path(sources), allow_pickle=False) as data:
            said: dict[str, Any] = json.loads(data["said"].tobytes())
            blob, ends = data["thumbnails"].tobytes(), data["thumbnail_ends"].tolist()
            piece = Piece(
                ids=said["ids"],
                regions=data["regions"],
                assignment=data["assignment"],
                responses=data["responses"],
                sizes=data["sizes"],
                thumbnails=[blob[start:end] for start, end in zip([0, *ends], ends)],
                skipped=[(id, reason) for id, reason in said["skipped"]],
                remarks=[(id, remark) for id, remark in said["remarks"]],
            )
        n = len(piece.ids)
        arrays = (piece.regions, piece.assignment, piece.responses, piece.sizes, piece.thumbnails)
        if any(len(a) != n for a in arrays):
            raise ValueError("the arrays of a piece do not fit each other")
        told = [text for pair in (*piece.skipped, *piece.remarks) for text in pair]
        if not all(isinstance(text, str) for text in (*piece.ids, *told)):
            raise ValueError("the names of a piece are no texts")
        return piece

    def array(self, sources: Sequence[SourceFile], name: str) -> np.ndarray:
        """One array of a piece."""
        with np.load(self.path(sources), allow_pickle=False) as data:
            return data[name]


def cut(sources: Sequence[SourceFile]) -> Iterator[Sequence[SourceFile]]:
    """The files of each piece."""
    for start in range(0, len(sources), PIECE):
        yield sources[start : start + PIECE]
