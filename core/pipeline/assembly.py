"""Arrays of a project from its shards, in one pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inficond.core.concepts.vectors import concept_vectors
from inficond.core.errors import InputError
from inficond.core.pipeline.shards import Shard, ShardStore, ShardSummary, SourceFile, shards_of
from inficond.core.progress import Progress
from inficond.core.project.arrays import ArrayWriter, row_blocks
from inficond.core.project.writer import ImageBlock, ProjectWriter


@dataclass(frozen=True, eq=False)
class Assembled:
    """Arrays that the fit needs, memory-mapped.

    Parameters
    ----------
    regions : (N, R, D) float16
        Region embeddings.
    responses : (N, L) float32
        The teacher's probabilities for all its labels; L = 0 if the teacher is a response table.
    """

    regions: np.ndarray
    responses: np.ndarray


def assemble(
    writer: ProjectWriter,
    sources: Sequence[SourceFile],
    summaries: Sequence[ShardSummary],
    store: ShardStore,
    encode: Callable[[Sequence[SourceFile]], Shard],
    scratch: Path,
    progress: Progress,
) -> Assembled:
    """Read every shard once and write what a project stores of it.

    Parameters
    ----------
    writer : ProjectWriter
        Gets regions, assignments and thumbnails of all images.
    sources : sequence of SourceFile
    summaries : sequence of ShardSummary
        Of the shards of `sources`, in order.
    store : ShardStore
    encode : callable
        Makes a shard whose file is damaged again.
    scratch : Path
        Folder for arrays that only the build needs.
    progress : Progress

    Returns
    -------
    Assembled

    Raises
    ------
    InputError
        The disk is full, or images have changed since the build began.
    Cancelled
        Through `progress`.
    """
    n = writer.n_images
    progress.start("collecting shards", n)
    with ExitStack() as stack:
        responses: ArrayWriter | None = None
        for of_shard, summary in zip(shards_of(sources), summaries, strict=True):
            if not summary.ids:
                continue
            shard = _load(store, of_shard, summary, encode)
            writer.append(
                ImageBlock(
                    regions=shard.regions,
                    assignment=shard.assignment,
                    thumbnails=shard.thumbnails,
                )
            )
            if responses is None:
                shape = (n, shard.responses.shape[1])
                responses = stack.enter_context(ArrayWriter(scratch / "responses.npy", shape, "float32"))
            responses.append(shard.responses)
            progress.advance(len(shard.ids))
    assert responses is not None
    regions = writer.close_images()
    assert regions is not None
    return Assembled(regions, _mapped(responses))


def add_concept_vectors(
    writer: ProjectWriter,
    regions: np.ndarray,
    words: np.ndarray,
    directions: np.ndarray | None,
    scratch: Path,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Compute the concept vectors of all images and those of random directions in one pass.

    Parameters
    ----------
    writer : ProjectWriter
        Gets the concept vectors.
    regions : (N, R, D) float16
    words : (K, D) float32
        Vectors of the concepts.
    directions : (K, D) float32 or None
        Random directions of the baseline.
    scratch : Path
        Folder for arrays that only the build needs.
    progress : Progress

    Returns
    -------
    X : (N, K) float32
        Memory-mapped.
    X_random : (N, K) float32 or None
        Memory-mapped.
    """
    n = len(regions)
    progress.start("concept vectors", n)
    with ExitStack() as stack:
        random: ArrayWriter | None = None
        if directions is not None:
            shape = (n, len(directions))
            random = stack.enter_context(ArrayWriter(scratch / "random.npy", shape, "float32"))

        def blocks() -> Iterator[np.ndarray]:
            for block in row_blocks(regions):
                if random is not None and directions is not None:
                    random.append(concept_vectors(block, directions))
                yield concept_vectors(block, words)
                progress.advance(len(block))

        X = writer.write_concept_vectors(blocks(), len(words))
    return X, None if random is None else _mapped(random)


def _load(
    store: ShardStore,
    sources: Sequence[SourceFile],
    summary: ShardSummary,
    encode: Callable[[Sequence[SourceFile]], Shard],
) -> Shard:
    try:
        return store.load(sources)
    except Exception:  # zipfile, NumPy and json raise many types for damaged files
        shard = encode(sources)
    if shard.ids != summary.ids:
        raise InputError(
            f"images near {sources[0].file.id!r} have changed during the build: run the same command again"
        )
    store.save(sources, shard)
    return shard


def _mapped(writer: ArrayWriter) -> np.ndarray:
    return np.load(writer.path, mmap_mode="r", allow_pickle=False)
