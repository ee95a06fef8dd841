"""Atomic replacement of files.

A file is written under a temporary name in the folder of its final name, flushed to the disk and renamed, so
that the final name never refers to part of a file.
"""

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from inficond.core.errors import InputError, system_reason


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends without an exception.

    A symbolic link keeps pointing to its target, which is replaced; an existing file keeps its permissions.
    Devices and pipes are written directly.

    Raises
    ------
    InputError
        The folder cannot be written or the disk is full; the old file is unchanged.
    """
    with write_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if path.exists() and not path.is_file() and not path.is_dir():
            with open(path, "wb") as file:
                yield file
            return
        final = Path(os.path.realpath(path)) if path.is_symlink() else path
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(final)
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if final.is_file():
                with suppress(OSError):
                    shutil.copymode(final, temporary)
            os.replace(temporary, final)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Convert an `OSError` raised in the block to an `InputError` that names the file being written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {path}: {system_reason(error)}") from error


def temporary_name(path: Path, kind: str = "part") -> Path:
    """Return a temporary name for `path`; delete the temporary files of processes that no longer run.

    Parameters
    ----------
    path : Path
        Final name.
    kind : str
        Suffix of the temporary name, which also holds the id of this process.

    Returns
    -------
    Path
        In the same folder, so that a rename is atomic.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.{kind}"):
        writer = left.name.removesuffix(f".{kind}").rpartition(".")[2]
        if writer.isdigit() and not lives(int(writer)):
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")


def lives(process: int) -> bool:
    """Return whether a process with this id runs on this machine; true where the system cannot tell."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
