"""Meaning of the outputs of a classifier in an ONNX file, found by trial runs on the user's pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.teacher import rows_of_outputs
from inficond.core.models.teacher_trial import check_percentages, output_kind, sum_to_one

ENOUGH = 8
"""Fewest labelled or different pictures from which a rule is drawn."""
SURE = 0.8
"""Share of the labelled pictures that must agree before another order of the labels is named."""


def choose_output(
    path: Path, answers: Mapping[str, np.ndarray], pictures: int, labels: int | None, stated: str | None
) -> tuple[str, list[str]]:
    """Choose the output that holds the scores of the classes.

    Parameters
    ----------
    path : Path
        Names the file in errors.
    answers : mapping of str to arrays
        Every output of the graph for one batch of pictures.
    pictures : int
        Size of the batch.
    labels : int or None
        Number of labels, where it is known.
    stated : str or None
        Name of the output by the metadata of the file.

    Returns
    -------
    name : str
    notes : list of str

    Raises
    ------
    InputError
        None of the outputs, or more than one, can be the scores.
    """
    if stated:
        if stated not in answers:
            raise InputError(f"{path}: its metadata name the output {stated!r}; it has {', '.join(answers)}")
        return stated, []
    usable, reasons = {}, []
    for name, answer in answers.items():
        try:
            usable[name] = rows_of_outputs(answer, pictures, path)
        except InputError as error:
            reasons.append(error)
    for name, rows in usable.items():
        if rows.shape[1] > 1 and _are_best_classes(rows, answers):
            raise InputError(
                f"{path} returns the best {rows.shape[1]} classes (output {name!r} and their numbers), not "
                "the scores of all: export it without TopK"
            )
    if not usable:
        raise reasons[0] if reasons else InputError(f"{path} has no outputs")
    fitting = {n: rows for n, rows in usable.items() if labels is None or rows.shape[1] == labels}
    if not fitting and len(usable) == 1:
        return next(iter(usable)), []
    said = ", ".join(f"{n} ({rows.shape[1]})" for n, rows in usable.items())
    probabilities = [n for n, rows in fitting.items() if _is_distribution(rows)]
    chosen = [*fitting] if len(fitting) == 1 else probabilities
    if len(chosen) != 1:
        raise InputError(
            f"{path} has several outputs, and which one holds the scores of the classes is not clear: "
            f"{said}; state its name as `output` in the metadata of the file, or give the names of "
            "the classes as --labels-file"
        )
    if len(answers) == 1:
        return chosen[0], []
    return chosen[0], [f"{path.name}: of its outputs {', '.join(answers)}, {chosen[0]} is used"]


def find_kind(outputs: np.ndarray, name: str, stated: str | None) -> tuple[str, str, str]:
    """Find how outputs become probabilities.

    Parameters
    ----------
    outputs : (n, L) float
        Of the user's pictures.
    name : str
        Of the file.
    stated : str or None
        Link by the metadata of the file: ``sigmoid`` or ``softmax``.

    Returns
    -------
    kind : {"logits", "probabilities"}
    link : {"sigmoid", "softmax"}
    note : str

    Raises
    ------
    InputError
        The outputs do not depend on the picture, or could be several things.
    """
    count, width = outputs.shape
    said = f"{name}: its outputs on {count} of your images"
    if count >= ENOUGH and not np.ptp(outputs, axis=0).any():
        raise InputError(
            f"{said} are the same for every image, so nothing can be learned from them: the file holds "
            "weights of zero, or expects pixels on another scale (state `mean` and `std` in its metadata)"
        )
    if stated not in (None, "sigmoid", "softmax"):
        raise InputError(f"{name}: its metadata state the link {stated!r}; it must be sigmoid or softmax")
    check_percentages(outputs, said)
    within = bool(outputs.min() >= -1e-4 and outputs.max() <= 1 + 1e-4)
    if width == 1:
        if within:
            return (
                "probabilities",
                "sigmoid",
                f"{said} lie between 0 and 1: used as probabilities of its label",
            )
        if stated != "sigmoid":
            raise InputError(
                f"{said} are one number each, from {outputs.min():.3g} to {outputs.max():.3g}: a score or "
                "the logit of a yes-or-no question; state `link` as sigmoid in the metadata of the file if "
                "it is such a logit; a regression model cannot be a teacher"
            )
        return "logits", "sigmoid", f"{said} are logits: a sigmoid follows, as its metadata state"
    if within and not sum_to_one(outputs):
        if stated == "softmax":
            raise InputError(
                f"{said} lie between 0 and 1 and do not sum to 1, although its metadata state a softmax, "
                "which would flatten them: state `link` as sigmoid if the graph ends in one"
            )
        return (
            "probabilities",
            "sigmoid",
            (
                f"{said} lie between 0 and 1 and do not sum to 1: they are used as probabilities of a "
                "sigmoid for each label, which the graph ends in"
            ),
        )
    if within:
        kind, _ = output_kind(outputs, "probabilities", name)
        line = f"{said} sum to 1: used as probabilities"
        if ((outputs == 0) | (outputs == 1)).all():
            line += "; they are only 0 and 1, so that students learn no degrees: export the scores before "
            line += "the decision"
        return kind, "softmax", line
    kind, _ = output_kind(outputs, None, name)
    if stated is not None:
        return kind, stated, f"{said} are logits: a {stated} follows, as its metadata state"
    return (
        kind,
        "softmax",
        (
            f"{said} are logits: a softmax follows, so one label per picture is assumed; state `link` as "
            "sigmoid in the metadata of the file if several can hold at once"
        ),
    )


def other_order(answers: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> str:
    """Describe another order of the labels with which nearly all answers agree; empty if there is none.

    Parameters
    ----------
    answers : (n,) int
        The output with the highest score, for each picture.
    truth : (n,) int
        Index of the picture's label in `names`.
    names : sequence of L str
    """
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (answers, truth), 1)
    meant = {int(i): int(counts[i].argmax()) for i in np.flatnonzero(counts.any(axis=1))}
    agree = sum(int(counts[i, t]) for i, t in meant.items())
    moved = [i for i, t in meant.items() if t != i]
    if len(meant) < 2 or len({*meant.values()}) < len(meant) or agree < SURE * len(answers) or not moved:
        return ""
    first = moved[0]
    return f"output {first} is named {names[first]!r} and is highest on images of {names[meant[first]]!r}"


def _are_best_classes(rows: np.ndarray, answers: Mapping[str, np.ndarray]) -> bool:
    """Return whether rows are sorted and come with whole numbers of the same shape, as TopK makes them."""
    numbered = any(a.dtype.kind in "iu" and a.shape == rows.shape for a in answers.values())
    return numbered and bool((np.diff(rows, axis=1) <= 0).all())


def _is_distribution(rows: np.ndarray) -> bool:
    return sum_to_one(rows)
