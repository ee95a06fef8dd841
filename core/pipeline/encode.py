"""Encoding of images in shards: each image is decoded once, for encoder, teacher and thumbnail alike.

Each worker thread takes a batch through all steps: decode, resize, encode, apply the teacher. On the CPU,
sessions run single-threaded, so that every core works on its own batch; on an accelerator, the workers decode
while one of them uses the device. The number of batches in progress is bounded, and results are taken in
order, so memory does not grow with the number of images and no number depends on timing."""

import hashlib
import io
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cached_property

import numpy as np

from inficond.core.errors import InputError
from inficond.core.images import UnreadableImage, make_thumbnail
from inficond.core.images.decode import Picture, open_picture
from inficond.core.images.thumbnail import LONGER_SIDE
from inficond.core.models.encoder import Encoder
from inficond.core.models.hardware import available_cores
from inficond.core.models.teacher import Teacher
from inficond.core.pipeline.cached_rows import CachedRows, PictureFacts, Row
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.pipeline.shards import (
    SHARD_SIZE,
    Shard,
    ShardStore,
    ShardSummary,
    SourceFile,
    shards_of,
)
from inficond.core.progress import Progress
from inficond.core.project.files import THUMBNAIL_KINDS
from inficond.core.version import __version__

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
    cache : EncodingCache, optional
        Looked up before an image is decoded; nothing is cached by default.

    Attributes
    ----------
    computed : int
        Images that a model was applied to; the others were found in the cache.
    """

    def __init__(
        self,
        encoder: Encoder,
        teacher: Teacher | None,
        thumbnails: bool = True,
        cache: EncodingCache | None = None,
    ) -> None:
        self.encoder, self.teacher, self._thumbnails = encoder, teacher, thumbnails
        self.batch = BATCH.get(encoder.provider, BATCH_ELSEWHERE)
        wanted = [LONGER_SIDE, encoder.preprocess.at_least]
        if teacher is not None:
            wanted.append(teacher.preprocess.at_least)
        self.at_least = max(wanted)
        self.computed = 0
        self._lock = threading.Lock()
        self._known = CachedRows(cache, encoder, teacher, self.batch, self.at_least)

    @property
    def basis(self) -> str:
        """Checksums of the models: everything that the results depend on except the images.

        Providers and versions of the runtime change results in the last digits only; they are recorded in
        each shard as its `maker`.
        """
        digests = [self.encoder.manifest.digest]
        if self.teacher is not None:
            digests.append(self.teacher.manifest.digest)
        return " ".join(digests)

    @cached_property
    def maker(self) -> str:
        """Execution providers and versions of this process."""
        from inficond.core.models.runtime import onnxruntime as ort

        providers = {self.encoder.provider, *([self.teacher.provider] if self.teacher else [])}
        return f"{' and '.join(sorted(providers))}, ONNX Runtime {ort.__version__}, InFiConD {__version__}"

    def run(self, sources: Sequence[SourceFile]) -> Shard:
        """Decode and encode up to `batch` images and apply the teacher, where the cache lacks an image.

        The models always get `batch` rows, padded with black: with another number of rows, runtimes choose
        other kernels, and an image's numbers would depend on the number of its neighbours.
        """
        ids: list[str] = []
        rows: list[Row] = []
        skipped: list[tuple[str, str]] = []
        pixels = np.zeros((self.batch, *self.encoder.size, 3), np.uint8)
        teacher_pixels = None
        if self.teacher is not None:
            teacher_pixels = np.zeros((self.batch, *self.teacher.preprocess.size, 3), np.uint8)
        for source in sources:
            id, at = source.file.id, len(ids)
            try:
                content = source.file.content()
                row = self._known.find(content)
                _check_unchanged(source, content, row.key)
                if not row.complete:
                    picture = _decoded(source, content, self.at_least)
                    row.picture = PictureFacts(
                        picture.width,
                        picture.height,
                        picture.remark,
                        make_thumbnail(picture.image) if self._thumbnails else b"",
                    )
                    if row.encoded is None:
                        pixels[at] = self.encoder.preprocess(picture.image)
                    if row.response is None and self.teacher is not None and teacher_pixels is not None:
                        teacher_pixels[at] = self.teacher.preprocess(picture.image)
            except UnreadableImage as error:
                skipped.append((id, error.reason))
                continue
            ids.append(id)
            rows.append(row)
        self._complete(rows, pixels, teacher_pixels)
        return self._shard(ids, rows, skipped)

    def recalled(self, sources: Sequence[SourceFile]) -> Shard | None:
        """Return a batch whose files the cache knows by their checksums, without reading them; else None."""
        if any(source.file.path is None or not source.content for source in sources):
            return None
        rows = self._known.at([bytes.fromhex(source.content) for source in sources])
        if not all(row.complete for row in rows):
            return None
        return self._shard([source.file.id for source in sources], rows, [])

    def _shard(self, ids: list[str], rows: Sequence[Row], skipped: list[tuple[str, str]]) -> Shard:
        """Join the complete rows of images."""
        n, cells = len(ids), self.encoder.grid[0] * self.encoder.grid[1]
        labels = len(self.teacher.labels) if self.teacher is not None else 0
        regions = np.zeros((n, self.encoder.n_regions, self.encoder.dim), np.float16)
        assignment, responses = np.zeros((n, cells), np.uint8), np.zeros((n, labels), np.float32)
        pictures: list[PictureFacts] = []
        for at, row in enumerate(rows):
            assert row.picture is not None
            assert row.encoded is not None
            pictures.append(row.picture)
            regions[at], assignment[at] = row.encoded
            if row.response is not None:
                responses[at] = row.response
        return Shard(
            ids=ids,
            sizes=np.array([(p.width, p.height) for p in pictures], np.int32).reshape(n, 2),
            skipped=skipped,
            remarks=[(id, p.remark) for id, p in zip(ids, pictures) if p.remark],
            maker=self.maker,
            regions=regions,
            assignment=assignment,
            responses=responses,
            thumbnails=[p.thumbnail for p in pictures],
        )

    def _complete(self, rows: Sequence[Row], pixels: np.ndarray, teacher_pixels: np.ndarray | None) -> None:
        """Apply the models to the images of a batch that the cache lacks, and add the results to it."""
        to_encode = [at for at, row in enumerate(rows) if row.encoded is None]
        if to_encode:
            encoded = self.encoder.encode(pixels)
            regions = encoded.regions.astype(np.float16)
            for at in to_encode:
                rows[at].encoded = regions[at], encoded.assignment[at]
        to_answer = [at for at, row in enumerate(rows) if row.response is None]
        if to_answer and self.teacher is not None and teacher_pixels is not None:
            responses = self.teacher.respond(teacher_pixels)
            for at in to_answer:
                rows[at].response = responses[at]
        with self._lock:
            self.computed += len({*to_encode, *(to_answer if self.teacher is not None else ())})
        self._known.store(rows)

    def shard(self, sources: Sequence[SourceFile]) -> Shard:
        """Make a whole shard in this thread."""
        return Shard.joined([self.run(batch) for batch in self.batches(sources)])

    def fits(self, shard: Shard) -> bool:
        """Return whether the arrays of a shard have the shapes and ranges that these models give."""
        n, encoder = len(shard.ids), self.encoder
        expected: tuple[tuple[np.ndarray, type, tuple[int, int] | tuple[int, int, int]], ...] = (
            (shard.regions, np.float16, (n, encoder.n_regions, encoder.dim)),
            (shard.assignment, np.uint8, (n, encoder.grid[0] * encoder.grid[1])),
        )
        return (
            all(array.dtype == kind and array.shape == shape for array, kind, shape in expected)
            and bool((shard.assignment < encoder.n_regions).all())
            and self.responses_fit(shard.responses, n)
            and all(data.startswith(tuple(THUMBNAIL_KINDS)) for data in shard.thumbnails)
        )

    def responses_fit(self, responses: np.ndarray, n: int) -> bool:
        """Return whether an array can be the teacher's probabilities for `n` images."""
        labels = len(self.teacher.labels) if self.teacher is not None else 0
        if responses.dtype != np.float32 or responses.shape != (n, labels):
            return False
        return bool(((responses >= 0) & (responses <= 1)).all())

    def batches(self, sources: Sequence[SourceFile]) -> list[Sequence[SourceFile]]:
        """Split images into batches."""
        return [sources[i : i + self.batch] for i in range(0, len(sources), self.batch)]

    def stream(
        self, batches: Iterator[Sequence[SourceFile]], workers: int | None = None
    ) -> Generator[Shard, None, None]:
        """Apply `run` to batches in parallel, or `recalled`, which is faster; yield the results in order."""
        workers = workers or available_cores()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="encode")
        pending: deque[Future[Shard]] = deque()
        try:
            for batch in batches:
                known = self.recalled(batch)
                pending.append(pool.submit(self.run, batch) if known is None else _finished(known))
                if len(pending) >= 2 * workers + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _finished(shard: Shard) -> Future[Shard]:
    """Return a future that has its result already."""
    future = Future[Shard]()
    future.set_result(shard)
    return future


def _check_unchanged(source: SourceFile, content: bytes | None, digest: bytes) -> None:
    """Check that an image is the one that its shard is named by.

    Raises
    ------
    InputError
        It has changed since its checksum was read.
    """
    if content is None or source.file.path is None or not source.content:
        return
    if (digest or hashlib.sha256(content).digest()).hex() != source.content:
        raise InputError(
            f"image {source.file.id!r:.200} has changed during the build: run the same command again"
        )


def _decoded(source: SourceFile, content: bytes | None, at_least: int) -> Picture:
    """Decode an image from the bytes that were looked up, so that the cache never holds a mixture."""
    if content is None:
        return source.file.open(at_least)
    return open_picture(io.BytesIO(content), at_least)


def encode_shard(
    encoding: Encoding, store: ShardStore, sources: Sequence[SourceFile], threads: int | None = None
) -> ShardSummary:
    """Make one shard and write it to a store, which any number of processes may share.

    Parameters
    ----------
    encoding : Encoding
    store : ShardStore
    sources : sequence of SourceFile
        The images of one shard; see `shards_of`.
    threads : int, optional
        Every available core by default.

    Returns
    -------
    ShardSummary

    Raises
    ------
    InputError
        An image whose content is known cannot be read here, or has changed; or the store cannot be written.
    """
    with closing(encoding.stream(iter(encoding.batches(sources)), threads)) as results:
        shard = Shard.joined(list(results))
    known = {source.file.id for source in sources if source.content}
    unread = next((skip for skip in shard.unread if skip[0] in known), None)
    if unread is not None:
        raise InputError(f"image {unread[0]!r:.200} {unread[1]}: make it readable on every worker")
    store.save(sources, shard)
    return shard.summary


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
    summaries = store.finished_all(shards)
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
