"""Encoding of images in shards: each image is decoded once, for encoder, teacher and thumbnail alike.

Each worker thread takes a batch through all steps: decode, resize, encode, apply the teacher. On the CPU,
sessions run single-threaded, so that every core works on its own batch; on an accelerator, the workers decode
while one of them uses the device. The number of batches in progress is bounded, and results are taken in
order, so memory does not grow with the number of images and no number depends on timing."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import numpy as np

from inficond.core.images import UnreadableImage, make_thumbnail
from inficond.core.images.thumbnail import LONGER_SIDE
from inficond.core.models.encoder import Encoder
from inficond.core.models.hardware import available_cores
from inficond.core.models.teacher import Teacher
from inficond.core.pipeline.shards import (
    SHARD_SIZE,
    Shard,
    ShardStore,
    ShardSummary,
    SourceFile,
    shards_of,
)
from inficond.core.progress import Progress

BATCH = {"cpu": 4}
"""Images in a call, by provider; a divisor of `SHARD_SIZE`. More takes memory and is not faster on a CPU."""

BATCH_ELSEWHERE = 64


class Encoding:
    """Encoder and teacher, applied to batches of images.

    Parameters
    ----------
    encoder : Encoder
    teacher : Teacher or None
        None if the teacher is a response table.
    thumbnails : bool
        Whether to make thumbnails; benchmarks leave them out.
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
        """Everything that the results depend on except the images."""
        from inficond.core.models.runtime import onnxruntime as ort

        parts = [self.encoder.manifest.digest, self.encoder.provider, ort.__version__, str(self.batch)]
        if self.teacher is not None:
            parts += [self.teacher.manifest.digest, self.teacher.provider]
        return " ".join(parts)

    def run(self, sources: Sequence[SourceFile]) -> Shard:
        """Decode and encode up to `batch` images and apply the teacher.

        The models always get `batch` rows, padded with black: with another number of rows, runtimes choose
        other kernels, and an image's numbers would depend on the number of its neighbours.
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
        return Shard(
            ids=ids,
            sizes=shape,
            skipped=skipped,
            remarks=remarks,
            regions=regions,
            assignment=assignment,
            responses=responses,
            thumbnails=thumbnails,
        )

    def shard(self, sources: Sequence[SourceFile]) -> Shard:
        """Make a whole shard in this thread."""
        return Shard.joined([self.run(batch) for batch in self.batches(sources)])

    def batches(self, sources: Sequence[SourceFile]) -> list[Sequence[SourceFile]]:
        """Split images into batches."""
        return [sources[i : i + self.batch] for i in range(0, len(sources), self.batch)]

    def stream(
        self, batches: Iterator[Sequence[SourceFile]], workers: int | None = None
    ) -> Generator[Shard, None, None]:
        """Apply `run` to batches in parallel; yield the results in order."""
        workers = workers or available_cores()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="encode")
        pending: deque[Future[Shard]] = deque()
        try:
            for batch in batches:
                pending.append(pool.submit(self.run, batch))
                if len(pending) >= 2 * workers + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def encode_shards(
    encoding: Encoding,
    store: ShardStore,
    sources: Sequence[SourceFile],
    progress: Progress,
    workers: int | None = None,
) -> tuple[list[ShardSummary], int]:
    """Make every shard that is not finished yet.

    Parameters
    ----------
    encoding : Encoding
    store : ShardStore
    sources : sequence of SourceFile
    progress : Progress
    workers : int, optional
        Threads; every available core by default.

    Returns
    -------
    summaries : list of ShardSummary
        Of all shards, in order.
    reused : int
        Images of shards that an earlier run had finished.

    Raises
    ------
    Cancelled
        Through `progress`; finished shards stay.
    """
    shards = list(shards_of(sources))
    summaries = [store.finished(shard) for shard in shards]
    missing = [i for i, summary in enumerate(summaries) if summary is None]
    reused = len(sources) - sum(len(shards[i]) for i in missing)
    progress.start("reading and encoding images", len(sources), reused)
    results = encoding.stream((b for i in missing for b in encoding.batches(shards[i])), workers)
    with closing(results):
        for i in missing:
            parts = []
            for batch in encoding.batches(shards[i]):
                parts.append(next(results))
                progress.advance(len(batch))
            shard = Shard.joined(parts)
            store.save(shards[i], shard)
            summaries[i] = shard.summary
            del parts, shard
    return [summary for summary in summaries if summary is not None], reused


assert SHARD_SIZE % BATCH_ELSEWHERE == 0
assert all(SHARD_SIZE % batch == 0 for batch in BATCH.values())
