"""Signatures of files: contents that are not tables are refused with advice."""

import re
from pathlib import Path

from inficond.core.errors import InputError
from inficond.core.file_access import LFS_POINTER, WEB_PAGE

JSON_START = re.compile(rb"""[\xef\xbb\xbf\s]*(\[\s*)?\{\s*["}]""")
"""The first bytes of a JSON document or of JSON Lines."""
_FOREIGN = (
    (b"PK\x03\x04", "is a workbook or an archive: save the sheet as CSV in UTF-8, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook: save the sheet as CSV in UTF-8"),
    (b"\x1f\x8b", "is compressed with gzip: decompress it first"),
    (b"BZh", "is compressed with bzip2: decompress it first"),
    (b"\xfd7zXZ", "is compressed with xz: decompress it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard: decompress it first"),
    (b"PAR1", "is a Parquet file: let its name end in .parquet"),
    (b"ARROW1", "is an Arrow file: let its name end in .arrow"),
    (b"SQLite format 3", "is a database: export the table as CSV in UTF-8"),
    (b"%PDF", "is a PDF document: export the table as CSV in UTF-8"),
    *(
        (bytes([0x80, n]), "is a Python pickle, which is never loaded: save the table as CSV or Parquet")
        for n in range(2, 6)
    ),
    (b"\x93NUMPY", "is a NumPy array, which names no images: save a table as CSV or Parquet"),
    (b"\x89HDF", "is an HDF5 file: save the table as CSV or Parquet"),
    (b"ORC", "is an ORC file: save the table as CSV or Parquet"),
    (b"FEA1", "is a Feather file of version 1: write it again in version 2, or as Parquet"),
    (LFS_POINTER, "is a Git LFS pointer, not the table itself: run `git lfs pull`"),
)


def refuse_foreign(path: Path, data: bytes) -> None:
    """Refuse content that is neither text nor a table, with what to do."""
    for magic, advice in _FOREIGN:
        if data.startswith(magic):
            raise InputError(f"{path} {advice}")
    if WEB_PAGE.match(data):
        raise InputError(
            f"{path} is an HTML or XML document, not a table: download or export it as CSV again"
        )
