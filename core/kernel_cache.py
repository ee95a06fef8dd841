"""Numba functions whose machine code is cached on disk if any cache folder is writable."""

import os
import stat
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from functools import cache, wraps
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
LEAN_VERSIONS = {(0, 68)}
"""Versions of Numba with which `_load_lean` was tested. LLVM ends the process if a symbol is missing."""
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


class CachedKernel:
    """A compiled function that only Python calls: its cached code is loaded by the first call.

    Code that is not cached yet is compiled at import, so that no call has to wait for it.
    """

    def __init__(self, function: Callable[..., Any], signatures: list[str], options: dict[str, Any]) -> None:
        self._make = lambda: cached_njit(signatures, **options)(function)
        self._compiled: Any = None
        if not is_cached(cached_njit(**options)(function), len(signatures)):
            self._compiled = self._make()

    def __call__(self, *given: Any) -> Any:
        if self._compiled is None:
            self._compiled = self._make()
        return self._compiled(*given)


def cached_kernel(*signatures: str, **options: Any) -> Callable[[Callable[..., Any]], CachedKernel]:
    """Return a decorator that makes a `CachedKernel`; see `cached_njit`."""
    return lambda function: CachedKernel(function, list(signatures), options)


def is_cached(dispatcher: Any, signatures: int) -> bool:
    """Whether the cache has code for all signatures, compiled by this Numba version from this source.

    A compilation that was interrupted leaves code for some of them.
    """
    try:
        return len(dispatcher._cache._cache_file._load_index()) >= signatures
    except (AttributeError, OSError):  # another layout of Numba's cache, or no cache folder
        return False


def _compiled(function: Callable[..., Any], signatures: Any, options: dict[str, Any]) -> Any:
    """Return a dispatcher with a cache on disk, compiled for signatures if there are any."""
    dispatcher = numba.njit(cache=True, **options)(function)
    stored = getattr(dispatcher, "_cache", None)
    cached = getattr(stored, "_cache_file", None)
    for name, otherwise in (("_load_index", dict), ("load", _nothing), ("save", _nothing)):
        method = getattr(cached, name, None)
        if method is not None:
            setattr(cached, name, _without_damage(method, otherwise))
    if cached is not None and numba.version_info[:2] in LEAN_VERSIONS:
        _load_lean(stored)
    if signatures is not None:
        for signature in signatures if isinstance(signatures, list) else [signatures]:
            dispatcher.compile(signature)
        dispatcher.disable_compile()
    return dispatcher


def _load_lean(stored: Any) -> None:
    """Make a cache load machine code without the types and functions that Numba needs to compile.

    Numba imports and registers them before it looks for cached code, and compiles its runtime. That is a
    third of the time in which a command starts. Machine code needs only the C functions of the runtime.
    """
    prepared_load = stored.load_overload

    def load(signature: Any, context: Any) -> Any:
        _prepare_lean_loading()
        _loading.lean = True
        try:
            with stored._guard_against_spurious_io_errors():
                found = stored._load_overload(signature, context)
        finally:
            _loading.lean = False
        return prepared_load(signature, context) if found is None else found

    stored.load_overload = load


_loading = threading.local()
"""`lean` is true in a thread that loads machine code."""


@cache
def _prepare_lean_loading() -> None:
    """Tell LLVM the C functions of Numba's runtime, and load constants of code without its Python module.

    Cached code contains the constants of the functions of Numba that were compiled into it. With them, Numba
    imports the modules of these functions, which only code that runs in the interpreter needs.
    """
    from llvmlite import binding
    from numba.core import environment
    from numba.core.runtime import nrt

    runtime: Any = nrt  # its C module has no types
    for name, address in runtime._nrt.c_helpers.items():
        binding.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
    rebuild = environment._rebuild_env

    @wraps(rebuild)  # with its name, since the constants of new code are pickled with a reference to it
    def rebuild_lean(module: str, constants: list[Any], name: str) -> Any:
        known = environment.lookup_environment(name)
        if known is not None or module in sys.modules or not getattr(_loading, "lean", False):
            return rebuild(module, constants, name)
        made = environment.Environment({"__name__": module})
        made.consts[:] = constants
        made.env_name = name
        environment.Environment._memo[name] = made
        return made

    environment._rebuild_env = rebuild_lean


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
