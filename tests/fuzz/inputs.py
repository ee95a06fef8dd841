"""Nearly valid inputs: documents, files and messages with some changes."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True)
class Long:
    """A long text, stored as a repetition."""

    text: str
    times: int


@dataclass(frozen=True)
class Raw:
    """A piece of JSON text without a Python value."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """A JSON object with repeated keys."""

    items: tuple[tuple[Any, Any], ...]


NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 255, 256, 16384, 16385, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64,
    -(2**31), -(2**63), 10**30, 10**400, 0.5, -0.0, 1.5, 1e-320, 1e-30, 1e30, 1e308, math.nan, math.inf,
    -math.inf, True, False,
)  # fmt: skip
TEXTS: tuple[Any, ...] = (
    "", " ", "x", "\0", "a\0b", "\ud800", "a\udfffb", "\u202eevil\u202c", "\u2028", "\x1b[2J", "a\nb", "\r\n",
    "\ufeff", "..", "../../x", "/etc/passwd", "..\\x", "C:\\x", "~nobody/x", "~", "con", ".hidden", "a/b",
    "%2e%2e/x", "group:", "group:water", "main", "NaN", "inf", "1e999", "-0", "0x10", "1_0", "٣", "²", "null",
    "true", "{}", "{0}", "%s%n", "=1+1", "<b>", "'; DROP TABLE node; --", "é" * 120, "名" * 90, "İ", "ß", "ﬁ",
    "c0", "boat", "missed", "__proto__", "__class__", "9" * 5000,
)  # fmt: skip
LONG = (Long("a", 10**6), Long("a ", 300_000), Long("é", 70_000), Long("[", 10_000))
RAWS = (
    "[" * 600 + "]" * 600, "[" * 200_000, '{"a":' * 600 + "1" + "}" * 600, "1" * 5000, "-", "1e999", "NaN",
    "-Infinity", "01", "'x'", "tru", '"\\u12"', '"\t"', "", ",", "}", "\u00a0",
)  # fmt: skip


def one_in(n: int, rare: st.SearchStrategy[Any], usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw from the usual strategy, about once in `n` times from the other."""
    return st.integers(0, n - 1).flatmap(lambda i: rare if i == 1 else usual)


_small = st.text(max_size=8)
texts = one_in(25, st.sampled_from(LONG), st.one_of(_small, st.sampled_from(TEXTS)))
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-9, 9), st.floats())
scalars = st.one_of(st.none(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_small, inner, max_size=3),
    max_leaves=5,
)
odd = st.one_of(scalars, values, st.sampled_from([Raw(t) for t in RAWS]))


def several(
    one: st.SearchStrategy[Any], by_chance: Callable[[Random], Any], most: int
) -> st.SearchStrategy[list[Any]]:
    """Draw one to `most` changes.

    Half of them are drawn by Hypothesis, which can shrink them; the others from a seed, without repetitions.
    """

    def drawn(seed: int) -> list[Any]:
        rng = Random(seed)
        return [by_chance(rng) for _ in range(rng.randint(1, most))]

    return st.one_of(st.lists(one, min_size=1, max_size=most), st.integers(0, 2**64 - 1).map(drawn))


def _word(rng: Random) -> Any:
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice(LONG) if rng.randrange(3) == 0 else ""
    if kind < 6:
        return rng.choice(TEXTS)
    alphabet = (
        "abc0",
        "\0\n\x1b\x7f",
        "é名İ\u202e\u200d",
        "\ud800\udfff",
        "/.\\~:",
        "{}[]\"',;=%|",
        " \t\u2028",
    )
    return "".join(rng.choice(rng.choice(alphabet)) for _ in range(rng.randint(1, 9)))


def _odd(rng: Random, depth: int = 2) -> Any:
    kind = rng.randrange(10 if depth else 7)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind == 2:
        return rng.choice(
            (
                rng.randint(-9, 99),
                rng.getrandbits(40),
                rng.uniform(-9, 9),
                rng.random() * 10.0 ** rng.randint(-40, 300),
            )
        )
    if kind < 6:
        return _word(rng)
    if kind == 6:
        return rng.choice((None, Raw(rng.choice(RAWS))))
    if kind == 7:
        return {str(value(_word(rng)))[:9]: _odd(rng, depth - 1) for _ in range(rng.randrange(3))}
    return [_odd(rng, depth - 1) for _ in range(rng.randrange(4))]


# -- documents


def value(document: Any) -> Any:
    """Return the document as a JSON parser would; a piece that is not JSON becomes None."""
    if isinstance(document, Long):
        return document.text * document.times
    if isinstance(document, Raw):
        try:
            return json.loads(document.text)
        except (ValueError, RecursionError):
            return None
    if isinstance(document, Pairs):
        return {_key(k): value(v) for k, v in document.items}
    if isinstance(document, dict):
        return {k: value(v) for k, v in document.items()}
    return [value(v) for v in document] if isinstance(document, list | tuple) else document


def text(document: Any) -> str:
    """Return the document as JSON text."""
    if isinstance(document, Raw):
        return document.text
    if isinstance(document, Long):
        return json.dumps(document.text * document.times)
    if isinstance(document, Pairs):
        return "{" + ",".join(f"{json.dumps(_key(k))}:{text(v)}" for k, v in document.items) + "}"
    if isinstance(document, dict):
        return text(Pairs(tuple(document.items())))
    if isinstance(document, list | tuple):
        return "[" + ",".join(map(text, document)) + "]"
    return json.dumps(document)


def _key(key: Any) -> str:
    return key.text * key.times if isinstance(key, Long) else str(key)


class _Object:
    """A JSON object that can be changed."""

    def __init__(self, items: list[list[Any]]) -> None:
        self.items = items


def _thaw(document: Any) -> Any:
    if isinstance(document, dict):
        return _Object([[k, _thaw(v)] for k, v in document.items()])
    return [_thaw(v) for v in document] if isinstance(document, list | tuple) else document


def _freeze(tree: Any) -> Any:
    if isinstance(tree, _Object):
        items = tuple((k, _freeze(v)) for k, v in tree.items)
        plain = all(isinstance(k, str) for k, _ in items) and len({k for k, _ in items}) == len(items)
        return dict(items) if plain else Pairs(items)
    return [_freeze(v) for v in tree] if isinstance(tree, list) else tree


def _spots(tree: Any) -> Iterator[tuple[list[Any], int, list[Any] | None]]:
    """Return every value with the list that contains it, its position, and its key's pair."""
    if isinstance(tree, _Object):
        for pair in tree.items:
            yield pair, 1, pair
            yield from _spots(pair[1])
    elif isinstance(tree, list):
        for i, inner in enumerate(tree):
            yield tree, i, None
            yield from _spots(inner)


CHANGES = ("set", "set", "set", "drop", "add", "copy", "double", "wrap", "rename", "first", "edit", "empty")
_change = st.tuples(st.sampled_from(CHANGES), st.integers(0, 999), st.integers(0, 999), odd, texts)


def _change_by_chance(rng: Random) -> tuple[str, int, int, Any, Any]:
    return rng.choice(CHANGES), rng.randrange(1000), rng.randrange(1000), _odd(rng), _word(rng)


def _changed(root: list[Any], change: tuple[str, int, int, Any, Any]) -> None:
    """Apply one change in place; if its kind does not apply, replace a value."""
    kind, where, other, new, word = change
    spots = list(_spots(root))
    inner = spots if where % 8 == 7 else spots[1:] or spots  # the whole is replaced now and then
    holder, at, pair = inner[where % len(inner)]
    here = holder[at]
    owner = next(
        (p[i] for p, i, _ in spots if isinstance(p[i], _Object) and any(q is pair for q in p[i].items)), None
    )
    if kind == "drop" and owner is not None:
        owner.items = [p for p in owner.items if p is not pair]
    elif kind == "drop" and pair is None and holder is not root:
        del holder[at]
    elif kind == "add" and isinstance(here, _Object):
        here.items.append([word, new])
    elif kind == "add" and isinstance(here, list):
        here.insert(other % (len(here) + 1), new)
    elif kind == "copy":
        source, i, _ = spots[other % len(spots)]
        holder[at] = _thaw(_freeze(source[i]))
    elif kind == "double" and owner is not None:
        owner.items.append([pair[0], new])  # type: ignore[index]
    elif kind == "double" and pair is None and holder is not root:
        holder[at:at] = [here] * (1 + other % (6 if isinstance(here, list | _Object | Long | Raw) else 300))
    elif kind == "wrap":
        holder[at] = [here] if other % 2 else _Object([[word, here]])
    elif kind == "rename" and pair is not None:
        pair[0] = word
    elif kind == "first" and isinstance(here, list) and here:
        holder[at] = here[0]
    elif kind == "first" and isinstance(here, _Object) and here.items:
        holder[at] = here.items[0][1]
    elif kind == "edit" and isinstance(here, str) and isinstance(word, str):
        cut = other % (len(here) + 1)
        holder[at] = here[:cut] + word + here[cut:]
    elif kind == "edit" and isinstance(here, int | float) and isinstance(new, int | float):
        holder[at] = here + new if abs(new) < 1e6 else new
    elif kind == "empty" and isinstance(here, str | list | int | float):
        holder[at] = type(here)()
    else:
        holder[at] = new


@st.composite
def documents(draw: st.DrawFn, seeds: Sequence[Any], most: int = 4) -> Any:
    """Draw a valid document with up to `most` changes, sometimes none."""
    seed = draw(st.sampled_from(seeds))
    root = [_thaw(seed)]
    if draw(st.integers(0, 11)) == 1:
        return seed
    for change in draw(several(_change, _change_by_chance, most)):
        _changed(root, change)
    made = _freeze(root[0])
    return made if _size(made) < MOST else seed


MOST = 8_000_000
"""Approximate size of a document in characters, at most."""


def _size(document: Any) -> int:
    if isinstance(document, Long):
        return len(document.text) * document.times
    if isinstance(document, dict):
        return sum(len(k) + _size(v) for k, v in document.items())
    if isinstance(document, Pairs):
        return sum(_size(k) + _size(v) for k, v in document.items)
    if isinstance(document, list):
        return sum(map(_size, document))
    return len(document) if isinstance(document, str) else 4


# -- bytes

_KINDS = ("flip", "set", "cut", "insert", "repeat", "end", "splice", "word", "move")
_PIECES = (b"\0", b"\xff", b"\xc3\x28", b'"', b",", b"\r", b"\n", b"\xef\xbb\xbf")
_WORDS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
_edit = st.tuples(
    st.sampled_from(_KINDS),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**16 - 1),
    st.one_of(st.binary(min_size=1, max_size=6), st.sampled_from(_PIECES)),
)


def _edit_by_chance(rng: Random) -> tuple[str, int, int, bytes]:
    blob = rng.choice(_PIECES) if rng.randrange(2) else rng.randbytes(rng.randint(1, 6))
    return rng.choice(_KINDS), rng.randrange(2**16), rng.randrange(2**16), blob


def edits(most: int) -> st.SearchStrategy[list[Any]]:
    """Draw changes of bytes, for `edited`."""
    return several(_edit, _edit_by_chance, most)


def edited(data: bytes, changes: Sequence[Any]) -> bytes:
    """Return bytes with changes applied."""
    for change in changes:
        data = _edited(data, change, data)
    return data


def _edited(data: bytes, edit: tuple[str, int, int, bytes], other: bytes) -> bytes:
    kind, where, n, blob = edit
    if not data:
        return blob
    at = where * len(data) >> 16
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ (1 << n % 8)]) + data[at + 1 :]
    if kind == "set":
        return data[:at] + blob + data[at + len(blob) :]
    if kind == "cut":
        return data[:at] + data[at + 1 + n % 64 :]
    if kind == "insert":
        return data[:at] + blob + data[at:]
    if kind == "repeat":
        piece = data[at : at + 1 + n % 64]
        return data[:at] + piece * (1 + n % 200) + data[at:]
    if kind == "end":
        return data[:at]
    if kind == "splice":
        return data[:at] + other[n * len(other) >> 16 :]
    if kind == "word":
        size = (1, 2, 4, 8)[n % 4]
        word = (_WORDS[n // 4 % len(_WORDS)] % (1 << 8 * size)).to_bytes(size, "little" if n & 64 else "big")
        return data[:at] + word + data[at + size :]
    piece = data[at : at + 1 + n % 64]  # move
    rest = data[:at] + data[at + len(piece) :]
    to = n * len(rest) >> 16
    return rest[:to] + piece + rest[to:]


@st.composite
def mangled(draw: st.DrawFn, seeds: Sequence[bytes], most: int = 6) -> bytes:
    """Draw a valid file with up to `most` changes of bytes."""
    data, other = draw(st.sampled_from(seeds)), draw(st.sampled_from(seeds))
    if draw(st.integers(0, 11)) == 1:
        return data
    for edit in draw(edits(most)):
        data = _edited(data, edit, other)
    return data


def files(seeds: Sequence[Any], most: int = 4) -> st.SearchStrategy[Any]:
    """Draw a JSON file: a changed document, or a valid one with changed bytes."""
    return st.one_of(
        documents(seeds, most), documents(seeds, most), mangled([text(s).encode() for s in seeds])
    )


def content(given: Any) -> bytes:
    """Return the content of the file."""
    return given if isinstance(given, bytes) else text(given).encode()


# -- tables of text

_cells = st.one_of(
    st.sampled_from(
        [
            "a.jpg",
            "b/c.png",
            "./a.jpg",
            "boat",
            "0",
            "1",
            "0.5",
            "",
            "x",
            "nan",
            "yes",
            "1e999",
            "-1",
            "a|b;c",
        ]
    ),
    texts.map(lambda t: value(t)),
)
_quoted = st.sampled_from(['"', '""', '"a,b"', '"a\nb"', '"open', 'a"b', "'"])


@st.composite
def tables(draw: st.DrawFn, headers: Sequence[str], rows: Sequence[str]) -> bytes:
    """Draw a CSV file of valid lines with changed cells and separators."""
    separator = draw(st.sampled_from([",", ",", ",", ";", "\t"]))
    lines = [draw(st.sampled_from(headers)).split(",")]
    lines += [line.split(",") for line in draw(st.lists(st.sampled_from(rows), max_size=6))]
    for line, cell, new in draw(
        st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), _cells | _quoted), max_size=3)
    ):
        chosen = lines[line % len(lines)]
        if cell % 7 == 6:
            chosen.append(new)
        elif cell % 7 == 5 and len(chosen) > 1:
            chosen.pop()
        else:
            chosen[cell % len(chosen)] = new
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"]))
    whole = end.join(separator.join(line) for line in lines) + draw(st.sampled_from(["", end]))
    whole = draw(st.sampled_from(["", "", "\ufeff"])) + whole
    data = whole.encode("utf-8", draw(st.sampled_from(["replace", "surrogatepass"])))
    return edited(data, draw(edits(4))) if draw(st.integers(0, 2)) == 1 else data


# -- protocol buffers


def _fields(data: bytes, depth: int = 0) -> list[list[Any]] | None:
    """Return number, wire type and value of each field, recursively; None if it is not a message."""
    found: list[list[Any]] = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key is None or key >> 3 == 0:
            return None
        wire = key & 7
        if wire == 0:
            number, at = _varint(data, at)
            if number is None:
                return None
            found.append([key >> 3, 0, number])
            continue
        if wire not in (1, 2, 5):
            return None
        length: int | None = 8 if wire == 1 else 4
        if wire == 2:
            length, at = _varint(data, at)
        if length is None or at + length > len(data):
            return None
        piece = data[at : at + length]
        inner = _fields(piece, depth + 1) if wire == 2 and piece and depth < 7 else None
        found.append([key >> 3, wire, piece if inner is None else inner])
        at += length
    return found


def _varint(data: bytes, at: int) -> tuple[int | None, int]:
    number = shift = 0
    while at < len(data) and shift < 64:
        number |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return number, at
        shift += 7
    return None, at


def _packed(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _message(fields: list[list[Any]]) -> bytes:
    out = b""
    for number, wire, content in fields:
        out += _packed(number << 3 | wire)
        if wire == 0:
            out += _packed(content)
            continue
        piece = _message(content) if isinstance(content, list) else content
        out += (_packed(len(piece)) if wire == 2 else b"") + piece
    return out


def _inner(fields: list[list[Any]]) -> Iterator[tuple[list[list[Any]], int]]:
    for i, entry in enumerate(fields):
        yield fields, i
        if isinstance(entry[2], list):
            yield from _inner(entry[2])


_WILD = (0, 1, 2, 5, 7, 16, 21, 22, 64, 65, 10**6, 2**31 - 1, 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_BLOBS = (
    b"", b"Tile", b"Expand", b"Concat", b"ConstantOfShape", b"Constant", b"If", b"location", b"custom",
    b"../../etc/passwd", b"\xff\xfe", b"\xf0\x9f", b"a" * 4000, b"\xff" * 8, b"\0" * 8, b"\x7f\xc0\0\0",
)  # fmt: skip
_TWEAKS = ("number", "number", "blob", "drop", "double", "field", "wire", "copy", "nest")
_tweak = st.tuples(
    st.sampled_from(_TWEAKS), st.integers(0, 9999), st.integers(0, 9999), st.sampled_from(_WILD),
    st.one_of(st.binary(max_size=6), st.sampled_from(_BLOBS)),
)  # fmt: skip


def _tweak_by_chance(rng: Random) -> tuple[str, int, int, int, bytes]:
    number = rng.choice(_WILD) if rng.randrange(3) else rng.getrandbits(rng.randint(1, 64))
    blob = rng.choice(_BLOBS) if rng.randrange(3) else rng.randbytes(rng.randrange(9))
    return rng.choice(_TWEAKS), rng.randrange(10_000), rng.randrange(10_000), number, blob


@st.composite
def messages(draw: st.DrawFn, seeds: Sequence[bytes], most: int = 5) -> bytes:
    """Draw a protocol buffer with some fields changed and lengths corrected."""
    fields = _fields(draw(st.sampled_from(seeds)))
    assert fields is not None
    for kind, where, other, number, blob in draw(several(_tweak, _tweak_by_chance, most)):
        spots = list(_inner(fields))
        if not spots:
            break
        holder, at = spots[where % len(spots)]
        entry = holder[at]
        if kind == "number":
            numeric = [(h, i) for h, i in spots if h[i][1] == 0]
            if numeric:
                holder, at = numeric[where % len(numeric)]
                holder[at][2] = number
        elif kind == "blob":
            entry[1:] = [2, blob]
        elif kind == "drop":
            del holder[at]
        elif kind == "double":
            holder[at:at] = [_copied(entry) for _ in range(1 + other % 6)]
        elif kind == "field":
            entry[0] = 1 + other % 26
        elif kind == "wire":
            entry[1:] = [0, number]
        elif kind == "copy":
            there, i = spots[other % len(spots)]
            entry[1:] = _copied(there[i])[1:]
        elif kind == "nest" and isinstance(entry[2], list):
            for _ in range(1 + other % 24):
                entry[2] = [[5, 2, [[1, 2, b"g"], [6, 2, [[1, 2, entry[2]]]]]]]
    data = _message(fields)
    return edited(data, draw(edits(2))) if draw(st.integers(0, 4)) == 1 else data


def _copied(entry: list[Any]) -> list[Any]:
    return [entry[0], entry[1], [_copied(e) for e in entry[2]] if isinstance(entry[2], list) else entry[2]]
