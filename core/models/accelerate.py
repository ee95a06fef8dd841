"""Calls on an accelerator with a few fixed batch sizes and reusable device buffers.

TensorRT builds an engine for every new shape, which takes 20 to 100 s, so only the sizes of `SIZES` reach it:
a batch is split, or padded with its last image. Buffers are bound once per size. There are two sets, so that
one thread copies its batch to the device while another batch is computed. Tests run the same code on the CPU
provider; its speed on an accelerator has not been measured.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.models.batching import is_out_of_memory

SIZES = {"tensorrt": (1, 8, 64), "cuda": (1, 2, 4, 8, 16, 32, 64)}
"""Batch sizes by provider, ascending."""

DEVICES = {"tensorrt": "cuda", "cuda": "cuda", "cpu": "cpu"}
SLOTS = 2


def tensorrt_settings(folder: Path, inputs: dict[str, tuple[int, ...]]) -> dict[str, str]:
    """Return options of the TensorRT provider: caches, and one profile that covers every batch size.

    Parameters
    ----------
    folder : Path
        Folder of the caches; created if it is missing.
    inputs : dict
        The graph's inputs and shapes, with 0 for the dynamic batch axis. A graph with another dynamic axis
        (a text tower) gets no profile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }
    if not inputs or any(0 in shape[1:] or not shape or shape[0] != 0 for shape in inputs.values()):
        return options
    sizes = SIZES["tensorrt"]
    for kind, size in (("min", sizes[0]), ("opt", sizes[-1]), ("max", sizes[-1])):
        options[f"trt_profile_{kind}_shapes"] = ",".join(
            f"{name}:" + "x".join(map(str, (size, *shape[1:]))) for name, shape in inputs.items()
        )
    return options


def split_batch(n: int, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Split a batch into calls of allowed sizes.

    Parameters
    ----------
    n : int
        Images, at least 1.
    sizes : sequence of int
        Allowed sizes, ascending.

    Returns
    -------
    list of (start, stop, size)
        Rows and size of each call.
    """
    calls, at, largest = [], 0, sizes[-1]
    while n - at > largest:
        calls.append((at, at + largest, largest))
        at += largest
    calls.append((at, n, next(s for s in sizes if s >= n - at)))
    return calls


def pad_batch(batch: np.ndarray, size: int) -> np.ndarray:
    """Pad a batch to `size` rows with copies of its last row."""
    if len(batch) == size:
        return np.ascontiguousarray(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])


class _Slot:
    """Set of buffers: one binding for each shape of the inputs."""

    def __init__(self, session: Any, device: str) -> None:
        self._session, self._device = session, device
        self._made: dict[tuple[Any, ...], tuple[Any, dict[str, Any]]] = {}

    def binding(self, feeds: dict[str, np.ndarray], outputs: Sequence[str]) -> Any:
        """Return the binding for these shapes, with `feeds` copied into its inputs."""
        from inficond.core.models.runtime import onnxruntime as ort

        key = (tuple(outputs), *((name, array.shape, str(array.dtype)) for name, array in feeds.items()))
        if key not in self._made:
            binding, values = self._session.io_binding(), {}
            for name, array in feeds.items():
                # A copy, since on the CPU the value shares the array's memory.
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
    """Calls of a session through bound buffers, in batches of a few fixed sizes. Thread-safe.

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
        """Run the graph like `InferenceSession.run`, with calls of the allowed sizes only.

        Parameters
        ----------
        feeds : dict
            Arrays whose first axis is the batch, of equal length and not empty.
        outputs : sequence of str, optional
            All by default.
        """
        names = list(outputs or self._outputs)
        while True:
            sizes = self._sizes
            try:
                return self._split(feeds, names, sizes)
            except Exception as error:
                if not is_out_of_memory(error) or len(sizes) == 1:
                    raise
                with self._pick:  # a size that exceeded memory is not tried again
                    self._sizes = min(self._sizes, sizes[:-1], key=len)

    def _split(
        self, feeds: dict[str, np.ndarray], names: list[str], sizes: Sequence[int]
    ) -> list[np.ndarray]:
        n = len(next(iter(feeds.values())))
        parts = []
        for start, stop, size in split_batch(n, sizes):
            result = self._one({name: pad_batch(a[start:stop], size) for name, a in feeds.items()}, names)
            parts.append([array[: stop - start] for array in result])
        return parts[0] if len(parts) == 1 else [np.concatenate(arrays) for arrays in zip(*parts)]

    def _one(self, feeds: dict[str, np.ndarray], names: list[str]) -> list[np.ndarray]:
        with self._free:
            with self._pick:
                slot = self._slots.pop()
            try:
                binding = slot.binding(feeds, names)  # copies to the device while another batch is computed
                with self._device:
                    self._session.run_with_iobinding(binding)
                # Copied before the slot is reused: on the CPU the arrays are the buffers themselves.
                return [np.array(array) for array in binding.copy_outputs_to_cpu()]
            finally:
                with self._pick:
                    self._slots.append(slot)

    def warm_up(self, inputs: dict[str, tuple[int, ...]], types: dict[str, np.dtype]) -> None:
        """Run every size once, so that engines are built before the first request."""
        for size in self._sizes:
            self.run({name: np.zeros((size, *shape[1:]), types[name]) for name, shape in inputs.items()})
