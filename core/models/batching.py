"""How many images at once: found by trying within a memory budget, halved when memory runs out all the
same."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.hardware import available_memory, peak_memory

Run = Callable[[np.ndarray], Sequence[np.ndarray]]
"""A batch (B, H, W, 3) uint8 to one or more arrays with B rows each."""

_SIGNS = ("out of memory", "failed to allocate", "bad_alloc", "bad allocation", "cannot allocate", "bfcarena")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that memory ran out; ONNX Runtime has no type for it."""
    while error is not None:
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _SIGNS):
            return True
        error = error.__cause__
    return False


@dataclass(frozen=True)
class BatchSize:
    """The batch size found.

    Parameters
    ----------
    size : int
    images_per_second : mapping of int to float
        What each size that was tried reached.
    stopped : str
        Why no larger one was tried.
    """

    size: int
    images_per_second: dict[int, float]
    stopped: str


def find_batch_size(
    run: Run,
    shape: tuple[int, int, int],
    budget: int | None = None,
    largest: int = 256,
    worth: float = 0.05,
    repeats: int = 3,
) -> BatchSize:
    """The smallest batch within `worth` of the best pace, doubling from 1 while it pays and memory allows.

    Parameters
    ----------
    run : callable
        Carries a batch through.
    shape : (H, W, 3)
        Of one image.
    budget : int, optional
        Bytes this process may grow by; half of what is available by default.
    largest : int
        No more than this is tried.
    worth : float
        Least gain of a doubling that is worth its memory and latency.
    repeats : int
        Timings of each size; the median counts.

    Raises
    ------
    InputError
        If not even one image can be run.
    """
    budget = (available_memory() or 1 << 32) // 2 if budget is None else budget
    start = peak_memory() or 0
    pace: dict[int, float] = {}
    size, stopped, grown = 1, "the largest size allowed", 0
    while size <= largest:
        pixels = np.zeros((size, *shape), np.uint8)
        try:
            run(pixels)  # the first call allocates, and on an accelerator compiles
            times = []
            for _ in range(repeats):
                began = time.perf_counter()
                run(pixels)
                times.append(time.perf_counter() - began)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            stopped = "memory ran out"
            break
        pace[size] = size / float(np.median(times))
        grown = max(0, (peak_memory() or start) - start)
        if grown > budget:
            stopped = "the memory budget"
            break
        if 2 * grown > budget and size > 1:
            stopped = "the memory budget"
            break
        if size > 1 and pace[size] < (1 + worth) * max(p for s, p in pace.items() if s < size):
            stopped = "no gain"
            break
        size *= 2
    if not pace:
        raise InputError("not even one image can be run: memory ran out; choose a smaller input size")
    best = max(pace.values())
    return BatchSize(min(s for s, p in pace.items() if p >= best / (1 + worth)), pace, stopped)


@dataclass
class Halving:
    """Runs batches of any length in pieces of at most `size`, which is halved whenever memory runs out.

    Parameters
    ----------
    run : callable
        Carries a piece through.
    size : int
        Images in a piece.
    """

    run: Run
    size: int
    halved: int = field(default=0, init=False)

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """Carry a batch through; what was finished before memory ran out is not done again.

        Raises
        ------
        InputError
            If memory runs out at a single image.
        """
        done: list[tuple[np.ndarray, ...]] = []
        at = 0
        while at < len(pixels) or not done:
            piece = pixels[at : at + self.size]
            try:
                done.append(tuple(self.run(piece)))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if self.size == 1 or len(piece) <= 1:
                    raise InputError(
                        "memory ran out at a single image: choose a smaller input size"
                    ) from error
                self.size, self.halved = max(1, len(piece) // 2), self.halved + 1
                continue
            at += len(piece)
        return tuple(np.concatenate(parts) for parts in zip(*done))


def rows_of(result: Any, n: int) -> list[Any]:
    """A batch's result cut into one result an image; copies, so that keeping one keeps no batch alive.

    Parameters
    ----------
    result : array, tuple or named tuple of arrays
        Each with n rows.
    n : int
        Images in the batch.
    """
    if isinstance(result, np.ndarray):
        return [result[i].copy() for i in range(n)]
    rows = ([array[i].copy() for array in result] for i in range(n))
    if hasattr(result, "_make"):
        return [result._make(row) for row in rows]
    return [tuple(row) for row in rows]
