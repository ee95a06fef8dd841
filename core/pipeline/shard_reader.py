"""All pieces of a build as one: columns of the project's arrays, read a piece at a time."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from inficond.core.pipeline.shards import Piece, PieceStore, SourceFile, cut
from inficond.core.project.arrays import Chunks


class Whole:
    """The finished pieces of all sources, in order.

    Parameters
    ----------
    store : PieceStore
    sources : sequence of SourceFile

    Attributes
    ----------
    ids : list of n str
        Of the images that could be read.
    n : int
    sizes : (n, 2) int32
        Width and height.
    skipped, remarks : list of (id, text)
    """

    def __init__(self, store: PieceStore, sources: Sequence[SourceFile]) -> None:
        self._store, self._cuts = store, list(cut(sources))
        self.ids: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.remarks: list[tuple[str, str]] = []
        self._counts: list[int] = []
        self._shapes: dict[str, tuple[tuple[int, ...], str]] = {}
        sizes = [np.zeros((0, 2), np.int32)]
        for piece in self._loaded():
            self.ids += piece.ids
            self.skipped += piece.skipped
            self.remarks += piece.remarks
            self._counts.append(len(piece.ids))
            sizes.append(piece.sizes)
            for name in ("regions", "assignment", "responses"):
                array: np.ndarray = getattr(piece, name)
                self._shapes[name] = (array.shape[1:], array.dtype.name)
        self.sizes = np.concatenate(sizes)
        self.n = len(self.ids)

    def _loaded(self) -> Iterator[Piece]:
        for sources in self._cuts:
            yield self._store.load(sources)

    def pieces(self, name: str) -> Iterator[np.ndarray]:
        """One array of every piece that has an image."""
        for sources, count in zip(self._cuts, self._counts):
            if count:
                yield self._store.array(sources, name)

    def chunks(self, name: str) -> Chunks:
        """The whole array, for writing."""
        shape, dtype = self._shapes[name]
        return Chunks((self.n, *shape), dtype, lambda: self.pieces(name))

    def thumbnails(self) -> Iterable[bytes]:
        """Every thumbnail, in order."""
        for piece in self._loaded():
            yield from piece.thumbnails

    def rows(self, name: str) -> "Rows":
        """The whole array, for reading in slices."""
        return Rows(self, name)

    def slice(self, name: str, rows: slice) -> np.ndarray:
        """Some rows of the whole array; only the pieces that hold them are read."""
        start, stop, _ = rows.indices(self.n)
        parts, first = [], 0
        for sources, count in zip(self._cuts, self._counts):
            if count and first < stop and first + count > start:
                array = self._store.array(sources, name)
                parts.append(array[max(0, start - first) : stop - first])
            first += count
        shape, dtype = self._shapes[name]
        return np.concatenate(parts) if parts else np.zeros((0, *shape), dtype)

    def gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return chosen rows of the whole array; `rows` (m,) int, in increasing order."""
        parts, first = [], 0
        for sources, count in zip(self._cuts, self._counts):
            own = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + count)]
            if len(own):
                parts.append(self._store.array(sources, name)[own - first])
            first += count
        shape, dtype = self._shapes[name]
        return np.concatenate(parts) if parts else np.zeros((0, *shape), dtype)


class Rows:
    """An array on disk in pieces that looks like one: `shape`, and slices along the first axis."""

    def __init__(self, whole: Whole, name: str) -> None:
        self._whole, self._name = whole, name
        self.shape = (whole.n, *whole.chunks(name).shape[1:])

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._whole.slice(self._name, rows)
