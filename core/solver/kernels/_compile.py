"""How the kernels are compiled: once, cached on disk, and without the interpreter's lock.

Explicit signatures leave nothing to be guessed from arguments. `warm_up` asks for all; the machine code is
kept beside the source, else in the user's cache, else in a private temporary folder.

Numba asks of kept code only whether the file of the function itself is the same. What is inlined into it
comes from the files beside it, so the name under which it is kept tells of all of them.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

njit: Any = numba.njit
config: Any = numba.config
# What vectorisation needs. Not `nnan` and `ninf`: infinite bounds are meant, and NaN must stay NaN.
FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}


class Kernel:
    """A kernel for Python to call, in both precisions: that of its first array decides.

    Each is loaded when it is first asked for, since most processes use few; where nothing is kept yet, both
    are compiled at import, so that nobody waits half-way.
    """

    def __init__(self, function: Callable[..., Any], single: Any, double: Any) -> None:
        function.__qualname__ += f"_{version(Path(function.__code__.co_filename).parent)}"
        self._function = function
        self._signatures: dict[np.dtype[Any], Any] = {
            np.dtype(np.float32): single,
            np.dtype(np.float64): double,
        }
        self._loaded: dict[np.dtype[Any], Any] = {}
        self._lock = Lock()
        if not kept(_dispatcher(function)):
            for precision, signature in self._signatures.items():
                if signature is not None:
                    self._load(precision)

    def __call__(self, first: NDArray[np.floating], *rest: Any) -> Any:
        made = self._loaded.get(first.dtype)
        return (self._load(first.dtype) if made is None else made)(first, *rest)

    def _load(self, precision: np.dtype[Any]) -> Any:
        with self._lock:
            if precision not in self._loaded:
                made = _dispatcher(self._function)
                made.compile(self._signatures[precision])
                made.disable_compile()
                self._loaded[precision] = made
            return self._loaded[precision]


def jit(single: Any = None, double: Any = None) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function a `Kernel`; what it calls must be `inline`.

    Parameters
    ----------
    single, double : str or numba.core.typing.Signature
        E.g. ``"void(f4[::1], f8)"``; left out where the first array is never of that precision.

    Returns
    -------
    callable
        The decorator; what it returns holds no lock while it runs.
    """
    return lambda function: Kernel(function, single, double)


def _dispatcher(function: Callable[..., Any]) -> Any:
    """What compiles a function and keeps its code."""
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": FASTMATH, "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "locator" not in str(error):
            raise
    folder = private_folder()
    if folder is None:
        return njit(**options)(function)
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        return njit(cache=True, **options)(function)
    finally:
        config.CACHE_DIR = before


def kept(dispatcher: Any) -> bool:
    """Whether code of a function is in the cache, made by this Numba of this source."""
    try:
        return bool(dispatcher._cache._cache_file._load_index())
    except (AttributeError, OSError):  # another Numba keeps it otherwise, or nothing can be kept
        return False


@cache
def version(folder: Path) -> str:
    """Eight hexadecimal digits that are others when any Python file of the folder is another."""
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(folder.glob("*.py")):
        data = path.read_bytes()
        digest.update(f"{path.name} {len(data)} ".encode() + data)
    return digest.hexdigest()


def read_only_rows(precision: Any) -> Any:
    """The type of a C-ordered matrix that is only read: memory maps are not writable."""
    return numba.types.Array(precision, 2, "C", readonly=True)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a small function that only other kernels call; it is inlined into them."""
    return njit(error_model="numpy", fastmath=FASTMATH, nogil=True, inline="never")(function)


def private_folder() -> Path | None:
    """A folder for compiled code that nobody else can write to, or None.

    Compiled code is loaded and run, so a folder in a shared place counts only if it is ours alone.
    """
    owner = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"inficond-kernels-{owner}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode) or not os.access(folder, os.W_OK):
        return None
    if hasattr(os, "getuid") and (status.st_uid != owner or status.st_mode & 0o077):
        return None
    return folder
