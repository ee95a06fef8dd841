"""Columns of a table as they are in the file, without their meaning, and the places of their cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.errors import InputError, unknown
from inficond.core.tables.dialect import Dialect, record_line

if TYPE_CHECKING:
    import pyarrow as pa


class Column:
    r"""One column of a table.

    Parameters
    ----------
    name : str
        Stripped; empty where the header has no name.
    position : int
        From 0.
    arrow : pyarrow.ChunkedArray
    class_names : tuple of str, optional
        Names that the integers of the column stand for (`ClassLabel` of Hugging Face `datasets`).

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.tables import read_table
    >>> _ = Path("labels.csv").write_text("image,class\nboat 1.jpg,boat\n")
    >>> column = read_table(Path("labels.csv")).columns[1]
    >>> column.name, column.position, column.is_empty
    ('class', 1, False)
    """

    def __init__(
        self, name: str, position: int, arrow: "pa.ChunkedArray", class_names: tuple[str, ...] = ()
    ) -> None:
        self.name, self.position, self.arrow, self.class_names = name, position, arrow, class_names

    @property
    def shown(self) -> str:
        """The column as messages call it."""
        return f"column {self.name!r:.80}" if self.name else f"column {self.position + 1} (without a name)"

    @cached_property
    def values(self) -> list[Any]:
        """The cells as Python objects."""
        return self.arrow.to_pylist()

    @cached_property
    def texts(self) -> list[str]:
        """The cells as text; empty where there is none.

        Integers that stand for class names are replaced by them, a struct by its `path`.
        """
        import pyarrow as pa

        if pa.types.is_string(self.arrow.type) and not self.arrow.null_count:
            return self.values
        return [self._text(value) for value in self.values]

    def _text(self, value: Any) -> str:
        if isinstance(value, dict):
            value = value.get("path")
        if value is None:
            return ""
        if self.class_names and isinstance(value, int) and 0 <= value < len(self.class_names):
            return self.class_names[value]
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value)

    @cached_property
    def is_empty(self) -> bool:
        """Whether no cell holds anything."""
        return not any(text.strip() for text in self.texts)


@dataclass(frozen=True, eq=False)
class RawTable:
    r"""The columns of a table, without their meaning.

    Parameters
    ----------
    path : Path
    columns : tuple of Column
    layout : str
        Description of how the file was read.
    text : str
        Content of a text table; empty for other formats.
    dialect : Dialect, optional
        Of a text table.
    dropped : tuple of int
        Rows of the file that are left out because every cell is empty.
    sources : tuple of int
        By row, the record that it comes from, where records were expanded into several rows.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.tables import read_table
    >>> _ = Path("labels.csv").write_text("image;class\nboat 1.jpg;boat\nbird 1.jpg;bird\n")
    >>> table = read_table(Path("labels.csv"))
    >>> table.layout
    'UTF-8, separated by semicolon'
    >>> table.named(["label", "class"]).position
    1
    """

    path: Path
    columns: tuple[Column, ...]
    layout: str
    text: str = ""
    dialect: Dialect | None = None
    dropped: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.columns[0].arrow) if self.columns else 0

    def where(self, row: int, column: Column | None = None) -> str:
        """Return file, line and column of a cell, for messages."""
        row = self.sources[row] if self.sources else row
        for dropped in self.dropped:
            row += dropped <= row
        if self.dialect is None:
            place = f"line {row + 1}" if self.layout.startswith("JSON Lines") else f"row {row + 1}"
        else:
            place = f"line {record_line(self.text, self.dialect, row)}"
        return f"{self.path} {place}" + ("" if column is None else f", {column.shown}")

    @cached_property
    def _folded(self) -> dict[str, list[Column]]:
        """Columns by name in lower case."""
        found: dict[str, list[Column]] = {}
        for column in self.columns:
            found.setdefault(column.name.casefold(), []).append(column)
        return found

    def named(self, names: Sequence[str]) -> Column | None:
        """Return the first column that has one of these names, regardless of case where that is unique."""
        for name in names:
            folded = self._folded.get(name.strip().casefold(), [])
            exact = [c for c in folded if c.name == name.strip()]
            if exact or len(folded) == 1:
                return (exact or folded)[0]
        return None


def named_column(table: RawTable, wanted: Sequence[str], option: str) -> Column | None:
    """Return the column that an option names.

    Parameters
    ----------
    table : RawTable
    wanted : sequence of str
        Names, of which one is enough.
    option : str
        The option's name, for the message.

    Returns
    -------
    Column or None
        None where no name is given.

    Raises
    ------
    InputError
        No column has one of the names; the nearest are named.
    """
    if not wanted:
        return None
    column = table.named(wanted)
    if column is None:
        error = unknown("column", wanted[0], [c.name for c in table.columns if c.name])
        raise InputError(f"{table.path}: {option}: {error}")
    return column
