"""Label names of a classifier, from a configuration or from a file."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError
from inficond.core.models.manifest import numbered
from inficond.core.strict_json import parse_json

SHOWN = 3
EXAMPLE = '{"0": "cat", "1": "dog"}'


def labels_of_config(raw: Mapping[str, Any], name: str) -> tuple[list[str] | None, list[str]]:
    """Read the label names of a transformers `config.json`.

    Parameters
    ----------
    raw : mapping
        The file's content.
    name : str
        Of the model, for messages.

    Returns
    -------
    labels : list of str or None
        In the order of the outputs; None where the file names none.
    notes : list of str
        What was corrected.

    Raises
    ------
    InputError
        `id2label` does not number the labels from 0.
    """
    table, inverse = raw.get("id2label"), raw.get("label2id")
    if not table and isinstance(inverse, dict) and inverse:
        table, note = inverse, f"{name}: config.json has no id2label; the labels are taken from its label2id"
    else:
        note = ""
    if not table:
        return None, []
    if isinstance(table, list):
        table = dict(enumerate(table))
    if not isinstance(table, dict):
        raise InputError(
            f'{name}: id2label in config.json must be an object such as {{"0": "cat", "1": "dog"}}'
        )
    if not all(_is_index(key) for key in table) and all(_is_index(value) for value in table.values()):
        table = {index: label for label, index in table.items()}
        note = (
            note or f"{name}: id2label in config.json maps names to numbers; it was read the other way round"
        )
    try:
        by_index = {int(key): value for key, value in table.items()}
    except (TypeError, ValueError):
        raise InputError(
            f"{name}: id2label in config.json must number the labels, as in {EXAMPLE}; correct it or give "
            "--labels-file FILE"
        ) from None
    if sorted(by_index) != list(range(len(table))):
        absent = next(i for i in range(len(table) + 1) if i not in by_index)
        raise InputError(
            f"{name}: the labels are not numbered from 0 to {len(table) - 1} (id2label in config.json; "
            "number "
            f"{absent} is missing); correct it or give --labels-file FILE"
        )
    labels = [" ".join(str(by_index[i]).split()) for i in range(len(by_index))]
    notes = [note] if note else []
    if isinstance(inverse, dict) and inverse and isinstance(raw.get("id2label"), dict) and not note:
        other = next(
            ((k, v) for k, v in inverse.items() if _is_index(v) and by_index.get(int(v)) not in (k, None)),
            None,
        )
        if other:
            notes.append(
                f"{name}: config.json calls label {other[1]} {by_index[int(other[1])]!r} in id2label and "
                f"{other[0]!r} in label2id; id2label is used"
            )
    return labels, notes


def _is_index(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\d{1,7}", value) is not None)


def labels_of_file(path: Path) -> list[str]:
    """Read label names from a file.

    Parameters
    ----------
    path : Path
        Text with one label per line, a JSON list, or a JSON object of numbers and names.

    Raises
    ------
    InputError
        The file is missing, empty or of another form.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the labels file {path}: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"the labels file {path} is not UTF-8 text") from None
    labels: list[str] | None = [line.strip() for line in text.splitlines() if line.strip()]
    if text.lstrip()[:1] in ("[", "{"):
        try:
            parsed = parse_json(text.encode())
        except ValueError as error:
            raise InputError(f"the labels file {path} is not valid JSON: {error}") from None
        labels, _ = labels_of_config({"id2label": parsed}, str(path))
    if not labels:
        raise InputError(f"the labels file {path} is empty: write one label per line")
    return labels


def check_label_count(outputs: int, labels: Sequence[str], name: str, where: str) -> None:
    """Check that a classifier has as many labels as outputs.

    Parameters
    ----------
    outputs : int
    labels : sequence of str
    name, where : str
        The model and where its labels come from, for messages.

    Raises
    ------
    InputError
        Naming both numbers.
    """
    if outputs != len(labels):
        raise InputError(
            f"{name} has {outputs} outputs but {len(labels)} labels in {where}: correct the list, or give "
            f"--labels-file FILE with {outputs} labels"
        )


def label_notes(labels: Sequence[str], name: str) -> list[str]:
    """Return one line each on labels that occur more than once or that are only numbers."""
    notes = []
    repeated = [label for label, n in Counter(labels).items() if n > 1]
    if repeated:
        told_apart = numbered(list(labels))
        some = [
            " and ".join(
                f"{told_apart[i]!r} (number {i})" for i, label in enumerate(labels) if label == wanted
            )
            for wanted in repeated[:SHOWN]
        ]
        more = f"; {len(repeated) - SHOWN} more names" if len(repeated) > SHOWN else ""
        notes.append(f"{name}: labels that occur more than once are told apart: {'; '.join(some)}{more}")
    if all(re.fullmatch(r"LABEL_\d+|\d+", label) for label in labels):
        notes.append(f"{name}: its labels have no names ({labels[0]}, …): name them with --labels-file FILE")
    return notes
