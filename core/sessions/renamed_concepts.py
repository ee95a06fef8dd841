"""Names of renamed concepts.

A word that a person renames keeps its vector. Its new name ends in the word, ``round fruit (was ball)``, so
that the name alone determines the vector: in histories, recipes, exports and for every visitor.
"""

import re
from collections.abc import Iterable

from inficond.core.errors import InputError
from inficond.core.sessions.shown_concepts import SUFFIX
from inficond.core.tuning.concepts import MAX_LENGTH, check_name

RENAMED = re.compile(r"(?P<label>.*\S) \(was (?P<word>.+)\)")
HASH = re.compile(r" #[0-9a-f]{6}$")


def original_word(name: str) -> str | None:
    """Return the word whose vector a renamed concept has; None if the name is not that of a renamed word.

    Examples
    --------
    >>> from inficond.core.sessions.renamed_concepts import original_word
    >>> original_word("round fruit (was ball)"), original_word("ball")
    ('ball', None)
    """
    found = RENAMED.fullmatch(name)
    return found["word"] if found else None


def label_of(name: str) -> str:
    """Return the part of a concept's name that a person gave.

    Examples
    --------
    >>> from inficond.core.sessions.renamed_concepts import label_of
    >>> label_of("round fruit (was ball)"), label_of("gleam #805cab (by example)"), label_of("sea")
    ('round fruit', 'gleam', 'sea')
    """
    if name.endswith(SUFFIX):
        return HASH.sub("", name.removesuffix(SUFFIX))
    found = RENAMED.fullmatch(name)
    return found["label"] if found else name


def new_name(old: str, new: str, in_force: Iterable[str], by_example: bool = False) -> str:
    """Return the full name of a concept that is renamed.

    Parameters
    ----------
    old, new : str
        Its name, and the new label as a person typed it.
    in_force : iterable of str
        The concepts that are not dropped.
    by_example : bool
        Whether examples define the concept, so that its name is only a label.

    Returns
    -------
    str
        The word itself if a renamed word gets its own name back.

    Raises
    ------
    InputError
        The label is empty, too long, not printable, that of another concept, or has the ending of a renamed
        concept or a concept by example.

    Examples
    --------
    >>> from inficond.core.sessions.renamed_concepts import new_name
    >>> new_name("ball", "round fruit", ["ball", "sea"])
    'round fruit (was ball)'
    >>> new_name("round fruit (was ball)", "apple", ["sea"])
    'apple (was ball)'
    """
    label = " ".join(new.split())
    check_name(label)
    if label_of(label) != label:
        raise InputError(f"{label!r}: leave out the ending in brackets, which the program adds")
    if label == label_of(old):
        raise InputError(f"{old!r} has this name already: type another one")
    if label.casefold() in {label_of(name).casefold() for name in in_force if name != old}:
        raise InputError(f"{label!r} is the name of another concept: choose another name")
    word = original_word(old) or old
    full = label + SUFFIX if by_example else label if label == word else f"{label} (was {word})"
    if len(full) > MAX_LENGTH:
        raise InputError(
            f"{label!r:.60} is too long: with the ending {full[len(label) :]!r:.60} the name has {len(full)} "
            f"characters, and {MAX_LENGTH} are possible"
        )
    return full
