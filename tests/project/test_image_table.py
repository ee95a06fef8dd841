"""The table of images starts no threads of Arrow."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from inficond.core.project.image_table import ImageRow, read_image_table, write_image_table

SCRIPT = """
import os, sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from inficond.core.project.image_table import ImageRow, read_image_table, write_image_table

rows = [ImageRow(id=str(i), path=f"{i}.jpg", group=None, width=8, height=8) for i in range(3000)]
path = Path(sys.argv[1]) / "images.parquet"
pa.array(["Arrow's memory has threads of its own"])
before = len(os.listdir("/proc/self/task"))
write_image_table(path, rows, np.zeros(3000, bool), {"X": np.arange(3000, dtype=np.uint32)})
table = read_image_table(path, path.parent, 3000, ["X"])
assert table.ids == [row.id for row in rows], table.ids[:9]
assert len(os.listdir("/proc/self/task")) == before
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists threads in /proc")
def test_reading_and_writing_the_table_starts_no_threads(tmp_path: Path) -> None:
    """Regression: a thread of Arrow that held the file of Python aborted the process at its end."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_table_of_many_images_is_read_in_memory_that_grows_with_its_size(tmp_path: Path) -> None:
    """Regression: each batch of rows had a copy of all texts before it, 16 GB at a million images."""
    n = 60_000
    rows = [
        ImageRow(
            id=f"folder/é {i:040d}.jpg" if i % 1000 == 0 else f"folder/{i:040d}.jpg",
            path=f"/photographs/{i:040d}.jpg",
            group=None if i % 3 else f"burst {i // 9}",
            width=None if i % 7 == 0 else 640 + i,
            height=None if i % 7 == 0 else 480,
        )
        for i in range(n)
    ]
    path = tmp_path / "images.parquet"
    write_image_table(path, rows, np.arange(n) % 5 == 0, {"X": np.arange(n, dtype=np.uint32)}, n_exam=0)
    pool, usual = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        table = read_image_table(path, tmp_path, n, ["X"])
    finally:
        pa.set_memory_pool(usual)
    texts = sum(len(row.id) + len(row.path) + len(row.group or "") for row in rows)
    assert pool.max_memory() < 20 * texts
    assert (table.ids, table.paths) == ([row.id for row in rows], [row.path for row in rows])
    assert table.groups == [row.group for row in rows]
    assert table.sizes.tolist() == [[row.width or 0, row.height or 0] for row in rows]
    assert table.checksums["X"].tolist() == list(range(n))
