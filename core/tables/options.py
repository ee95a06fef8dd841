"""Options of reading a table."""

from dataclasses import dataclass
from typing import Literal, get_args

from inficond.core.errors import InputError, unknown

Values = Literal["probability", "percent", "logit", "softmax"]
"""Meaning of a table's numbers: probabilities, percent, logits of a sigmoid, logits of a softmax."""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    r"""Choices that replace a guess while a table is read.

    A name of a column that a table does not have is an error, except that one of several names is enough:
    tables that are read together may use different names.

    Parameters
    ----------
    image_columns : tuple of str
        Names of the column that holds the image names.
    label_columns : tuple of str
        Names of the column that holds the class names.
    probability_columns : tuple of str
        Names of the column that holds the probabilities of a long table.
    class_columns : tuple of str
        The columns of a wide table that are classes; every numeric column by default.
    values : {"probability", "percent", "logit", "softmax"}
        Meaning of a teacher's numbers.
    encoding : str, optional
        A Python codec name; detected by default.
    separator : str, optional
        One character; detected by default.

    Raises
    ------
    InputError
        An unknown encoding or meaning, or a separator that is not one character.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.tables import TableOptions, read_table
    >>> _ = Path("labels.txt").write_text("image|class\nboat 1.jpg|boat\n")
    >>> options = TableOptions(separator="|", label_columns=("class",))
    >>> [column.name for column in read_table(Path("labels.txt"), options).columns]
    ['image', 'class']
    """

    image_columns: tuple[str, ...] = ()
    label_columns: tuple[str, ...] = ()
    probability_columns: tuple[str, ...] = ()
    class_columns: tuple[str, ...] = ()
    values: Values = "probability"
    encoding: str | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        if self.values not in get_args(Values):
            raise unknown("meaning of a table's numbers (--values)", str(self.values), get_args(Values))
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                raise InputError(
                    f"--table-encoding: {self.encoding!r:.40} is not a text encoding; use for example utf-8, "
                    "utf-16, cp1252 or shift_jis"
                ) from None
        separator = {"tab": "\t", "\\t": "\t"}.get(self.separator or "", self.separator)
        if separator is not None and (
            len(separator) != 1 or separator in '"\r\n\0' or not separator.isascii()
        ):
            raise InputError(
                f"--separator: {self.separator!r:.40} is not one character; use for example ; or tab"
            )
        object.__setattr__(self, "separator", separator)
