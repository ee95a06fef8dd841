"""Reading of tables: encoding, separator, columns, numbers and image names."""

from inficond.core.tables.encoding import decode_text
from inficond.core.tables.matching import Matching, match_names
from inficond.core.tables.options import TableOptions
from inficond.core.tables.raw_table import Column, RawTable
from inficond.core.tables.reader import SUFFIXES, read_table

__all__ = [
    "SUFFIXES", "Column", "Matching", "RawTable", "TableOptions", "decode_text", "match_names", "read_table",
]  # fmt: skip
