"""Detection of a text file's encoding."""

import codecs
import re
from pathlib import Path

from inficond.core.errors import InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_SAMPLE = 1 << 16
_INNER_MARK = re.compile(r"(?<![^\r\n])\ufeff")
"""A byte order mark at the beginning of a line: the beginning of a file that was joined to another."""
_NOT_WESTERN = (
    r"[^\x00-\x7f]{3}"
    r"|[a-zßà-ÿ][À-ÞŠŽŸŒ]"
    r"|[A-Za-zÀ-ÿ][^\x00-\x7fÀ-ÿŠšŽžŸŒœ’‘´–—·…°ªº][a-zà-ÿ]"
    r"|(?<![A-Za-z\x80-\uffff])[^\x00-\x7f‘’“”„–—…«»°·]{2}(?![A-Za-z\x80-\uffff])"
)
"""Letter sequences that Western European text does not have: other encodings read as Windows-1252.

Few texts need this expression, and compiling it takes longer than loading this module.
"""


def decode_text(data: bytes, where: Path | str, encoding: str | None = None) -> tuple[str, str]:
    """Decode the bytes of a text file.

    A byte order mark decides. Without one the text is UTF-16 where half of its bytes are zero, else UTF-8,
    else Windows-1252 where the result looks like a Western European language. Byte order marks at the
    beginning of other lines, and the end mark of DOS, are left out.

    Parameters
    ----------
    data : bytes
    where : Path or str
        Names the file in errors.
    encoding : str, optional
        A Python codec that replaces the detection.

    Returns
    -------
    text : str
        Without byte order mark.
    name : str
        Description of the encoding.

    Raises
    ------
    InputError
        The bytes are not text, or in an encoding that cannot be detected, or in several.

    Examples
    --------
    >>> from inficond.core.tables import decode_text
    >>> decode_text("Möwe".encode("cp1252"), "labels.csv")
    ('Möwe', 'Windows-1252 (it is not UTF-8)')
    >>> decode_text("Möwe".encode("utf-8-sig"), "labels.csv")
    ('Möwe', 'UTF-8 with byte order mark')
    """
    if encoding is not None:
        try:
            return _checked(data.decode(encoding).removeprefix("\ufeff"), where), encoding
        except UnicodeError as error:
            raise InputError(f"{where}: not {encoding} text ({error}); change --table-encoding") from error
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            return _checked(_decoded(data[len(mark) :], codec, name, where), where), name
    sample = data[:_SAMPLE]
    zeros = sample[0::2].count(0), sample[1::2].count(0)
    for codec, many, few in (("utf-16-be", *zeros), ("utf-16-le", *zeros[::-1])):
        if many > 0.2 * len(sample) > few and len(sample) >= 4:
            return _checked(_decoded(data, codec, "UTF-16", where), where), "UTF-16 without byte order mark"
    try:
        return _checked(data.decode("utf-8"), where), "UTF-8"
    except UnicodeDecodeError as error:
        at = error.start
    _refuse_mixture(data, at, where)
    try:
        text = _checked(data.decode("cp1252"), where)
    except UnicodeDecodeError:
        text = None
    if text is None or re.search(_NOT_WESTERN, text):
        line = data.count(b"\n", 0, at) + 1
        raise InputError(
            f"{where}: line {line} is not UTF-8 text: save it as UTF-8, or name its encoding with "
            "--table-encoding, for example cp1252 or shift_jis"
        )
    return text, "Windows-1252 (it is not UTF-8)"


def _decoded(data: bytes, codec: str, name: str, where: Path | str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: damaged {name} text ({error.reason}); save it as UTF-8") from error


def _refuse_mixture(data: bytes, at: int, where: Path | str) -> None:
    """Refuse text of which some lines are UTF-8 and the line at an offset is in another encoding."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            continue
        other = data.count(b"\n", 0, at) + 1
        raise InputError(
            f"{where}: line {other} is not UTF-8 text, and line {number} is: save all of it as UTF-8, or "
            "name its encoding with --table-encoding, for example cp1252"
        )


def _checked(text: str, where: Path | str) -> str:
    """Return text without the marks of files that were joined to it; refuse zero bytes."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(
            f"{where} is not a text file: line {line} contains a zero byte; save it again as UTF-8 text"
        )
    if "\ufeff" in text:
        text = _INNER_MARK.sub("", text)
    return text.removesuffix("\x1a")
