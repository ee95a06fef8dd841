"""The one place that opens an ONNX Runtime session, and says on what it really runs."""

import ctypes
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError, unknown
from inficond.core.models.accelerate import SIZES, BoundCalls, tensorrt_settings
from inficond.core.models.batching import is_out_of_memory
from inficond.core.models.hardware import available_cores
from inficond.core.models.onnx_safety import check_graph

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}
"""Names a person gives, and ONNX Runtime's."""

AUTOMATIC = ("cuda", "cpu")
"""What `auto` tries, in this order. The rest must be asked for: they build engines or change numbers."""

_NUMPY: dict[str, np.dtype] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
}
_loading = threading.Lock()


@dataclass(frozen=True)
class Session:
    """An open graph. Safe to call from several threads.

    Parameters
    ----------
    path : Path
    provider : str
        The one it runs on, as ONNX Runtime itself says after loading.
    threads : int
        Inside one call, on the CPU.
    inputs : mapping of name to (type, shape)
    outputs : tuple of str
    """

    path: Path
    provider: str
    threads: int
    inputs: dict[str, tuple[str, tuple[Any, ...]]]
    outputs: tuple[str, ...]
    _ort: Any
    _gate: Any  # a lock, or None on the CPU
    _bound: BoundCalls | None = None  # on CUDA and TensorRT

    def run(self, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """Run the graph. On an accelerator calls take turns; on the CPU they run side by side.

        Raises
        ------
        InputError
            The provider failed (out of memory, device lost); the message says which and what to try.
        """
        names = list(outputs) if outputs is not None else None
        try:
            if self._bound is not None:
                return self._bound.run(feeds, names)
            if self._gate is None:
                return self._ort.run(names, feeds)
            with self._gate:
                return self._ort.run(names, feeds)
        except Exception as error:  # ONNX Runtime's exceptions share no base class of its own
            if is_out_of_memory(error) and _rows(feeds) > 1:
                return self._halves(feeds, names)
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"{self.path.name} failed on {self.provider}: {first}; try a smaller batch or provider `cpu`"
            ) from error

    def _halves(self, feeds: dict[str, np.ndarray], names: list[str] | None) -> list[np.ndarray]:
        """A batch that did not fit into memory, in two calls; rows do not depend on one another."""
        middle = _rows(feeds) // 2
        first = self.run({name: array[:middle] for name, array in feeds.items()}, names)
        rest = self.run({name: array[middle:] for name, array in feeds.items()}, names)
        return [np.concatenate(pair) for pair in zip(first, rest)]


def _rows(feeds: dict[str, np.ndarray]) -> int:
    """The batch size where every input has the same, else 0."""
    lengths = {len(array) if array.ndim else 0 for array in feeds.values()}
    return lengths.pop() if len(lengths) == 1 else 0


def open_session(path: Path, provider: str = "auto", threads: int | None = None) -> Session:
    """Open an ONNX file.

    Parameters
    ----------
    path : Path
    provider : str
        A key of `PROVIDERS`, or ``auto``: the first of `AUTOMATIC` that really runs here.
    threads : int, optional
        CPU threads inside one call; by default every core this process may use. Work that runs many batches
        side by side uses 1: that wastes no core waiting for another.

    Returns
    -------
    Session
        On the provider that really runs.

    Raises
    ------
    InputError
        The provider asked for cannot run here, or the file is no sound ONNX graph.
    """
    if provider == "auto":
        for name in AUTOMATIC[:-1]:
            if _may_work(name):
                try:
                    return _open(path, name, threads)
                except InputError:
                    continue
        return _open(path, "cpu", threads)
    if provider not in PROVIDERS:
        raise unknown("provider", provider, ["auto", *PROVIDERS])
    return _open(path, provider, threads)


def listed_providers() -> list[str]:
    """Keys of `PROVIDERS` that this build of ONNX Runtime lists; whether they run is another question."""
    from inficond.core.models.runtime import onnxruntime as ort

    listed = ort.get_available_providers()
    return [name for name, full in PROVIDERS.items() if full in listed]


def _may_work(name: str) -> bool:
    """A quick look before trying: a CUDA session without a driver complains on stderr and falls back."""
    if name not in listed_providers():
        return False
    if name in ("cuda", "tensorrt"):
        try:
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return False
    return True


def _open(path: Path, name: str, threads: int | None) -> Session:
    from inficond.core.models.runtime import onnxruntime as ort

    full = PROVIDERS[name]
    if name not in listed_providers():
        listed = ", ".join(listed_providers())
        raise InputError(f"provider {name!r} is not in this build of ONNX Runtime, which has: {listed}")
    if not _may_work(name):
        raise InputError(f"provider {name!r} cannot run here: no NVIDIA driver was found; use `cpu`")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    with _loading:
        if name in ("cuda", "tensorrt") and hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
        ort.set_default_logger_severity(4)
        content = _content(path)
        facts = check_graph(content, str(path))
        try:
            session = ort.InferenceSession(
                content, options, providers=[(full, _settings(name, facts.inputs)), *_fallback(name)]
            )
        except Exception as error:  # every kind of malformed file has its own exception
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{path} cannot be loaded on {name}: {first[:300]}") from error
        finally:
            ort.set_default_logger_severity(2)
    got = session.get_providers()[0]
    if got != full:
        raise InputError(
            f"provider {name!r} was asked for but does not run here (ONNX Runtime fell back to {got}): "
            "install its libraries (extra `cuda`), or use provider `cpu`"
        )
    return Session(
        path=path,
        provider=name,
        threads=options.intra_op_num_threads,
        inputs={i.name: (i.type, tuple(i.shape)) for i in session.get_inputs()},
        outputs=tuple(o.name for o in session.get_outputs()),
        _ort=session,
        _gate=None if name == "cpu" else threading.Lock(),
        _bound=_bound(session, name, facts.inputs),
    )


def _bound(session: Any, name: str, inputs: dict[str, tuple[int, ...]]) -> BoundCalls | None:
    """Bound buffers for graphs whose batch is the only dynamic axis, on the accelerators that profit."""
    fixed = all(shape and shape[0] == 0 and 0 not in shape[1:] for shape in inputs.values())
    if name not in SIZES or not inputs or not fixed:
        return None
    calls = BoundCalls(session, name)
    if (
        name == "tensorrt"
    ):  # engines are built now, or read from the cache, so that nobody waits for one later
        kinds = {i.name: _NUMPY.get(i.type, np.dtype(np.float32)) for i in session.get_inputs()}
        try:
            calls.warm_up(inputs, kinds)
        except Exception as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"provider {name!r} cannot build this graph's engine: {first[:300]}") from error
    return calls


def _content(path: Path) -> bytes:
    """The file's bytes: loaded from memory, a graph cannot reach data beside its file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _settings(name: str, inputs: dict[str, tuple[int, ...]] | None = None) -> dict[str, Any]:
    if name == "cuda":
        return {
            "use_tf32": "0",
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "HEURISTIC",
        }
    if name == "tensorrt":
        from inficond.core.models.cache_directory import cache_folder

        return tensorrt_settings(cache_folder("tensorrt"), inputs or {})
    return {}


def _fallback(name: str) -> list[Any]:
    """Operators a provider lacks run on the next one; the session still counts as running on the first."""
    if name == "cpu":
        return []
    cuda = [(PROVIDERS["cuda"], _settings("cuda"))] if name == "tensorrt" else []
    return [*cuda, PROVIDERS["cpu"]]
