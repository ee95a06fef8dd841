"""Images to pieces: each file decoded once, for encoder, teacher and thumbnail alike.

Workers take a batch each and carry it through: decode, resize, encode, ask the teacher. On the CPU sessions
run single-threaded, so every core works on a batch of its own and none waits for another; on an accelerator
the workers decode while one of them has its turn on the device. What is under way is bounded, and results are
taken in order, so memory does not grow with the number of images and no number depends on timing.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from inficond.core.images import UnreadableImage, make_thumbnail
from inficond.core.images.thumbnail import LONGER_SIDE
from inficond.core.models.encoder import Encoder
from inficond.core.models.hardware import available_cores
from inficond.core.models.teacher import Teacher
from inficond.core.pipeline.shards import PIECE, Piece, PieceStore, SourceFile, cut
from inficond.core.progress import Progress

BATCH = {"cpu": 4}
"""Images in a call, by provider; a divisor of `PIECE`. On the CPU more needs more memory and is no faster."""

BATCH_ELSEWHERE = 64


@dataclass(frozen=True, eq=False)
class _Batch:
    """A batch carried through: rows of arrays for what could be read, reasons for what could not."""

    ids: list[str]
    regions: np.ndarray
    assignment: np.ndarray
    responses: np.ndarray
    sizes: np.ndarray
    thumbnails: list[bytes]
    skipped: list[tuple[str, str]]
    remarks: list[tuple[str, str]]


class Encoding:
    """Encoder and teacher, applied to batches of files.

    Parameters
    ----------
    encoder : Encoder
    teacher : Teacher or None
        None: the teacher is a file of responses.
    thumbnails : bool
        Whether to make them (a benchmark may leave them out).
    """

    def __init__(self, encoder: Encoder, teacher: Teacher | None, thumbnails: bool = True) -> None:
        self.encoder, self.teacher, self._thumbnails = encoder, teacher, thumbnails
        self.batch = BATCH.get(encoder.provider, BATCH_ELSEWHERE)
        wanted = [LONGER_SIDE, encoder.preprocess.at_least]
        if teacher is not None:
            wanted.append(teacher.preprocess.at_least)
        self.at_least = max(wanted)

    @property
    def basis(self) -> str:
        """Everything the numbers depend on beside the files themselves."""
        from inficond.core.models.runtime import onnxruntime as ort

        parts = [self.encoder.manifest.digest, self.encoder.provider, ort.__version__, str(self.batch)]
        if self.teacher is not None:
            parts += [self.teacher.manifest.digest, self.teacher.provider]
        return " ".join(parts)

    def run(self, sources: Sequence[SourceFile]) -> _Batch:
        """Decode, encode and ask the teacher; the batch that the sessions see always has `batch` rows.

        A fixed number of rows, filled up with black, keeps every run on the same kernels (and on an
        accelerator the same compiled engine), so a row's numbers do not depend on its neighbours' number.
        """
        ids: list[str] = []
        sizes: list[tuple[int, int]] = []
        thumbnails: list[bytes] = []
        skipped: list[tuple[str, str]] = []
        remarks: list[tuple[str, str]] = []
        pixels = np.zeros((self.batch, *self.encoder.size, 3), np.uint8)
        teacher_pixels = None
        if self.teacher is not None:
            teacher_pixels = np.zeros((self.batch, *self.teacher.preprocess.size, 3), np.uint8)
        for source in sources:
            id, row = source.file.id, len(ids)
            try:
                picture = source.file.open(self.at_least)
            except UnreadableImage as error:
                skipped.append((id, error.reason))
                continue
            pixels[row] = self.encoder.preprocess(picture.image)
            if self.teacher is not None and teacher_pixels is not None:
                teacher_pixels[row] = self.teacher.preprocess(picture.image)
            thumbnails.append(make_thumbnail(picture.image) if self._thumbnails else b"")
            ids.append(id)
            sizes.append((picture.width, picture.height))
            if picture.remark:
                remarks.append((id, picture.remark))
        n, cells = len(ids), self.encoder.grid[0] * self.encoder.grid[1]
        labels = len(self.teacher.labels) if self.teacher is not None else 0
        if n == 0:
            regions = np.zeros((0, self.encoder.n_regions, self.encoder.dim), np.float16)
            assignment, responses = np.zeros((0, cells), np.uint8), np.zeros((0, labels), np.float32)
        else:
            encoded = self.encoder.encode(pixels)
            regions, assignment = encoded.regions[:n].astype(np.float16), encoded.assignment[:n]
            responses = np.zeros((n, 0), np.float32)
            if self.teacher is not None and teacher_pixels is not None:
                responses = self.teacher.respond(teacher_pixels)[:n]
        shape = np.array(sizes, np.int32).reshape(n, 2)
        return _Batch(ids, regions, assignment, responses, shape, thumbnails, skipped, remarks)

    def stream(self, batches: Iterator[Sequence[SourceFile]], workers: int | None = None) -> Iterator[_Batch]:
        """`run` over batches, side by side, results in order; at most two batches wait per worker."""
        workers = workers or available_cores()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="encode")
        pending: deque[Future[_Batch]] = deque()
        try:
            for batch in batches:
                pending.append(pool.submit(self.run, batch))
                if len(pending) >= 2 * workers + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def encode_pieces(
    encoding: Encoding,
    store: PieceStore,
    sources: Sequence[SourceFile],
    progress: Progress,
    workers: int | None = None,
) -> int:
    """Make every piece that is not finished yet.

    Returns
    -------
    int
        Images whose work an earlier run had already done.

    Raises
    ------
    Cancelled
        `progress` was told to stop; finished pieces stay.
    """
    pieces = list(cut(sources))
    todo = [piece for piece in pieces if not store.finished(piece)]
    waiting = sum(len(piece) for piece in todo)
    progress.start("reading and encoding images", len(sources), len(sources) - waiting)
    batches = (piece[i : i + encoding.batch] for piece in todo for i in range(0, len(piece), encoding.batch))
    results = encoding.stream(batches, workers)
    try:
        for piece in todo:
            parts = []
            for start in range(0, len(piece), encoding.batch):
                parts.append(next(results))
                progress.advance(len(piece[start : start + encoding.batch]))
            store.save(piece, _joined(parts))
            del parts
    finally:
        results.close()  # type: ignore[attr-defined]  # a generator: ends its workers
    return len(sources) - waiting


def _joined(parts: Sequence[_Batch]) -> Piece:
    return Piece(
        ids=[id for part in parts for id in part.ids],
        regions=np.concatenate([part.regions for part in parts]),
        assignment=np.concatenate([part.assignment for part in parts]),
        responses=np.concatenate([part.responses for part in parts]),
        sizes=np.concatenate([part.sizes for part in parts]),
        thumbnails=[thumbnail for part in parts for thumbnail in part.thumbnails],
        skipped=[skip for part in parts for skip in part.skipped],
        remarks=[remark for part in parts for remark in part.remarks],
    )


assert PIECE % BATCH_ELSEWHERE == 0
assert all(PIECE % batch == 0 for batch in BATCH.values())
