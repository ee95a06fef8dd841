"""Generated projects for the benchmark of growth: a table of images and the shards of their encodings.

Only pixels are left out. The encodings are written as real shards, from which the ordinary build makes the
project. Each image has one or two classes; some of its regions belong to the topics of its classes.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inficond.core.models.encoder import Encoder

CLASSES = 20
TOPICS, PER_CLASS = 4096, 40
"""Different region embeddings, and those that belong to one class."""
SHOWN = 3
"""Regions of an image that show its first class; the next one shows its second class."""
ROWS_PER_GROUP = 65536
PICTURE = (320, 240)
"""Width and height that the shards record."""


def write_table(path: Path, n: int) -> None:
    """Write a Parquet file with n images of one pixel and their classes, which no build has to decode."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    with io.BytesIO() as content:
        Image.new("RGB", (1, 1)).save(content, "PNG")
        pixel = content.getvalue()
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("labels", pa.list_(pa.string())),
        ]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n, ROWS_PER_GROUP):
            rows = range(start, min(n, start + ROWS_PER_GROUP))
            images = [{"bytes": pixel, "path": f"{i:09d}.png"} for i in rows]
            labels = [[f"class {c:02d}" for c in sorted(set(classes_of(i)))] for i in rows]
            writer.write_table(pa.table({"image": images, "labels": labels}, schema))


def classes_of(row: int) -> tuple[int, int]:
    """Return the two classes of an image, which may be the same."""
    number = row * 2654435761 % 2**32  # a multiplicative hash, so that classes do not follow the order
    return number % CLASSES, number // CLASSES % (4 * CLASSES) % (CLASSES + 1) % CLASSES


def write_shards(table: Path, store: Path, encoder: Encoder, words: NDArray[np.float32]) -> None:
    """Write the shards of a table's images.

    Parameters
    ----------
    table : Path
        From `write_table`.
    store : Path
        Folder of the shards.
    encoder : Encoder
        Gives the shape of the encodings.
    words : ndarray of shape (K, D)
        Embeddings near which the region embeddings lie.
    """
    from PIL import Image

    from inficond.core.images import open_source
    from inficond.core.pipeline.encode import Encoding
    from inficond.core.pipeline.shards import SHARD_SIZE, Shard, ShardStore, SourceFile, shards_of

    rng = np.random.default_rng(0)
    shards = ShardStore(store, Encoding(encoder, None).basis)
    near = words[rng.integers(len(words), size=TOPICS)]
    bank = 0.35 * near + rng.normal(size=(TOPICS, encoder.dim)) / encoder.dim**0.5
    bank = (bank / np.linalg.norm(bank, axis=1, keepdims=True)).astype(np.float16)
    topics = rng.integers(TOPICS, size=(CLASSES, PER_CLASS))
    with io.BytesIO() as content:
        Image.new("RGB", (32, 24), (90, 120, 60)).save(content, "WEBP")
        thumbnail = content.getvalue()
    cells = encoder.grid[0] * encoder.grid[1]
    assignment = rng.integers(encoder.n_regions, size=(SHARD_SIZE, cells)).astype(np.uint8)
    sizes = np.tile(np.array([PICTURE], np.int32), (SHARD_SIZE, 1))
    records = sorted(open_source(table).records, key=lambda record: record.id)
    for part in shards_of([SourceFile.of(record) for record in records]):
        n = len(part)
        classes = np.array([classes_of(int(Path(source.file.id).stem)) for source in part])
        chosen = rng.integers(TOPICS, size=(n, encoder.n_regions))
        shown = np.repeat(classes, [SHOWN, 1], axis=1)
        chosen[:, : shown.shape[1]] = topics[shown, rng.integers(PER_CLASS, size=shown.shape)]
        shards.save(
            part,
            Shard(
                ids=[source.file.id for source in part],
                sizes=sizes[:n],
                maker="generated",
                regions=bank[chosen],
                assignment=assignment[:n],
                responses=np.zeros((n, 0), np.float32),
                thumbnails=[thumbnail] * n,
            ),
        )
