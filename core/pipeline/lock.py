"""One builder at a time per folder; the lock dies with its process, however that ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inficond.core.errors import InputError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file.

    Raises
    ------
    InputError
        Another process holds it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            f"cannot write into {path.parent}: {error.strerror}; choose another folder"
        ) from error
    try:
        try:
            _take(handle)
        except OSError:
            raise InputError(
                f"another process is working on {path.parent.parent}: wait for it, or stop it"
            ) from None
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
