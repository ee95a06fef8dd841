"""Numba functions whose machine code is cached on disk if any cache folder is writable."""

import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, first_line

try:
    with warnings.catch_warnings():  # a variable that Numba cannot read is a warning with a traceback
        warnings.filterwarnings("error", "Environment variable 'NUMBA_", RuntimeWarning)
        import numba
except (OSError, ValueError, MemoryError, RuntimeWarning, ImportError) as error:  # libraries, variables
    raise InputError(
        f"Numba, which compiles the computations, cannot be loaded ({first_line(error)}): raise the limit of "
        "address space (`ulimit -v`), correct the variables NUMBA_…, or install numba again: `pip install "
        "--force-reinstall numba`"
    ) from error

config: Any = numba.config  # pyright: ignore[reportPrivateImportUsage]
prange: Any = numba.prange
"""Range of a parallel loop. Kernels take it from here, so that they import this module before Numba."""
if config.DISABLE_JIT:
    raise InputError(
        "NUMBA_DISABLE_JIT is set, so that nothing is compiled and computations would take hours: unset it"
    )


LAYERS = ("default", "tbb", "omp", "workqueue", "safe", "threadsafe", "forksafe")
if config.THREADING_LAYER not in LAYERS:
    raise InputError(
        f"NUMBA_THREADING_LAYER is {config.THREADING_LAYER!r}, which Numba does not know: unset it, or use "
        f"one of {', '.join(LAYERS)}"
    )
# Numba's lock between processes needs /dev/shm; without it, kernels of one process still take turns.
warnings.filterwarnings("ignore", "(?s).*Could not obtain multiprocessing lock")


def cached_njit(signatures: Any = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator like ``numba.njit(cache=True)`` that also works where Numba finds no cache folder.

    Numba fails on an installation that cannot be written if there is no home directory either. A private
    temporary folder is used then, or none. A damaged file of the cache is replaced: Numba itself fails on one
    that a full disk or the end of a process has cut off.

    Parameters
    ----------
    signatures : str or list of str, optional
    **options
        As for `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return _compiled(function, signatures, options)
        except RuntimeError as error:
            if "locator" not in str(error):
                raise
        folder = private_folder()
        if folder is None:
            return numba.njit(signatures, **options)(function)
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder)
        try:
            return _compiled(function, signatures, options)
        finally:
            config.CACHE_DIR = before

    return decorate


def _compiled(function: Callable[..., Any], signatures: Any, options: dict[str, Any]) -> Any:
    """Return a dispatcher with a cache on disk, compiled for signatures if there are any."""
    dispatcher = numba.njit(cache=True, **options)(function)
    cached = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    for name, otherwise in (("_load_index", dict), ("load", _nothing), ("save", _nothing)):
        method = getattr(cached, name, None)
        if method is not None:
            setattr(cached, name, _without_damage(method, otherwise))
    if signatures is not None:
        for signature in signatures if isinstance(signatures, list) else [signatures]:
            dispatcher.compile(signature)
        dispatcher.disable_compile()
    return dispatcher


def _without_damage(method: Callable[..., Any], otherwise: Callable[[], Any]) -> Callable[..., Any]:
    """Return a method of Numba's cache that returns another value where a file is damaged or in the way."""

    def call(*given: Any) -> Any:
        try:
            return method(*given)
        except Exception:  # unpickling of damaged bytes raises anything
            return otherwise()

    return call


def _nothing() -> None:
    return None


def private_folder() -> Path | None:
    """Return a temporary folder for compiled code that only this user can write, or None.

    Cached code is executed, so a folder that others can write is never used.
    """
    owner = os.getuid() if hasattr(os, "getuid") else 0
    try:
        folder = Path(tempfile.gettempdir()) / f"inficond-kernels-{owner}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:  # also if no folder for temporary files can be written
        return None
    if not stat.S_ISDIR(status.st_mode) or not os.access(folder, os.W_OK):
        return None
    if hasattr(os, "getuid") and (status.st_uid != owner or status.st_mode & 0o077):
        return None
    return folder
