"""The footer of a Parquet file is read as Arrow reads it, and damage to it is refused without an abort."""

import base64
import io
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.tables.parquet_footer import CODECS, read_row_groups

ABORTS = zlib.decompress(
    base64.b85decode(
        "c-l=-!A`<J5S?zYK|@R-"
        "nWmfUp$Ba|6ch*?jF%~aXvBy$Nc2`oQ#k;&s3d%ie~Pm$qVF&}c{A_5&F+Z8CYJCBkB2A_Y5)h80RUSBtfB2QX`zXx>cW|^b"
        "&PGb%F{zva219j087&EfMc$vZ}B`rCMqYwF=z8AiQQ8eDqggOR8o1Mup&EPTJm>}!WMRBZ@iXQ{+}Ryz7uFO;CKO7>|ja{bS"
        "m!)uWWBXDyKqWct5!;vYl_^T%%1I4^-fmXiY&v1EPd_NzMfU(VcF3L^nC{cQX3AjCb8w>sWuSeRAJm=S=-"
        "Uz8S3dq5{vFOkXF1#mnPflFz|$(<poYj6dqrG_6Njwp_bkakiQ*7jCQDxM(z`(l7SJe=y>&`2j3=Rq+"
    )
)
"""A file found by fuzzing: the histogram of a column has another length than the schema implies."""
READS = """
import sys
from pathlib import Path
from inficond.core.errors import InputError
from inficond.core.tables import read_table
try:
    read_table(Path(sys.argv[1]))
except InputError as error:
    print(error)
"""


def table(rows: int = 300) -> pa.Table:
    words = [f"w{i % 7}" for i in range(rows)]
    return pa.table(
        {
            "image": words,
            "score": np.arange(rows) / 3,
            "pair": pa.array([{"a": i, "b": [w, None]} for i, w in enumerate(words)]),
            "yes": [i % 2 == 0 for i in range(rows)],
        }
    )


def stored(**options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(table(), out, row_group_size=128, **options)
    return out.getvalue()


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("statistics", [True, False])
def test_row_groups_are_those_that_arrow_reads(codec: str, statistics: bool) -> None:
    data = stored(compression=codec, write_statistics=statistics)
    meta = pq.ParquetFile(pa.py_buffer(data)).metadata
    groups = read_row_groups(io.BytesIO(data))
    assert len(groups) == meta.num_row_groups == 3
    for g, group in enumerate(groups):
        assert len(group) == meta.num_columns
        for c, chunk in enumerate(group):
            theirs = meta.row_group(g).column(c)
            assert chunk.num_values == theirs.num_values
            assert chunk.uncompressed_size == theirs.total_uncompressed_size
            assert set(chunk.encodings) == set(theirs.encodings)
            assert theirs.compression.split("_")[0] in chunk.codec
            assert chunk.codec in CODECS


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 9))
def test_damaged_footers_are_read_or_refused(position: int, byte: int, cut: int) -> None:
    data = bytearray(SMALL)
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[start + position % (len(data) - start)] = byte
    try:
        groups = read_row_groups(io.BytesIO(bytes(data[cut:])))
    except ValueError:
        return
    assert all(chunk.num_values >= 0 for group in groups for chunk in group)


SMALL = stored(compression="snappy")


def test_a_footer_that_aborts_arrow_is_refused_in_one_line(tmp_path: Path) -> None:
    """Regression: Arrow's entry of such a column ends the process."""
    path = tmp_path / "scores.parquet"
    path.write_bytes(ABORTS)
    assert len(read_row_groups(path)) == 1
    done = subprocess.run([sys.executable, "-c", READS, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "scores.parquet cannot be read as a table" in done.stdout


@pytest.mark.parametrize("element", [b"\xfc\0", b"\xf1\1"], ids=["row groups", "truths"])
def test_a_footer_of_very_many_values_is_refused(element: bytes, tmp_path: Path) -> None:
    """A list of 30 million empty row groups took 2 GB and more than 90 s."""
    count = 6_000_000
    number = bytes([count & 127 | 128, count >> 7 & 127 | 128, count >> 14 & 127 | 128, count >> 21])
    footer = b"\x49" + element[:1] + number + element[1:] * count + b"\0"
    path = tmp_path / "evil.parquet"
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(ValueError, match="more than 4,000,000 values"):
        read_row_groups(path)
