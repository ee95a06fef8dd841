"""Exceptions for bad input, storage faults and cancellation; one-line messages."""

import errno
import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches

JOINERS = "\u200c\u200d"
_PACKAGES = {"PIL": "pillow"}
"""Library -> package that installs it, where the names differ."""
LONGEST = 1000
"""Characters of a message."""


def printable(text: str) -> str:
    r"""Return text with control and direction characters, line breaks and lone surrogates escaped.

    Names in a folder, a table, a project or an archive may be untrusted; printed unchanged, they
    could control a terminal or forge a line of output.

    Examples
    --------
    >>> from inficond.core.errors import printable
    >>> printable("red\x1b[31m")
    'red\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text
    )


def one_line(text: object, most: int = LONGEST) -> str:
    r"""Return text as one line that any terminal and browser can show.

    Parameters
    ----------
    text : object
        May contain names and values from files of others.
    most : int
        Characters; the middle of a longer line is left out.

    Returns
    -------
    str
        With white space as single spaces; control characters, direction characters and unpaired surrogates
        are escaped (not the joiners that some scripts need).

    Examples
    --------
    >>> from inficond.core.errors import one_line
    >>> one_line("two\nlines\tand a \x07 bell")
    'two lines and a \\x07 bell'
    """
    full = str(text)
    if len(full) > 20 * most:
        full = f"{full[: 10 * most]} {full[-10 * most :]}"
    line = " ".join(full.split())
    line = printable(line)
    if len(line) > most:
        line = f"{line[: most * 2 // 3]}…{line[len(line) - most // 3 + 1 :]}"
    return line


def first_line(error: BaseException, most: int = 200) -> str:
    r"""Return the first line of an exception's message, or the name of its class.

    Parameters
    ----------
    error : BaseException
    most : int
        Characters.

    Returns
    -------
    str
        With the second line where the first ends in a colon.

    Examples
    --------
    >>> from inficond.core.errors import first_line
    >>> first_line(ValueError("the file is damaged\nat byte 12"))
    'the file is damaged'
    >>> first_line(KeyError())
    'KeyError'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:most]


class InputError(ValueError):
    """Bad input; the message is one line that names what is wrong and how to fix it.

    Commands print it without a traceback and exit with 2; the page shows it in the view it concerns.

    Examples
    --------
    >>> from inficond.core import InputError, Project
    >>> try:
    ...     Project.open("missing")
    ... except InputError as error:
    ...     print(type(error).__name__, len(str(error).splitlines()))
    InputError 1
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class StorageError(InputError):
    """A storage fault: the disk is full, read-only, or returns other bytes than were written.

    Examples
    --------
    >>> from inficond.core.errors import InputError, StorageError
    >>> issubclass(StorageError, InputError)  # one handler is enough
    True
    """


class StorageBusy(StorageError):
    """Another thread or process holds the lock of a file; a later try may succeed.

    Examples
    --------
    >>> from inficond.core.errors import StorageBusy, StorageError
    >>> issubclass(StorageBusy, StorageError)  # retry before reporting a fault
    True
    """


class Cancelled(Exception):
    """Long work was cancelled; finished parts are kept.

    Examples
    --------
    >>> from inficond.core.errors import Cancelled
    >>> from inficond.core.progress import Silent
    >>> progress = Silent()
    >>> progress.cancel()
    >>> try:
    ...     progress.start("encoding", total=100)
    ... except Cancelled as error:
    ...     print(error)
    stopped during: encoding
    """


_REMEDIES = {
    ("ENOENT",): "check the path",
    ("EACCES", "EPERM"): "change its permissions, or choose another place",
    ("EISDIR",): "name a file",
    ("ENOTDIR",): "a part of the path is a file, not a folder",
    ("EROFS",): "choose a place that can be written",
    ("ENOSPC", "EDQUOT"): "free some space, or choose another disk",
    ("EFBIG",): "allow larger files (`ulimit -f unlimited`)",
    ("ENAMETOOLONG",): "shorten the name",
    ("ELOOP",): "a link leads back to itself; correct or remove it",
    ("EMFILE", "ENFILE"): "allow more open files (`ulimit -n 4096`)",
    ("EAGAIN",): "allow more processes (`ulimit -u`), or wait until other programs have ended",
    ("ENOMEM",): "close other programs, or use a machine with more memory",
    ("EBUSY", "ETXTBSY"): "wait until the program that uses it has ended",
    ("ENOLCK", "EOPNOTSUPP"): "choose a disk of this machine",
    ("EIO", "ESTALE", "ETIMEDOUT", "ENXIO"): "check the disk or the network drive, then try again",
}
"""Names of error numbers of the operating system -> what a user can do."""
_REMEDY_OF = {
    getattr(errno, name): remedy
    for names, remedy in _REMEDIES.items()
    for name in names
    if hasattr(errno, name)
}


def system_reason(error: OSError) -> str:
    """Return why the operating system refused something, and what to do where that is known.

    Parameters
    ----------
    error : OSError

    Returns
    -------
    str
        A clause that follows a colon.

    Examples
    --------
    >>> import errno
    >>> from inficond.core.errors import system_reason
    >>> system_reason(OSError(errno.ENOENT, "No such file or directory", "words.txt"))
    'No such file or directory; check the path'
    """
    remedy = _REMEDY_OF.get(error.errno or 0)
    reason = str(error.strerror or error)
    return f"{reason}; {remedy}" if remedy else reason


def fault_of_surroundings(error: OSError) -> str | None:
    """Return one line on a fault of permissions, names, disks or limits; None for any other error.

    Parameters
    ----------
    error : OSError
        Of a file that this process opened, read or wrote.

    Examples
    --------
    >>> import errno
    >>> from inficond.core.errors import fault_of_surroundings
    >>> fault_of_surroundings(OSError(errno.EROFS, "Read-only file system", "photos/project.json"))
    'photos/project.json: Read-only file system; choose a place that can be written'
    >>> fault_of_surroundings(OSError(errno.EBADF, "Bad file descriptor")) is None
    True
    """
    if error.errno == errno.ENOENT or error.errno not in _REMEDY_OF:
        return None
    place = "" if error.filename is None else f"{one_line(os.fsdecode(error.filename), 200)}: "
    return f"{place}{system_reason(error)}"


def fault_of_library(error: ImportError) -> str | None:
    """Return what is wrong where an installed library cannot be imported, and what to do.

    Parameters
    ----------
    error : ImportError

    Returns
    -------
    str or None
        None where a module of InFiConD itself is at fault.

    Examples
    --------
    >>> from inficond.core.errors import fault_of_library
    >>> fault_of_library(ModuleNotFoundError("No module named 'numba'", name="numba"))
    "the library numba cannot be loaded (No module named 'numba'): install it with `pip install numba`"
    >>> fault_of_library(ImportError("cannot import name 'fit'", name="inficond.core.solver")) is None
    True
    """
    name = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError):
        at, modules = error.__traceback__, []
        while at is not None:
            modules.append(str(at.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
            at = at.tb_next
        own = [i for i, module in enumerate(modules) if module == "inficond"]
        inner = [m for m in modules[own[-1] + 1 if own else 0 :] if m not in ("importlib", "")]
        name = inner[0] if own and inner else name
    if not name or name in ("inficond", *sys.stdlib_module_names):
        return None
    package = _PACKAGES.get(name, name)
    again = "" if isinstance(error, ModuleNotFoundError) else "--force-reinstall "
    return one_line(
        f"the library {name} cannot be loaded ({first_line(error)}): install it{' again' * bool(again)} with "
        f"`pip install {again}{package}`"
    )


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for an unknown name, with the most similar known names.

    Parameters
    ----------
    kind : str
        Kind of thing that is named, for example ``"class"``.
    name : str
        The unknown name.
    known : iterable of str
        The known names.

    Returns
    -------
    InputError
        For the caller to raise.

    Examples
    --------
    >>> from inficond.core.errors import unknown
    >>> str(unknown("class", "brid", ["bird", "boat"]))
    "unknown class 'brid': did you mean 'bird'?"
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
