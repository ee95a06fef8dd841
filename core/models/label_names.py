"""Names of a classifier's outputs, read from a file or a configuration of any usual form."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import read_given
from inficond.core.strict_json import parse_json
from inficond.core.tables import decode_text

KEYS = ("names", "labels", "classes", "class_names", "id2label", "categories")
"""Keys under which files and metadata keep the names."""
MAX_NAMES_FILE = 64 << 20
"""Bytes of a file of names."""
HEADINGS = ("label", "labels", "name", "names", "class", "classes", "class_name", "category", "categories")
BACKGROUND = ("background", "__background__", "_background_", "__ignore__", "none", "n/a")
EXAMPLE = '{"0": "cat", "1": "dog"}'
_NAME_KEYS = ("name", "label", "class", "display_name", "title", "en")
_NUMBERED = re.compile(r"[\"']?(\d{1,6})[\"']?\s*(?:[:,;=.)\t-]|\s)\s*(\S.*)")
_NUMBER_LAST = re.compile(r"(.*\S)\s*(?:[:,;=\t]|\s)\s*(\d{1,6})")
_WORDNET = re.compile(r"n\d{8}[\s,;:]+(\S.*)")
_QUOTED = re.compile(r"([\"'])(.*)\1,?")
_YAML_KEY = re.compile(rf"(?:{'|'.join(KEYS)})\s*:\s*(.*)")
_ITEM = re.compile(r"\bitem\s*\{([^}]*)\}")


def read_label_names(path: Path) -> tuple[list[str], list[str]]:
    """Read the names of a classifier's outputs.

    Parameters
    ----------
    path : Path
        One name per line, with or without numbers; JSON or a Python literal (a list, an object of numbers and
        names, or one that holds either under a key of `KEYS`); the `names` of a YAML file; or a label map of
        TensorFlow. UTF-8, UTF-16 or Windows-1252.

    Returns
    -------
    names : list of str
        In the order of the outputs.
    notes : list of str
        How the file was read, where that is not obvious.

    Raises
    ------
    InputError
        The file cannot be read, names nothing, or leaves an output without a name.
    """
    try:
        content = read_given(path, MAX_NAMES_FILE)
    except OSError as error:
        raise InputError(f"cannot read the labels file {path}: {system_reason(error)}") from None
    try:
        text, encoding = decode_text(content, path)
    except InputError:
        raise InputError(
            f"the labels file {path} is not text in UTF-8, UTF-16 or Windows-1252: save it as UTF-8 text"
        ) from None
    notes = [] if encoding.startswith("UTF-8") else [f"{path.name}: {encoding}"]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise InputError(f"the labels file {path} is empty: write one label per line")
    yaml = _yaml_names(text)
    if lines[0][0] in "[{":
        names, found = _structured(text, path)
    elif yaml is not None:
        names, found = names_of_value(yaml, str(path))
    elif _ITEM.search(text):
        names, found = _label_map(text, path)
    else:
        names, found = _names_of_lines(lines)
    blank = next((i for i, name in enumerate(names) if not name), None)
    if blank is not None:
        raise InputError(f"the labels file {path} leaves output {blank} without a name: write one there")
    return names, notes + [f"{path.name}: {line}" for line in found]


def names_of_value(value: Any, where: str) -> tuple[list[str], list[str]]:
    """Return names from parsed JSON or a parsed literal.

    Parameters
    ----------
    value : object
        A list of names, an object of numbers and names in either direction, or an object that holds one of
        these under a key of `KEYS`. A name may be a pair of WordNet id and name, or an object with a `name`.
    where : str
        Names the source in errors.

    Returns
    -------
    names : list of str
        In the order of the outputs; empty texts where a name is null or empty.
    notes : list of str

    Raises
    ------
    InputError
        It is of another form, or its numbers do not run from 0.
    """
    if isinstance(value, dict):
        for key in KEYS:
            if isinstance(value.get(key), dict | list) and value[key]:
                return names_of_value(value[key], where)
    notes: list[str] = []
    if isinstance(value, list | tuple):
        by_number = {_own_number(entry, i): entry for i, entry in enumerate(value)}
        if len(by_number) != len(value):
            raise InputError(f"{where}: two labels have one number; number them from 0")
    elif isinstance(value, dict):
        if not all(is_index(key) for key in value) and all(is_index(number) for number in value.values()):
            pairs = [(number, name) for name, number in value.items()]
            value = _numbered(pairs, where)
            notes.append("it maps names to numbers; it was read the other way round")
        if not all(is_index(key) for key in value):
            raise InputError(f"{where} must number the labels, as in {EXAMPLE}")
        by_number = _numbered(list(value.items()), where)
    else:
        raise InputError(f"{where} must be a list of names or an object such as {EXAMPLE}")
    if sorted(by_number) == list(range(1, len(by_number) + 1)):
        by_number = {number - 1: name for number, name in by_number.items()}
        notes.append(
            f"its numbers run from 1 to {len(by_number)}; label 1 is taken as the name of the first output"
        )
    if sorted(by_number) != list(range(len(by_number))):
        absent = next(i for i in range(len(by_number) + 1) if i not in by_number)
        raise InputError(
            f"{where}: the labels are not numbered from 0 to {len(by_number) - 1} (number {absent} is "
            "missing)"
        )
    return [_name_of(by_number[i], where) for i in range(len(by_number))], notes


def _numbered(pairs: Sequence[tuple[Any, Any]], where: str) -> dict[int, Any]:
    """Return names by number; two names of one number are an error, not a choice."""
    table: dict[int, Any] = {}
    for key, name in pairs:
        number = int(key)
        if number in table:
            raise InputError(
                f"{where}: {str(table[number])[:60]!r} and {str(name)[:60]!r} both have the number {number}; "
                "give each output one name"
            )
        table[number] = name
    return table


def is_index(value: Any) -> bool:
    """Return whether a value is a whole number from 0, or its digits."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return value >= 0
    return isinstance(value, str) and re.fullmatch(r"\d{1,7}", value) is not None


def count_hint(names: Sequence[str], outputs: int) -> str:
    """Return a half-sentence on why names and outputs may differ in number; empty if nothing is known."""
    more = len(names) - outputs
    if more == 1 and names[0].casefold() in BACKGROUND:
        return f"; the first label, {names[0]!r}, names a background class, which the model does not have"
    if more == 1 and names[0].casefold() in HEADINGS:
        return f"; the first label, {names[0]!r}, looks like the heading of a column"
    if outputs == 1 and len(names) == 2:
        return "; a single output is the score of one class: name only that class"
    if more == -1 and outputs > 100 and names[0].casefold() not in BACKGROUND:
        return "; a model with a background class has one output more: name it where it stands"
    return ""


def _own_number(entry: Any, place: int) -> int:
    """Return the number of an entry of a list: what it states as `id` or `index`, else its place."""
    if isinstance(entry, dict):
        for key in ("id", "index", "idx"):
            if is_index(entry.get(key)):
                return int(entry[key])
    return place


def _name_of(entry: Any, where: str) -> str:
    """Return the name in an entry: a text, a pair of WordNet id and name, or an object with a name."""
    if isinstance(entry, list | tuple) and entry and all(isinstance(part, str) for part in entry):
        if len(entry) == 2 and re.fullmatch(r"n\d{8}", entry[0]):
            return _clean(entry[1].replace("_", " "))
        return _clean(", ".join(entry))
    if isinstance(entry, dict):
        key = next((key for key in _NAME_KEYS if isinstance(entry.get(key), str)), None)
        if key is None:
            raise InputError(f"{where}: the label {str(entry)[:60]} has no `name`: give each label a text")
        return _clean(entry[key])
    if entry is None:
        return ""
    if isinstance(entry, str | int | float):
        return _clean(str(entry))
    raise InputError(f"{where}: {str(entry)[:60]} is not the name of a label: give each label a text")


def _clean(text: str) -> str:
    return " ".join(text.split())


def _structured(text: str, path: Path) -> tuple[list[str], list[str]]:
    """Read JSON, or a Python literal as `print` and Ultralytics write it."""
    try:
        value = parse_json(text)
    except ValueError as error:
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise InputError(f"the labels file {path} is not valid JSON: {error}") from None
    return names_of_value(value, f"the labels file {path}")


def _names_of_lines(lines: list[str]) -> tuple[list[str], list[str]]:
    """Read one name per line; numbers that only count the lines are left out."""
    if len(lines) == 1 and "," in lines[0]:
        parts = [part.strip().strip("\"'") for part in lines[0].split(",")]
        return parts, [f"its single line holds {len(parts)} names, separated by commas"]
    quoted = [_QUOTED.fullmatch(line.strip().strip("[](),") if line != "," else line) for line in lines]
    if all(quoted):
        return [_clean(match[2]) for match in quoted if match], ["the quotation marks are left out"]
    for rows, heading in ((lines, ""), (lines[1:], lines[0])):
        said = f"; its first line, {heading[:40]!r}, is a heading" if heading else ""
        for pattern, number, name in ((_NUMBERED, 1, 2), (_NUMBER_LAST, 2, 1)):
            found = [match for row in rows if (match := pattern.fullmatch(row))]
            if len(found) != len(rows) or len(rows) < 2:
                continue
            table = {int(match[number]): _clean(match[name].strip("\"'")) for match in found}
            first = min(table)
            run = list(range(first, first + len(rows)))
            if first <= 1 and sorted(table) == run and len(set(table.values())) > 1:
                names = [table[i] for i in run]
                return names, [f"the numbers from {first} to {run[-1]} in its lines give the order{said}"]
    wordnet = [_WORDNET.fullmatch(line) for line in lines]
    if all(wordnet):
        return [_clean(match[1]) for match in wordnet if match], ["the WordNet ids are left out"]
    return [_clean(line) for line in lines], []


def _yaml_names(text: str) -> Any:
    """Return the names of a YAML file as Ultralytics writes it, None if the text is not one."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if _YAML_KEY.fullmatch(line.rstrip())), None)
    if start is None:
        return None
    inline = _YAML_KEY.fullmatch(lines[start].rstrip())
    if inline and inline[1].startswith(("[", "{")):
        whole = " ".join([inline[1], *lines[start + 1 :]])
        body = re.match(r"\[(.*?)\]|\{(.*?)\}", whole)
        parts = (body[1] or body[2] or "").split(",") if body else []
        entries = [part.strip() for part in parts if part.strip()]
    else:
        entries = []
        for line in lines[start + 1 :]:
            if line.strip() and not line.startswith((" ", "\t", "-")):
                break
            if line.strip() and not line.strip().startswith("#"):
                entries.append(line.strip())
    if not entries:
        return None
    pairs = [re.fullmatch(r"[\"']?(\d{1,6})[\"']?\s*:\s*(.+)", entry) for entry in entries]
    if all(pairs):
        return {match[1]: match[2].strip("\"'") for match in pairs if match}
    return [entry.removeprefix("-").strip().strip("\"'") for entry in entries]


def _label_map(text: str, path: Path) -> tuple[list[str], list[str]]:
    """Read a label map of TensorFlow: items with `id` and `name` or `display_name`."""
    table: dict[int, str] = {}
    for body in _ITEM.findall(text):
        number = re.search(r"\bid\s*:\s*(\d{1,6})", body)
        name = re.search(r"\bdisplay_name\s*:\s*([\"'])(.*?)\1", body) or re.search(
            r"\bname\s*:\s*([\"'])(.*?)\1", body
        )
        if number is None or name is None or int(number[1]) in table:
            raise InputError(f"the labels file {path}: each item needs an `id` of its own and a `name`")
        table[int(number[1])] = name[2]
    return names_of_value(table, f"the labels file {path}")
