"""The one exception that means "what you gave us is wrong", as opposed to a fault of ours."""

from collections.abc import Iterable
from difflib import get_close_matches

JOINERS = "\u200c\u200d"
LONGEST = 1000
"""Characters of a line that is told."""


def printable(text: str) -> str:
    """Return text with control and direction characters, line breaks and lone surrogates escaped.

    Names in a folder, a table, a project or an archive may come from strangers; printed as they are, they
    could control a terminal or forge a line of output.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text
    )


def one_line(text: object, most: int = LONGEST) -> str:
    """Text as one line that any terminal and browser can show, whoever wrote what stands in it.

    Parameters
    ----------
    text : object
        Names and values of others may be part of it.
    most : int
        Characters; of a longer line the middle is left out.

    Returns
    -------
    str
        White space as single spaces; control and direction characters, and halves of surrogates, escaped (not
        the joiners that some scripts need).
    """
    said = str(text)
    if len(said) > 20 * most:
        said = f"{said[: 10 * most]} {said[-10 * most :]}"
    line = " ".join(said.split())
    line = printable(line)
    if len(line) > most:
        line = f"{line[: most * 2 // 3]}…{line[len(line) - most // 3 + 1 :]}"
    return line


class InputError(ValueError):
    """Bad input: the message is one line that names the thing and the mend.

    Commands print it without a traceback and exit with 2; the page shows it in the view it concerns.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class StorageError(InputError):
    """What was asked for is fine; the disk did not take it, or gives back other bytes than were written."""


class StorageBusy(StorageError):
    """Another thread or process holds the lock of a file; a later try may succeed."""


class Cancelled(Exception):
    """The person asked for a long job to stop; what was finished is kept."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not there, with the nearest names that are.

    Parameters
    ----------
    kind : str
        What the name should have been, e.g. ``"class"``.
    name : str
        What was given.
    known : iterable of str
        What could have been given.

    Returns
    -------
    InputError
        To be raised by the caller.
    """
    known = list(known)
    near = get_close_matches(name, known, n=3, cutoff=0.5) if len(name) <= LONGEST else []
    if near:
        hint = "did you mean " + " or ".join(repr(n) for n in near) + "?"
    elif known:
        hint = "there are: " + ", ".join(known[:8]) + ("…" if len(known) > 8 else "")
    else:
        hint = "there are none"
    return InputError(f"unknown {kind} {one_line(name, 200)!r}: {hint}")
