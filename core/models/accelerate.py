"""Calls on an accelerator: a few fixed batch sizes, buffers that stay on the device, engines built once.

TensorRT builds an engine for every shape it has not seen, 20 to 100 seconds each, so only the sizes of
`SIZES` ever reach it: a batch is filled up with its last image, or cut. Buffers are bound once a size and
used again; there are two sets, so one thread copies its batch to the device while another's is being
computed. The same code runs on the CPU provider, which is how it is tested; on an accelerator its speed
has not been measured yet.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.models.batching import is_out_of_memory

SIZES = {"tensorrt": (1, 8, 64), "cuda": (1, 2, 4, 8, 16, 32, 64)}
"""Batch sizes that reach an accelerator, ascending."""

DEVICES = {"tensorrt": "cuda", "cuda": "cuda", "cpu": "cpu"}
SLOTS = 2


def tensorrt_settings(folder: Path, inputs: dict[str, tuple[int, ...]]) -> dict[str, str]:
    """Options of the TensorRT provider: engine and timing caches, and one profile that holds every size.

    Parameters
    ----------
    folder : Path
        Of the caches; made if need be.
    inputs : dict
        The graph's inputs and shapes, 0 for the dynamic batch axis. A graph with another dynamic axis
        (text) gets no profile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }
    if not inputs or any(0 in shape[1:] or not shape or shape[0] != 0 for shape in inputs.values()):
        return said
    sizes = SIZES["tensorrt"]
    for kind, size in (("min", sizes[0]), ("opt", sizes[-1]), ("max", sizes[-1])):
        said[f"trt_profile_{kind}_shapes"] = ",".join(
            f"{name}:" + "x".join(map(str, (size, *shape[1:]))) for name, shape in inputs.items()
        )
    return said


def pieces(n: int, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """A batch of n cut into calls of allowed sizes: (start, stop, size of the call), at least one call.

    Parameters
    ----------
    n : int
        Images, 1 or more.
    sizes : sequence of int
        Allowed, ascending.
    """
    found, at, largest = [], 0, sizes[-1]
    while n - at > largest:
        found.append((at, at + largest, largest))
        at += largest
    found.append((at, n, next(s for s in sizes if s >= n - at)))
    return found


def filled(batch: np.ndarray, size: int) -> np.ndarray:
    """A batch with its last row repeated up to `size` rows."""
    if len(batch) == size:
        return np.ascontiguousarray(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])


class _Slot:
    """One set of buffers: for each shape of the inputs, a binding that is made once."""

    def __init__(self, session: Any, device: str) -> None:
        self._session, self._device = session, device
        self._made: dict[tuple[Any, ...], tuple[Any, dict[str, Any]]] = {}

    def binding(self, feeds: dict[str, np.ndarray], outputs: Sequence[str]) -> Any:
        """The binding for these shapes, its inputs filled with `feeds`."""
        from inficond.core.models.runtime import onnxruntime as ort

        key = (tuple(outputs), *((name, array.shape, str(array.dtype)) for name, array in feeds.items()))
        if key not in self._made:
            binding, values = self._session.io_binding(), {}
            for name, array in feeds.items():
                # A copy: on the CPU the value shares the array's memory, and later batches overwrite it.
                values[name] = ort.OrtValue.ortvalue_from_numpy(array.copy(), self._device, 0)
                binding.bind_ortvalue_input(name, values[name])
            for name in outputs:
                binding.bind_output(name, self._device)
            self._made[key] = binding, values
        else:
            for name, array in feeds.items():
                self._made[key][1][name].update_inplace(array)
        return self._made[key][0]


class BoundCalls:
    """Runs a session through bound buffers, in batches of a few fixed sizes. Safe to call from several
    threads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    provider : str
        A key of `DEVICES`.
    sizes : sequence of int, optional
        Allowed batch sizes, ascending; those of the provider by default.
    """

    def __init__(self, session: Any, provider: str, sizes: Sequence[int] | None = None) -> None:
        self._session = session
        self._sizes = tuple(sizes or SIZES[provider])
        self._slots = [_Slot(session, DEVICES[provider]) for _ in range(SLOTS)]
        self._free = threading.Semaphore(SLOTS)
        self._pick, self._device = threading.Lock(), threading.Lock()
        self._outputs = [o.name for o in session.get_outputs()]

    def run(self, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """As `InferenceSession.run`, but no call has more or other rows than the allowed sizes.

        Parameters
        ----------
        feeds : dict
            Arrays with the batch as first axis, equally long and not empty.
        outputs : sequence of str, optional
            All by default.
        """
        names = list(outputs or self._outputs)
        while True:
            sizes = self._sizes
            try:
                return self._pieces(feeds, names, sizes)
            except Exception as error:
                if not is_out_of_memory(error) or len(sizes) == 1:
                    raise
                with self._pick:  # what did not fit is not tried again
                    self._sizes = min(self._sizes, sizes[:-1], key=len)

    def _pieces(
        self, feeds: dict[str, np.ndarray], names: list[str], sizes: Sequence[int]
    ) -> list[np.ndarray]:
        n = len(next(iter(feeds.values())))
        parts = []
        for start, stop, size in pieces(n, sizes):
            result = self._one({name: filled(a[start:stop], size) for name, a in feeds.items()}, names)
            parts.append([array[: stop - start] for array in result])
        return parts[0] if len(parts) == 1 else [np.concatenate(arrays) for arrays in zip(*parts)]

    def _one(self, feeds: dict[str, np.ndarray], names: list[str]) -> list[np.ndarray]:
        with self._free:
            with self._pick:
                slot = self._slots.pop()
            try:
                binding = slot.binding(feeds, names)  # copies to the device while another batch computes
                with self._device:
                    self._session.run_with_iobinding(binding)
                # Copied before the slot is free again: on the CPU the arrays are the buffers themselves.
                return [np.array(array) for array in binding.copy_outputs_to_cpu()]
            finally:
                with self._pick:
                    self._slots.append(slot)

    def warm_up(self, inputs: dict[str, tuple[int, ...]], types: dict[str, np.dtype]) -> None:
        """Run every size once, so that engines and algorithms are chosen before anybody waits."""
        for size in self._sizes:
            self.run({name: np.zeros((size, *shape[1:]), types[name]) for name, shape in inputs.items()})
