"""Arrays of a project from its shards."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from inficond.core.errors import InputError
from inficond.core.pipeline.encode import Encoding
from inficond.core.pipeline.picture_sample import PictureSample
from inficond.core.pipeline.shards import Shard, ShardStore, ShardSummary, SourceFile, shards_of
from inficond.core.progress import Progress
from inficond.core.project.arrays import ArrayWriter
from inficond.core.project.writer import ImageBlock, ProjectWriter


def collect_responses(
    n: int,
    sources: Sequence[SourceFile],
    summaries: Sequence[ShardSummary],
    store: ShardStore,
    encoding: Encoding,
    scratch: Path,
) -> np.ndarray:
    """Read the teacher's responses of every shard, which decide the parts of the images.

    Parameters
    ----------
    n : int
        Images that could be read.
    sources, summaries, store, encoding, scratch
        See `assemble`.

    Returns
    -------
    (n, L) float32
        The teacher's probabilities for all its labels, memory-mapped; L = 0 if the teacher is a response
        table.

    Raises
    ------
    InputError
        The disk is full, or images have changed since the build began.
    """
    with ExitStack() as stack:
        responses: ArrayWriter | None = None
        for of_shard, summary in zip(shards_of(sources), summaries, strict=True):
            if not summary.ids:
                continue
            block = _load_responses(store, of_shard, summary, encoding)
            if responses is None:
                writer = ArrayWriter(scratch / "responses.npy", (n, block.shape[1]), "float32")
                responses = stack.enter_context(writer)
            responses.append(block)
    assert responses is not None
    return np.load(responses.path, mmap_mode="r", allow_pickle=False)


def assemble(
    writer: ProjectWriter,
    sources: Sequence[SourceFile],
    summaries: Sequence[ShardSummary],
    store: ShardStore,
    encoding: Encoding,
    is_exam: np.ndarray,
    progress: Progress,
    sample: PictureSample | None = None,
) -> np.ndarray:
    """Read the shards and write what a project stores of them, exam images last.

    Parameters
    ----------
    writer : ProjectWriter
        Gets regions, assignments and thumbnails of all images.
    sources : sequence of SourceFile
    summaries : sequence of ShardSummary
        Of the shards of `sources`, in order.
    store : ShardStore
    encoding : Encoding
        Makes a shard again whose file is damaged, or does not have the shapes and ranges of its models.
    is_exam : (N,) bool
        Of the images that could be read, in the order of the shards.
    progress : Progress
    sample : PictureSample, optional
        Gets thumbnails and assignments of some images.

    Returns
    -------
    (N, R, D) float16
        Region embeddings, memory-mapped.

    Raises
    ------
    InputError
        The disk is full, or images have changed since the build began.
    Cancelled
        Through `progress`.
    """
    progress.start("collecting shards", writer.n_images)
    written = 0
    for exam in (False, True):
        end = 0
        for of_shard, summary in zip(shards_of(sources), summaries, strict=True):
            start, end = end, end + len(summary.ids)
            rows = np.flatnonzero(is_exam[start:end] == exam)
            if not len(rows):
                continue
            shard = _load(store, of_shard, summary, encoding)
            if len(rows) == len(summary.ids):
                kept: slice | np.ndarray = slice(None)
                thumbnails = shard.thumbnails
            else:
                kept, thumbnails = rows, [shard.thumbnails[i] for i in rows.tolist()]
            if sample is not None:
                sample.take(written, thumbnails, shard.assignment[kept])
            written += len(rows)
            writer.append(
                ImageBlock(
                    regions=shard.regions[kept],
                    assignment=shard.assignment[kept],
                    thumbnails=thumbnails,
                )
            )
            progress.advance(len(rows))
    regions = writer.close_images()
    assert regions is not None
    return regions


def _load_responses(
    store: ShardStore, sources: Sequence[SourceFile], summary: ShardSummary, encoding: Encoding
) -> np.ndarray:
    try:
        block = store.load_responses(sources)
        if encoding.responses_fit(block, len(summary.ids)):
            return block
    except Exception:  # zipfile, NumPy and json raise many types for damaged files
        pass
    return _load(store, sources, summary, encoding).responses


def _load(
    store: ShardStore,
    sources: Sequence[SourceFile],
    summary: ShardSummary,
    encoding: Encoding,
) -> Shard:
    try:
        shard = store.load(sources)
        if encoding.fits(shard):
            return shard
    except Exception:  # zipfile, NumPy and json raise many types for damaged files
        pass
    shard = encoding.shard(sources)
    if shard.ids != summary.ids:
        raise InputError(
            f"images near {sources[0].file.id!r} have changed during the build: run the same command again"
        )
    store.save(sources, shard)
    return shard
