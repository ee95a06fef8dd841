"""Class sets: the classes of a project as groups of a teacher's labels."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError, system_reason, unknown
from inficond.core.file_access import read_given
from inficond.core.strict_json import parse_json
from inficond.core.tables import decode_text
from inficond.core.tables.signatures import refuse_foreign

MAX_DEFAULT = 20
"""Number of classes that are chosen by default."""

PRESETS = ("groups", "labels")
"""Values accepted instead of a file: readable groups of the teacher's labels, or the labels themselves."""
_FORM = '{"class name": ["teacher label", …]}'


@dataclass(frozen=True)
class ClassSet:
    """Classes, each a group of the teacher's labels whose probabilities are summed.

    Parameters
    ----------
    names : tuple of C str
    members : tuple of C tuples of int
        Indices of the teacher's labels.
    origin : str
        Description of the origin of the set.
    """

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    origin: str

    def responses(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the responses of the classes.

        Parameters
        ----------
        probabilities : (n, L) float32
            Of the teacher's labels.

        Returns
        -------
        (n, C) float32 in [0, 1]
        """
        out = np.empty((len(probabilities), len(self.names)), np.float32)
        for c, indices in enumerate(self.members):
            total = np.zeros(len(probabilities), np.float64)
            for index in indices:  # one at a time, so that the sum does not depend on the size of shards
                total += probabilities[:, index]
            out[:, c] = np.clip(total, 0.0, 1.0)
        return out

    def keep(self, which: Sequence[int], origin: str | None = None) -> "ClassSet":
        """Return the set with only some of its classes, in the order given."""
        return ClassSet(
            tuple(self.names[c] for c in which), tuple(self.members[c] for c in which), origin or self.origin
        )


def share_among(responses: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return responses conditional on the picture showing one of the classes.

    A teacher of a thousand labels gives part of the probability to labels outside the classes. The share of
    the classes is normalised to 1 after temperature scaling (Guo, Pleiss, Sun and Weinberger 2017).

    Parameters
    ----------
    responses : (n, C) float32
        From `ClassSet.responses`.
    temperature : float
        Below 1 sharpens the distribution, for teachers that were trained with label smoothing.

    Returns
    -------
    (n, C) float32
        Rows sum to 1.
    """
    power = np.maximum(responses.astype(np.float64), 1e-12) ** (1.0 / temperature)
    return (power / power.sum(axis=1, keepdims=True)).astype(np.float32)


def read_classes(source: Path | str | Mapping[str, Any] | None) -> Mapping[str, list[str]] | str | None:
    """Read a class file; its labels are compared with the teacher's later.

    Parameters
    ----------
    source : Path, mapping, ``"groups"``, ``"labels"`` or None
        JSON ``{"class name": ["teacher label", …]}``, or a list of labels.

    Raises
    ------
    InputError
        The file is missing, not JSON, or of another form.
    """
    if source is None or (isinstance(source, str) and source in PRESETS):
        return source  # type: ignore[return-value]  # a preset's name
    where = "classes"
    data: Any = source
    if not isinstance(source, Mapping):
        where = str(source)
        try:
            content = read_given(Path(source))
            refuse_foreign(Path(source), content)
            text, _ = decode_text(content, source)
        except FileNotFoundError:
            presets = " or ".join(f"`{p}`" for p in PRESETS)
            raise InputError(f"there is no class file {source}: give a JSON file, or {presets}") from None
        except OSError as error:
            raise InputError(f"cannot read {source}: {system_reason(error)}") from error
        try:
            data = parse_json(text, _no_repeats)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
        except ValueError as error:
            raise InputError(f"{source} is not JSON ({error}): write {_FORM}") from error
    if isinstance(data, list) and all(isinstance(label, str) for label in data):
        data = {label: [label] for label in data}
    if not isinstance(data, Mapping) or not data:
        raise InputError(f"{where} lists no classes; write {_FORM}")
    result: dict[str, list[str]] = {}
    for name, labels in data.items():
        labels = [labels] if isinstance(labels, str) else labels
        if (
            not isinstance(labels, list | tuple)
            or not labels
            or not all(isinstance(label, str) for label in labels)
        ):
            raise InputError(
                f"{where}: class {str(name)!r:.60} needs a list of teacher labels; write {_FORM}"
            )
        clean = " ".join(str(name).split())
        if not clean.isprintable() or not clean or len(clean) > 100 or clean in result:
            raise InputError(
                f"{where}: {str(name)!r:.60} cannot name a class: names must be unique, printable and "
                "have 1 to 100 characters"
            )
        result[clean] = list(labels)
    return result


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise InputError(f"class {key!r} is there twice; join its labels")
        seen[key] = value
    return seen


def class_set(
    given: Mapping[str, Sequence[str]] | str | None,
    labels: Sequence[str],
    groups: Mapping[str, Sequence[str]] | None,
) -> ClassSet:
    """Return all candidate classes: those given, or every group or label of the teacher.

    Parameters
    ----------
    given : mapping, ``"groups"``, ``"labels"`` or None
        From `read_classes`.
    labels : sequence of L str
        The teacher's.
    groups : mapping, optional
        Readable groups of the teacher's labels, if it has any.

    Raises
    ------
    InputError
        The teacher does not have a label (the message names similar ones), or has no groups.
    """
    if isinstance(given, Mapping):
        return _resolved(given, labels, "given")
    if given == "groups" and not groups:
        raise InputError("this teacher has no groups of labels; give a class file, or `labels`")
    if groups and given != "labels":
        return _resolved(groups, labels, "the teacher's groups")
    return ClassSet(tuple(labels), tuple((i,) for i in range(len(labels))), "the teacher's labels")


def _resolved(sets: Mapping[str, Sequence[str]], labels: Sequence[str], origin: str) -> ClassSet:
    """A class set of the labels named; only the teacher's own groups may name one of several like-named."""
    index_of = {label: i for i, label in enumerate(labels)}
    like_named = _like_named(labels)
    members = []
    for name, wanted in sets.items():
        indices: dict[int, None] = {}
        for label in wanted:
            found = [index_of[label]] if label in index_of else []
            if origin == "given" or not found:
                found = _candidates(label, index_of, like_named)
            if not found:
                raise unknown("teacher label", label, labels)
            if len(found) > 1:
                choices = " and ".join(repr(c) for c in _names_of(found, labels, label))
                raise InputError(
                    f"class {name!r}: the teacher has {len(found)} labels named {label!r} (numbers "
                    f"{', '.join(map(str, found))}): write {choices} for the one meant, or list them all"
                )
            indices[found[0]] = None
        members.append(tuple(indices))
    return ClassSet(tuple(sets), tuple(members), origin)


def _like_named(labels: Sequence[str]) -> dict[str, list[int]]:
    """Return indices by name, for names that `manifest.numbered` had to number (``crane``, ``crane (2)``)."""
    index_of = {label: i for i, label in enumerate(labels)}
    groups: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        numbered = re.fullmatch(r"(.+) \((\d+)\)", label, re.DOTALL)
        if numbered and int(numbered[2]) > 1 and numbered[1] in index_of:
            groups.setdefault(numbered[1], [index_of[numbered[1]]]).append(i)
    return groups


def _candidates(label: str, index_of: Mapping[str, int], like_named: Mapping[str, list[int]]) -> list[int]:
    """Return the indices that a label of a class file may mean: by exact name, else ignoring case."""
    if label in like_named:
        return like_named[label]
    if label in index_of:
        return [index_of[label]]
    first = label.removesuffix(" (1)")
    if first != label and first in like_named:
        return like_named[first][:1]
    return [i for known, i in index_of.items() if known.casefold() == label.casefold()]


def _names_of(indices: Sequence[int], labels: Sequence[str], label: str) -> list[str]:
    """Names by which each of several like-named labels can be written in a class file."""
    return [f"{label} (1)" if labels[i] == label else labels[i] for i in indices]


def most_frequent(candidates: ClassSet, pieces: Iterable[np.ndarray], most: int = MAX_DEFAULT) -> ClassSet:
    """Return the classes with the most positive responses.

    Parameters
    ----------
    candidates : ClassSet
    pieces : iterable of (n, L) float32
        The teacher's probabilities of all images, in shards.
    most : int

    Returns
    -------
    ClassSet
        Those with the most responses of at least 0.5, in descending order; where no response reaches 0.5,
        those with the highest means.

    Raises
    ------
    InputError
        There are no images.
    """
    yes = np.zeros(len(candidates.names), np.int64)
    total = np.zeros(len(candidates.names), np.float64)
    n = 0
    for piece in pieces:
        responses = candidates.responses(piece)
        yes += (responses >= 0.5).sum(axis=0)
        total += responses.sum(axis=0, dtype=np.float64)
        n += len(piece)
    if n == 0:
        raise InputError("there are no images to choose classes from")
    order = np.lexsort((-total, -yes))
    chosen = [int(c) for c in order if yes[c] > 0][:most] or [int(c) for c in order][:most]
    return candidates.keep(chosen, f"the most frequent of {candidates.origin}")
