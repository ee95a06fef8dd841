"""Numbers in the cells of a table: decimal comma, percent signs, missing values."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute creates its functions when it is imported.

import re
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.tables.raw_table import Column, RawTable

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none", "?", "<na>"})
TRUE, FALSE = frozenset({"true", "yes"}), frozenset({"false", "no"})
_NUMBER_LIKE = (
    r"[+\-−]?\d{1,3}([.,'’\s]\d{3})+([.,]\d+)?|\d+\s*/\s*\d+|[+\-−]?[0-9.,]+\s*(pct|percent|per cent|‰)"
    r"|tensor\(.*\)|(np|numpy)\.float\d*\(.*\)|[\[(]\s*[+\-]?\d*\.?\d+([eE][+\-]?\d+)?,?\s*[\])]"
    r"|[<>~≈≤≥=]+\s*[+\-−]?[0-9.,]+\s*%?|[+\-−]?[0-9.,]+%?\s*(±|\+/-|\+-)\s*[0-9.,]+\s*%?|[0-9.,]+f"
    r"|[+\-−]?[0-9.,]+\s*[x×*·]\s*10\s*(\^|\*\*)?\s*[+\-−]?[0-9⁻⁰¹²³⁴-⁹]+|[0-9.,]+%?\s*[\[(][0-9.,;%\s\-–]+[\])]"
    r"|[=\"'$€£¥]+\s*[+\-−]?[0-9.,]+\s*[\"'%$€£¥]*|[+\-−]?[0-9.,]+\s*[\"'$€£¥]"
    r"|[+\-−]?(?=[^0-9]*[^\x00-\x7f])\d+([.,٫]\d+)?|[+\-]?0x[0-9a-f]*\.?[0-9a-f]*p[+\-]?\d+|[+\-]?[\d_]*\.[\d_]*\d"
    r"|#(DIV/0!|VALUE!|REF!|NUM!|NAME\?|NULL!)"
)
"""Numbers in a form that is not read, for instance with separated thousands, or with an error or a bound."""
_SEVERAL_NUMBERS = (
    r"[+\-]?\d*+\.\d++([eE][+\-]?\d++)?"
    r"((?:\s*+[,;]\s*+|\s++)[+\-]?(?:\d++(?:\.\d*+)?|\.\d++)([eE][+\-]?\d++)?)++"
)
_NUMBER = re.compile(r"([+\-−]?)([0-9]*)([.,]?)([0-9]*)((?:[eE][+\-]?[0-9]+)?)\s*(%?)")


class NumberReader:
    """Reads the numbers of a table, with one decimal separator and one use of percent signs in all of it.

    Parameters
    ----------
    table : RawTable
    """

    def __init__(self, table: RawTable) -> None:
        self.table = table
        self._with: dict[str, tuple[int, Column, str]] = {}
        """The first cell with ``.``, ``,``, ``%``, or with a plain number other than 0."""

    @property
    def decimal_comma(self) -> bool:
        """Whether a cell with a decimal comma was read."""
        return "," in self._with

    @property
    def percent(self) -> bool:
        """Whether a cell with a percent sign was read."""
        return "%" in self._with

    def read(self, column: Column) -> np.ndarray:
        """Read a column.

        Parameters
        ----------
        column : Column

        Returns
        -------
        (rows,) float64
            NaN where a cell is empty or says that the value is missing; numbers with a percent sign are
            divided by 100.

        Raises
        ------
        InputError
            A cell is not a number; its row and column are named.
        """
        values = self._cast(column)
        if values is not None:
            return values
        return np.array(
            [self._number(value, row, column) for row, value in enumerate(column.values)], np.float64
        )

    def _cast(self, column: Column) -> np.ndarray | None:
        """Return the numbers of a column whose cells are all plain, None for other columns."""
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = column.arrow
        if pa.types.is_boolean(cells.type):
            cells = cells.cast(pa.int8())
        text = pa.types.is_string(cells.type)
        if text and pc.any(pc.match_substring_regex(cells, r"[^0-9.eE+\-]")).as_py():
            return None
        if not text and not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)):
            return None
        try:
            values = cells.cast(pa.float64()).to_numpy()
        except pa.ArrowException:
            return None
        self._note_plain(values, column, text)
        return values

    def _note_plain(self, values: np.ndarray, column: Column, text: bool) -> None:
        plain = np.flatnonzero((values != 0) & ~np.isnan(values))
        if len(plain):
            self._with.setdefault("plain", (int(plain[0]), column, str(column.values[plain[0]])))
        if text:
            for row, cell in enumerate(column.values):
                if cell and "." in cell:
                    self._with.setdefault(".", (row, column, cell))
                    break

    def _number(self, value: Any, row: int, column: Column) -> float:
        if value is None or isinstance(value, bool | int | float):
            try:
                return float("nan") if value is None else float(value)
            except OverflowError:
                value = str(value)
        text = " ".join(str(value).split())
        folded = text.casefold()
        if folded in MISSING:
            return float("nan")
        if folded in TRUE:
            return 1.0
        if folded in FALSE:
            return 0.0
        if folded.lstrip("+-") in ("inf", "infinity"):
            return float(folded)
        found = _NUMBER.fullmatch(text)
        if found is None or not (found[2] or found[4]):
            where = self.table.where(row, column)
            raise InputError(
                f"{where}: {str(value)!r:.60} is not a number; write it like 0.25, 0,25 or 25%, or leave the "
                "cell empty where the value is not known"
            )
        sign, whole, point, fraction, exponent, percent = found.groups()
        number = float(f"{'-' if sign in ('-', '−') else ''}{whole or '0'}.{fraction or '0'}{exponent}")
        if point:
            self._with.setdefault(point, (row, column, text))
        if number:
            self._with.setdefault(percent or "plain", (row, column, text))
        return number / 100 if percent else number

    def check(self) -> None:
        """Raise an error where cells contradict each other.

        Raises
        ------
        InputError
            Decimal points beside decimal commas, or percent signs in some cells only; both cells are named.
        """
        for one, other, kinds in (
            (".", ",", "a decimal point and a decimal comma: use one of them"),
            ("%", "plain", "some cells with a percent sign and others without: use one of them"),
        ):
            if one in self._with and other in self._with:
                (row, column, text), (row2, column2, text2) = self._with[one], self._with[other]
                raise InputError(
                    f"{self.table.where(row, column)} has {text!r:.40} and {self.table.where(row2, column2)} "
                    f"has {text2!r:.40}, {kinds}"
                )


def like_numbers(column: Column) -> int | None:
    """Return the first row of a column of numbers in forms that are not read; None for other columns."""
    return _first_of_most(column, _NUMBER_LIKE)


def several_numbers(column: Column) -> int | None:
    """Return the first row of a column of which most cells hold several numbers; None for other columns."""
    return _first_of_most(column, _SEVERAL_NUMBERS)


def _first_of_most(column: Column, form: str) -> int | None:
    """Return the first row whose cell has a form, if most of the first cells that hold something have it.

    The expression is compiled here: that takes longer than loading this module, and few columns need it.
    """
    wanted = re.compile(form)
    cells = [(row, text.strip()) for row, text in enumerate(column.texts) if text.strip()][:1000]
    found = [row for row, text in cells if wanted.fullmatch(text)]
    return found[0] if 2 * len(found) > len(cells) else None


def sample_numbers(column: Column) -> list[float | None]:
    """Read some cells of a column that hold something.

    Parameters
    ----------
    column : Column

    Returns
    -------
    list of float or None
        1,000 at most, evenly spread over the column; None for a cell that is not a number.
    """
    reader = NumberReader(RawTable(Path(), (column,), ""))
    step = max(1, len(column.arrow) // 1000)
    found: list[float | None] = []
    for cell in column.arrow[::step].to_pylist():
        try:
            number = reader._number(cell, 0, column)
        except InputError:
            found.append(None)
        else:
            if not np.isnan(number):
                found.append(number)
    return found
