"""ONNX Runtime sessions in this process: the only place that opens one."""

import ctypes
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.accelerate import SIZES, BoundCalls
from inficond.core.models.hardware import available_cores
from inficond.core.models.load_failure import load_failure
from inficond.core.models.providers import PROVIDERS, listed_providers, may_work, provider_options

_NUMPY: dict[str, np.dtype] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
}
_WITHOUT_NUMPY = frozenset(
    f"tensor({kind})"
    for kind in (
        "bfloat16",
        "float8e4m3fn",
        "float8e4m3fnuz",
        "float8e5m2",
        "float8e5m2fnuz",
        "int4",
        "uint4",
    )
)
"""Types of outputs that ONNX Runtime cannot hand over."""
_loading = threading.Lock()
_opened: "weakref.WeakSet[LocalSession]" = weakref.WeakSet()


def _keep_after_fork() -> None:
    """Keep the sessions of the parent: their destructors would wait for threads that a fork does not have."""
    for session in _opened:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_after_fork)


class LocalSession:
    """A graph loaded into this process. Safe to call from several threads.

    Parameters
    ----------
    content : bytes-like
        The ONNX file. A graph loaded from memory cannot read data beside its file.
    label : str
        Name of the graph in messages.
    provider : str
        A key of `PROVIDERS`.
    threads : int or None
        CPU threads inside one call; every available core by default.
    inputs : dict
        The graph's inputs and shapes, with 0 for a dynamic dimension.
    arena : bool
        Whether ONNX Runtime keeps the memory of a call for later ones. It also keeps that of a call that did
        not fit, so a process with a memory limit gives it back.

    Attributes
    ----------
    provider : str
        The provider in use.
    threads : int
    inputs : dict
        Name to (type, shape) in ONNX Runtime's notation.
    outputs : tuple of str
        Those that are arrays, not sequences or maps.
    ort : onnxruntime.InferenceSession

    Raises
    ------
    InputError
        The provider does not work here, or ONNX Runtime cannot load the graph.
    """

    def __init__(
        self,
        content: bytes | memoryview,
        label: str,
        provider: str,
        threads: int | None,
        inputs: dict[str, tuple[int, ...]],
        arena: bool = True,
    ) -> None:
        from inficond.core.models.runtime import onnxruntime as ort

        if provider not in listed_providers():
            raise InputError(
                f"provider {provider!r} is not in this build of ONNX Runtime: use one of "
                f"{', '.join(listed_providers())}"
            )
        if not may_work(provider):
            raise InputError(f"provider {provider!r} needs an NVIDIA driver, and none was found: use `cpu`")
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or available_cores()
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = arena
        # Spinning threads take the processor from the other processes of a shared machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        with _loading:
            if provider in ("cuda", "tensorrt") and hasattr(ort, "preload_dlls"):
                ort.preload_dlls()
            ort.set_default_logger_severity(4)
            try:
                self.ort = opened_session(ort, bytes(content), options, provider_options(provider, inputs))
            except Exception as error:  # ONNX Runtime's exceptions have no common base class
                raise InputError(f"{label} cannot be loaded on {provider}: {load_failure(error)}") from error
            finally:
                ort.set_default_logger_severity(2)
        used = self.ort.get_providers()[0]
        if used != PROVIDERS[provider]:
            raise InputError(
                f"provider {provider!r} does not work here (ONNX Runtime fell back to {used}): install its "
                "libraries (extra `cuda`), or use provider `cpu`"
            )
        self.provider, self.threads = provider, options.intra_op_num_threads
        self.inputs = {i.name: (i.type, tuple(i.shape)) for i in self.ort.get_inputs()}
        self.outputs = _arrays(self.ort.get_outputs(), label)
        self._turns = None if provider == "cpu" else threading.Lock()
        self._bound = self._bind(label, inputs)
        _opened.add(self)

    def run(self, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None) -> list[np.ndarray]:
        """Run the graph. On an accelerator calls take turns; on the CPU they run side by side."""
        names = None if outputs is None else list(outputs)
        if self._bound is not None:
            return self._bound.run(feeds, names)
        if self._turns is None:
            return self.ort.run(names, feeds)  # pyright: ignore[reportReturnType]
        with self._turns:
            return self.ort.run(names, feeds)  # pyright: ignore[reportReturnType]

    def _bind(self, label: str, inputs: dict[str, tuple[int, ...]]) -> BoundCalls | None:
        """Bind buffers for graphs whose only dynamic axis is the batch, on accelerators that profit."""
        fixed = all(shape and shape[0] == 0 and 0 not in shape[1:] for shape in inputs.values())
        if self.provider not in SIZES or not inputs or not fixed:
            return None
        calls = BoundCalls(self.ort, self.provider)
        if self.provider == "tensorrt":  # engines are built, or read from the cache, before the first request
            kinds = {name: _NUMPY.get(kind, np.dtype(np.float32)) for name, (kind, _) in self.inputs.items()}
            try:
                calls.warm_up(inputs, kinds)
            except Exception as error:
                raise InputError(
                    f"provider {self.provider!r} cannot build the engine of {label}: {load_failure(error)}"
                ) from error
        return calls


def opened_session(ort: Any, content: bytes, options: Any, providers: list[Any]) -> Any:
    """Open a session; with one thread where the system allows no more.

    ONNX Runtime's own fallback is off: it prints to stdout, into the output of the command.
    """
    try:
        return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:
        if "PosixThread" not in str(error) or options.intra_op_num_threads == 1:
            raise
    options.intra_op_num_threads = 1
    return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)


def _arrays(outputs: Sequence[Any], label: str) -> tuple[str, ...]:
    """Return the names of the outputs that are arrays.

    Raises
    ------
    InputError
        The scores are in a sequence or a map, or of a type that NumPy does not have.
    """
    other = [o for o in outputs if not o.type.startswith("tensor(")]
    arrays = [o for o in outputs if o.type.startswith("tensor(")]
    if other and not any(o.type in ("tensor(float)", "tensor(float16)", "tensor(double)") for o in arrays):
        raise InputError(
            f"{label}: its output {other[0].name!r} is a {other[0].type}, not an array of scores: export it "
            "without ZipMap (skl2onnx: options={'zipmap': False}) and without sequences"
        )
    strange = next((o for o in arrays if o.type in _WITHOUT_NUMPY), None)
    if strange is not None:
        raise InputError(
            f"{label}: its output {strange.name!r} is a {strange.type}, which NumPy does not have: cast it "
            "to float32 inside the graph"
        )
    return tuple(o.name for o in arrays)
