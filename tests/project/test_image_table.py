"""The table of images starts no threads of Arrow."""

import subprocess
import sys
from pathlib import Path

import pytest

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
