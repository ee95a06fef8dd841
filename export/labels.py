"""Label names of a classifier in its configuration."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from inficond.core.errors import InputError
from inficond.core.models.label_names import count_hint, is_index, names_of_value
from inficond.core.models.manifest import numbered

SHOWN = 3


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
    notes: list[str] = []
    if not table and isinstance(inverse, dict) and inverse:
        table = inverse
        notes.append(f"{name}: config.json has no id2label; the labels are taken from its label2id")
    if not table:
        return None, []
    try:
        labels, found = names_of_value(table, f"{name}: id2label in config.json")
    except InputError as error:
        raise InputError(f"{error}; correct it or give --labels-file FILE") from None
    if not notes:
        notes = [f"{name}: id2label in config.json: {line}" for line in found]
        notes += _contradiction(labels, inverse, name)
    nameless = [i for i, label in enumerate(labels) if not label]
    if nameless:
        labels = [label or f"LABEL_{i}" for i, label in enumerate(labels)]
        notes.append(
            f"{name}: config.json gives no name to label {nameless[0]}"
            f"{f' and {len(nameless) - 1} more' if len(nameless) > 1 else ''}: called LABEL_{nameless[0]}; "
            "name all with --labels-file FILE"
        )
    return labels, notes


def _contradiction(labels: Sequence[str], inverse: Any, name: str) -> list[str]:
    """Return a line on the first label that id2label and label2id name differently, if there is one."""
    if not isinstance(inverse, dict):
        return []
    for label, index in inverse.items():
        if is_index(index) and int(index) < len(labels) and labels[int(index)] not in (str(label), ""):
            return [
                f"{name}: config.json calls label {index} {labels[int(index)]!r} in id2label and {label!r} "
                "in label2id; id2label is used"
            ]
    return []


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
            f"{name} has {outputs} outputs but {len(labels)} labels in {where}{count_hint(labels, outputs)}: "
            f"correct the list, or give --labels-file FILE with {outputs} labels"
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
