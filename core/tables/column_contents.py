"""Contents of columns, judged from a sample of their cells: numbers, marks of 0 and 1, names of files."""

from dataclasses import dataclass, field
from functools import cached_property

from inficond.core.tables import names
from inficond.core.tables.names import normal_name
from inficond.core.tables.numbers import sample_numbers
from inficond.core.tables.raw_table import Column


@dataclass(frozen=True, eq=False)
class ColumnContent:
    """Content of a column, judged from a sample of its cells.

    Parameters
    ----------
    column : Column
    numbers : list of float or None
        See `sample_numbers`.
    """

    column: Column
    numbers: list[float | None] = field(repr=False)

    @cached_property
    def numeric(self) -> bool:
        """At least one cell is a number."""
        return any(n is not None for n in self.numbers)

    @cached_property
    def whole(self) -> bool:
        """Every cell is a whole number."""
        return self.numeric and all(n is not None and float(n).is_integer() for n in self.numbers)

    @cached_property
    def binary(self) -> bool:
        """Every cell is 0 or 1."""
        return self.whole and all(n in (0.0, 1.0) for n in self.numbers)

    @cached_property
    def files(self) -> bool:
        """Most cells look like file names."""
        cells = [text for text in self.column.texts[:1000] if text]
        return len(cells) > 0 and sum(names.FILE.fullmatch(t) is not None for t in cells) > len(cells) / 2


class ColumnContents:
    """The contents of the columns of one table; each column is sampled once."""

    def __init__(self) -> None:
        self._known: dict[int, ColumnContent] = {}

    def __getitem__(self, column: Column) -> ColumnContent:
        if column.position not in self._known:
            self._known[column.position] = ColumnContent(column, sample_numbers(column))
        return self._known[column.position]


def is_extra(column: Column, contents: ColumnContents) -> bool:
    """Whether a column has a name that classes rarely have, and content that is not probabilities."""
    name = normal_name(column.name)
    return name in names.OTHER_COLUMNS and (contents[column].whole or not contents[column].numeric)
