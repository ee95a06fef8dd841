"""Matching of the names in a table with the ids of images."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import numpy as np

_MAX_PARTS = 16
"""Parts of a path that are compared from its end."""
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
_WRAPPED = re.compile(r"""(?:[\[(]\s*|b|(?:Posix|Windows|Pure\w+)?Path\()?(["'])([^"']+)\1\s*,?\s*[\])]?""")
_PICTURE = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?|avif|heic|heif)$")
_BY_END = "by the ends of their paths"


@dataclass(frozen=True, eq=False)
class Matching:
    """Rows of a table by image.

    Parameters
    ----------
    rows : (images,) int64
        −1 where the table does not name the image.
    rules : dict
        Rule -> number of images that it matched.
    ambiguous : (str, str, str), optional
        A name of the table and two ids that it may mean.

    Examples
    --------
    >>> from inficond.core.tables import match_names
    >>> found = match_names(["bird 1", "boat 1"], ["photos/boat 1.jpg", "photos/bird 1.jpg"])
    >>> found.rows.tolist(), found.rules
    ([1, 0], {'by file name without extension': 2})
    """

    rows: np.ndarray
    rules: dict[str, int]
    ambiguous: tuple[str, str, str] | None = None

    @property
    def spelled(self) -> str:
        """Description of the matched images and rules."""
        n = sum(self.rules.values())
        rules = ", ".join(f"{count:,} {rule}" for rule, count in self.rules.items())
        return f"{n:,} of {len(self.rows):,} images matched" + (f": {rules}" if rules else "")


def match_names(names: Sequence[str], ids: Sequence[str]) -> Matching:
    """Match image ids with the names of a table.

    Rules are tried in order, from equal text to equal numbers in file names. A rule matches an image only
    where its form of the name is unique among all names of the table and among all ids.

    Parameters
    ----------
    names : sequence of str
        Unique.
    ids : sequence of str
        Unique, in POSIX form.

    Returns
    -------
    Matching

    Examples
    --------
    >>> from inficond.core.tables import match_names
    >>> found = match_names(["bird 1", "boat 1"], ["photos/boat 1.jpg", "photos/bird 1.jpg", "barn.jpg"])
    >>> found.rows.tolist()
    [1, 0, -1]
    """
    rows = np.full(len(ids), -1, np.int64)
    rules: dict[str, int] = {}
    ambiguous: tuple[str, str, str] | None = None

    def apply(rule: str, key: Callable[[str], str]) -> list[int]:
        """Match by a form of the name, empty where a name has none; return the images that were matched."""
        nonlocal ambiguous
        waiting = np.flatnonzero(rows < 0).tolist()
        if not waiting:
            return []
        by_key, twice = _unique([key(name) for name in names])
        keys = [key(id) for id in ids]
        ids_by_key, ids_twice = _unique(keys)
        matched = []
        for i in waiting:
            k = keys[i]
            if not k or k not in by_key or k in twice:
                continue
            first = ids_by_key[k]
            if k in ids_twice:
                if rows[first] < 0 and first != i:
                    ambiguous = ambiguous or (names[by_key[k]], ids[first], ids[i])
                continue
            rows[i] = by_key[k]
            matched.append(i)
        if matched:
            rules[rule] = rules.get(rule, 0) + len(matched)
        return matched

    apply("exactly", lambda name: name)
    apply("without spaces around the name", str.strip)
    apply("with / for \\", _posix)
    apply("after Unicode normalisation", _normal)
    apply("after decoding % escapes", lambda name: _normal(unquote(name)))
    apply("regardless of case", _folded)
    apply("without quotes and brackets around the name", _unwrapped)
    below: list[int] = []
    for parts in range(min(_depth(names), _depth(ids)), 0, -1):
        below += apply(_BY_END, lambda name, n=parts: _end(name, n))  # type: ignore[misc]
    roots = {_roots(names[int(rows[i])], ids[i]) for i in below}
    if len(roots) == 1:
        name_root, id_root = roots.pop()
        rules[f"relative to {name_root or '.'}" + (f" and {id_root}" if id_root else "")] = rules.pop(_BY_END)
    apply("without file extension", _stem)
    apply("by file name without extension", lambda name: PurePosixPath(_stem(name)).name)
    apply("without the extension of a picture", _picture_stem)
    apply("by number without leading zeros", _number)
    apply("by the letters and digits of the file name", _letters)
    return Matching(rows, rules, ambiguous)


def _depth(names: Sequence[str]) -> int:
    """Return the largest number of parts of a path, within limits."""
    return min(_MAX_PARTS, max((_posix(name).count("/") + 1 for name in names), default=0))


def _end(name: str, parts: int) -> str:
    """Return the last parts of a path, empty where it has fewer."""
    found = _folded(name).split("/")
    return "/".join(found[-parts:]) if len(found) >= parts else ""


def _roots(name: str, id: str) -> tuple[str, str]:
    """Return the leading folders of two paths, without the parts that they have in common at their ends."""
    one, other = _normal(name).split("/"), _normal(id).split("/")
    n = 0
    while n < min(len(one), len(other)) and one[-1 - n] == other[-1 - n]:
        n += 1
    return "".join(f"{p}/" for p in one[: len(one) - n]), "".join(f"{p}/" for p in other[: len(other) - n])


def _unique(keys: list[str]) -> tuple[dict[str, int], set[str]]:
    first: dict[str, int] = {}
    twice = set()
    for i, key in enumerate(keys):
        if first.setdefault(key, i) != i:
            twice.add(key)
    return first, twice


def _posix(name: str) -> str:
    name = name.strip().replace("\\", "/")
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]+://", name):
        name = re.split(r"[?#]", name, maxsplit=1)[0].removeprefix("file://")
    while name.startswith("./"):
        name = name[2:]
    return name


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", _posix(name.translate(_INVISIBLE)))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", _normal(unquote(name)).casefold())


def _unwrapped(name: str) -> str:
    """Return the name in the text of a Python object such as ``['a.jpg']`` or ``b'a.jpg'``; else the name."""
    found = _WRAPPED.fullmatch(name.strip())
    return _folded(found[2] if found else name)


def _stem(name: str) -> str:
    folded = _folded(name)
    path = PurePosixPath(folded)
    suffix = path.suffix
    if len(suffix) > 6 or not suffix[1:2].isalpha():
        return folded
    return folded[: -len(suffix)]


def _picture_stem(name: str) -> str:
    """Return the file name without the extension of a picture; other dots are part of the name."""
    file = PurePosixPath(_folded(name)).name
    return _PICTURE.sub("", file)


def _letters(name: str) -> str:
    """Return the file name with other characters as single spaces, also at the end of a query or address.

    Programs write ``my%2520photo``, ``my_photo`` and ``my&#32;photo`` for one name.
    """
    text = unicodedata.normalize("NFKC", html.unescape(unquote(unquote(name))))
    return " ".join(re.findall(r"[^\W_]+", re.split(r"[/\\?&=#:]", text)[-1].casefold()))


def _number(name: str) -> str:
    file = PurePosixPath(_folded(name)).name.removesuffix(".0")
    stem = PurePosixPath(_stem(file)).name
    return str(int(stem)) if stem.isascii() and stem.isdecimal() and len(stem) < 19 else ""
