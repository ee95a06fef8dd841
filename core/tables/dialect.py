"""Detection of a text table's separator and header."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from inficond.core.errors import InputError
from inficond.core.tables.names import FILE

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
"""Characters that are tried; spaces are tried after them, where a column then has a known name."""
_NAMES = {**SEPARATORS, " ": "space"}
_UNUSED = "\x1f"
"""Separator of a table with one column: a character that text does not contain."""
_SAMPLE_CHARACTERS = 1 << 17
_SAMPLE_RECORDS = 200


@dataclass(frozen=True)
class Dialect:
    """How the text of a table is divided into cells.

    Parameters
    ----------
    separator, quote : str
        One character each.
    header : tuple of str
        Names of the columns, stripped.
    body : int
        Character offset of the first record after the header.
    row_names : bool
        Records have one leading cell more than the header, as R's `write.table` makes them.
    trailing : bool
        Records have one trailing empty cell more than the header.
    first_line : int
        Number of the line at which `body` begins.
    """

    separator: str
    quote: str
    header: tuple[str, ...]
    body: int
    row_names: bool
    trailing: bool
    first_line: int

    @property
    def spelled(self) -> str:
        """Description of the separator."""
        if self.separator == _UNUSED:
            return "one column"
        return f"separated by {_NAMES.get(self.separator, repr(self.separator))}"


@lru_cache(64)
def _cell_pattern(separator: str, quote: str) -> re.Pattern[str]:
    s, q = re.escape(separator), re.escape(quote)
    return re.compile(rf"(?:{q}([^{q}]*(?:{q}{q}[^{q}]*)*)(?:{q}|\Z))?([^{s}\r\n]*)({s}|\r\n|\r|\n|\Z)")


def records(text: str, separator: str, quote: str, start: int = 0) -> Iterator[tuple[int, int, list[str]]]:
    """Split text into records.

    Parameters
    ----------
    text : str
    separator, quote : str
        One character each; a doubled quote inside quotes is one quote.
    start : int
        Character offset to begin at.

    Yields
    ------
    start, end : int
        Character offsets of the record, its line break included.
    cells : list of str
        Unquoted.
    """
    pattern, at, end = _cell_pattern(separator, quote), start, len(text)
    while at < end:
        began, cells = at, []
        while True:
            found = pattern.match(text, at)
            assert found is not None  # every part of the pattern may be empty
            quoted, rest, stop = found.groups()
            cells.append(rest if quoted is None else quoted.replace(quote * 2, quote) + rest)
            at = found.end()
            if stop != separator:
                break
        yield began, at, cells


def sniff(text: str, is_known: Callable[[str], bool], where: object, separator: str | None = None) -> Dialect:
    """Find the separator and the header of a text table.

    The separator is the one that gives every record as many cells as the header has; between several of
    those, the one that makes a known column name a whole cell.

    Parameters
    ----------
    text : str
    is_known : callable
        Whether a cell of the header is a name that a column of image names may have.
    where : object
        Names the file in errors.
    separator : str, optional
        Replaces the detection.

    Returns
    -------
    Dialect

    Raises
    ------
    InputError
        The text is empty, or no separator divides its records evenly; the line is named.
    """
    start = _skip_preamble(text)
    excel = re.compile(r"\"?sep=(.)\"?(?:\r\n|\r|\n)").match(text, start)  # Excel's own mark
    if excel:
        start, separator = excel.end(), separator or excel[1]
    if not text[start:].strip():
        raise InputError(f"{where} is empty")
    start = _commented_header(text, start, is_known)
    quote = "'" if re.compile(r"'[^'\r\n]*'[,;\t|]'").match(text, start) else '"'
    best: tuple[tuple[object, ...], Dialect | None, str] | None = None
    for candidate in [separator] if separator else SEPARATORS:
        rank, dialect, fault = _judge(text, start, candidate, quote, is_known)
        if best is None or rank > best[0]:
            best = rank, dialect, fault
    assert best is not None
    rank, dialect, fault = best
    if dialect is None:
        raise InputError(f"{where} {fault}")
    if len(dialect.header) == 1 and not separator:
        rank, spaced, _ = _judge(text, start, " ", quote, is_known)
        if spaced is None or not rank[0] or not all(spaced.header):
            return _single(text, start, quote)
        return spaced
    return dialect


def _skip_preamble(text: str) -> int:
    """Offset of the header: blank lines and comment lines come before it."""
    found = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*").match(text)
    return found.end() if found else 0


def _commented_header(text: str, start: int, is_known: Callable[[str], bool]) -> int:
    """Offset of a header in the last comment line, as NumPy writes it; else the given offset."""
    comment = re.compile(r"(?:^|[\r\n])[ \t]*#+[ \t]*([^\r\n]*)(?:\r\n|\r|\n)\Z").search(text[:start])
    following = re.compile(r"[^\r\n]*").match(text, start)
    if comment is None or following is None:
        return start
    cells, others = (re.split(r"[,;\t|]", line) for line in (comment[1], following[0]))
    found = len(cells) == len(others) > 1 and any(is_known(cell.strip(" \"'")) for cell in cells)
    return comment.start(1) if found and not any(is_known(cell.strip(" \"'")) for cell in others) else start


def _sample_end(text: str, start: int) -> int:
    """Offset up to which records are compared; there are at least some lines before it."""
    size = _SAMPLE_CHARACTERS
    while start + size < len(text) and text.count("\n", start, start + size) < 8 and "\n" in text:
        size *= 2
    return start + size


def _sample(text: str, start: int, separator: str, quote: str) -> list[tuple[int, int, list[str]]]:
    found: list[tuple[int, int, list[str]]] = []
    limit = _sample_end(text, start)
    for record in records(text[:limit], separator, quote, start):
        if found and is_blank(text[record[0] : record[1]], separator, len(found[0][2])):
            continue
        found.append(record)
        if len(found) > _SAMPLE_RECORDS:
            break
    if len(found) > 2 and len(text) > limit:
        found.pop()  # cut off in the middle
    return found


def is_blank(record: str, separator: str, width: int) -> bool:
    """Return whether a record is not a row: an empty line, or spaces where several cells belong."""
    return not (record.strip() if width > 1 and separator not in record else record.strip("\r\n"))


def _judge(
    text: str, start: int, separator: str, quote: str, is_known: Callable[[str], bool]
) -> tuple[tuple[object, ...], Dialect | None, str]:
    """Rank of a separator (larger is better), its dialect where the records agree, and what is wrong else."""
    first, *rest = _sample(text, start, separator, quote)
    header = tuple(_unquoted(cell.strip().strip("\ufeff").strip(), quote) for cell in first[2])
    width = len(header)
    named = any(map(is_known, header))
    sizes = [len(cells) for _, _, cells in rest]
    row_names = trailing = False
    if width > 1 and sizes and all(size == width + 1 for size in sizes):
        trailing = all(not cells[-1].strip() for _, _, cells in rest)
        leading = [cells[0].strip() for _, _, cells in rest]
        row_names = not trailing and (
            all(map(str.isdecimal, leading)) or (not named and all(map(FILE.fullmatch, leading)))
        )
    expected = width + (row_names or trailing)
    even = all(size == expected for size in sizes)
    rank = (named and even, even and width > 1, named, width > 1, sum(s == expected for s in sizes), width)
    if width == 1 and sizes and len(set(sizes)) == 1 and sizes[0] > 1:
        rank = (False, False, named, True, 0, 0)
    if even:
        line = text.count("\n", 0, first[1]) or text.count("\r", 0, first[1])
        made = Dialect(separator, quote, header, first[1], row_names, trailing, line + 1)
        return rank, made, ""
    began, end, size = next((b, e, len(cells)) for b, e, cells in rest if len(cells) != expected)
    advice = "quote the cells that contain the separator"
    if width == 1 and len(set(sizes)) == 1 and size > 1:
        advice = "remove the lines above the header, or separate the header like the lines below it"
    elif size < expected:
        advice = "complete or remove that line, or quote the cells of the header that contain the separator"
    elif re.search(rf"{re.escape(separator)} +{quote}", text[began:end]):
        advice = "remove the spaces before the quotes"
    if separator == ",":
        advice += ", and separate columns by semicolons where numbers have a decimal comma"
    if text.count(quote, began, end) % 2:
        advice = f"close the quote {quote} that is opened there, or " + advice
    elif text[began : began + 1] == "#":
        advice = "remove comments below the header, or " + advice
    fault = (
        f"line {line_number(text, began)} has {size} cell{'s' * (size != 1)}, the header {width}, "
        f"divided at each {_NAMES.get(separator, repr(separator))}: {advice}, or choose with --separator"
    )
    return rank, None, fault


def _unquoted(cell: str, quote: str) -> str:
    """Return the name in a cell of the header that has spaces before its quotes."""
    return cell[1:-1].strip() if len(cell) > 2 and cell[0] == cell[-1] == quote else cell


def _single(text: str, start: int, quote: str) -> Dialect:
    first = next(records(text, _UNUSED, quote, start))
    line = line_number(text, first[1])
    return Dialect(_UNUSED, quote, (first[2][0].strip(),), first[1], False, False, line)


def check_quotes(text: str, dialect: Dialect, where: object) -> None:
    """Refuse quotes that are opened and not closed, followed by more text in their cell, or after spaces.

    Such a quote would join the cells and lines after it into one cell, or become a part of the cell.

    Parameters
    ----------
    text : str
    dialect : Dialect
    where : object
        Names the file in errors.

    Raises
    ------
    InputError
        The line of the first such cell is named.
    """
    q, s = re.escape(dialect.quote), re.escape(dialect.separator)
    if dialect.quote not in text:
        return
    pad = "" if dialect.separator == " " else "[ ]*+"
    cell = rf"(?:{q}[^{q}]*+(?:{q}{q}[^{q}]*+)*+{q}{pad}(?=[{s}\r\n]|\Z)|(?!{pad}{q})[^{s}\r\n]*+)"
    whole = re.compile(rf"(?:{cell}(?:{s}|\r\n|\r|\n))*+(?:{cell}\Z)?").match(text, dialect.body)
    end = whole.end() if whole else dialect.body
    if end < len(text) and text[end] == " ":
        raise InputError(
            f"{where} line {line_number(text, end)}: a cell has spaces before its quote {dialect.quote}: "
            "remove them"
        )
    if end < len(text):
        raise InputError(
            f"{where} line {line_number(text, end)}: a cell begins with the quote {dialect.quote} and does "
            "not end with it: close the quote, and double quotes inside a quoted cell"
        )


def line_number(text: str, at: int) -> int:
    """Return the number of the line, from 1, that a character offset lies in."""
    before = text[:at]
    return 1 + before.count("\n") + before.count("\r") - before.count("\r\n")


def record_line(text: str, dialect: Dialect, row: int) -> int:
    """Return the number of the line at which a record begins.

    Parameters
    ----------
    text : str
    dialect : Dialect
    row : int
        Of the record, from 0; blank lines are not records.

    Returns
    -------
    int
        From 1.
    """
    for began, end, _ in records(text, dialect.separator, dialect.quote, dialect.body):
        if is_blank(text[began:end], dialect.separator, len(dialect.header)):
            continue
        if row == 0:
            return line_number(text, began)
        row -= 1
    return line_number(text, len(text))
