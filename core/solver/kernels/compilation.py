"""Compilation of the kernels: once per installation, cached on disk, executed without the interpreter lock.

Explicit signatures leave no types to infer from the arguments. Machine code is cached beside the source, else
in the cache folder of the user, else in a private temporary folder.

Numba invalidates cached code only when the file of the function itself changes. Functions of the other files
are inlined into it, so the name of the cache entry contains a digest of all files of the folder.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from inficond.core.kernel_cache import cached_njit, is_cached

njit: Any = numba.njit
# The flags that vectorization needs. Not `nnan` and `ninf`: infinite bounds are valid, and NaN must stay NaN.
FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
_log = logging.getLogger(__name__)
_lock = RLock()


def _reset_lock() -> None:
    """Replace the lock in a forked child, where the thread that held it does not exist."""
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock)


class Kernel:
    """A compiled function for single and double precision; the dtype of the first argument selects one.

    Cached code is loaded on first use. Code that is not cached yet is compiled at import, so that no call has
    to wait for it.
    """

    def __init__(self, function: Callable[..., Any], single: Any, double: Any) -> None:
        function.__qualname__ += f"_{source_digest(Path(function.__code__.co_filename).parent)}"
        self.function = function
        self.signatures: dict[np.dtype[Any], Any] = {
            np.dtype(np.float32): single,
            np.dtype(np.float64): double,
        }
        self.loaded: dict[np.dtype[Any], Any] = {}
        given = [precision for precision, signature in self.signatures.items() if signature is not None]
        if not is_cached(make_dispatcher(function), len(given)):
            announce_compilation()
            for precision in given:
                self._load(precision)

    def __call__(self, first: NDArray[np.floating], *rest: Any) -> Any:
        compiled = self.loaded.get(first.dtype)
        return (self._load(first.dtype) if compiled is None else compiled)(first, *rest)

    def _load(self, precision: np.dtype[Any]) -> Any:
        with _lock:
            if precision not in self.loaded:
                compiled = make_dispatcher(self.function)
                compiled.compile(self.signatures[precision])
                compiled.disable_compile()
                self.loaded[precision] = compiled
            return self.loaded[precision]


def jit(single: Any = None, double: Any = None) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a `Kernel` of a function; the functions it calls must be `inline`.

    Parameters
    ----------
    single, double : str or numba.core.typing.Signature
        For example ``"void(f4[::1], f8)"``; omitted where the first array never has that precision.

    Returns
    -------
    callable
        The decorator. The kernel releases the interpreter lock while it runs.
    """
    return lambda function: Kernel(function, single, double)


@cache
def announce_compilation() -> None:
    """Log, once per process, why the import takes so long."""
    _log.warning(
        "inficond: compiling the solver for this processor; "
        "this takes about two minutes, once per installation"
    )


def make_dispatcher(function: Callable[..., Any]) -> Any:
    """Return the Numba dispatcher of a function, with the first cache folder that is writable."""
    return cached_njit(error_model="numpy", fastmath=FASTMATH, nogil=True)(function)


@cache
def source_digest(folder: Path) -> str:
    """Return eight hexadecimal digits that depend on every Python file of the folder."""
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(folder.glob("*.py")):
        data = path.read_bytes()
        digest.update(f"{path.name} {len(data)} ".encode() + data)
    return digest.hexdigest()


def read_only_rows(precision: Any) -> Any:
    """Return the Numba type of a read-only C-contiguous matrix, such as a memory map."""
    return numba.types.Array(precision, 2, "C", readonly=True)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call; LLVM inlines it into them."""
    return njit(error_model="numpy", fastmath=FASTMATH, nogil=True, inline="never")(function)
