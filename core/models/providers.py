"""Execution providers of ONNX Runtime."""

import ctypes
import sys
from pathlib import Path
from typing import Any

from inficond.core.models.accelerate import tensorrt_settings
from inficond.core.models.cache_directory import cache_folder

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}
"""Names on the command line -> names in ONNX Runtime."""

AUTOMATIC = ("cuda", "cpu")
"""What `auto` tries, in this order. The others build engines or change results, so they must be named."""


def listed_providers() -> list[str]:
    """Return the keys of `PROVIDERS` that this build of ONNX Runtime lists; not all of them need to work."""
    from inficond.core.models.runtime import onnxruntime as ort

    listed = ort.get_available_providers()
    return [name for name, full in PROVIDERS.items() if full in listed]


def may_work(name: str) -> bool:
    """Whether a listed provider has its driver: without one, ONNX Runtime falls back to the CPU silently."""
    if name not in listed_providers():
        return False
    if name in ("cuda", "tensorrt"):
        try:
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError:
            return False
    return True


def provider_options(name: str, inputs: dict[str, tuple[int, ...]]) -> list[Any]:
    """Return the providers to open a session with: the one asked for, then those for operators it lacks.

    Parameters
    ----------
    name : str
        A key of `PROVIDERS`.
    inputs : dict
        The graph's inputs and shapes, with 0 for a dynamic dimension.
    """
    if name == "cpu":
        return [PROVIDERS["cpu"]]
    cuda = {
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    if name == "cuda":
        return [(PROVIDERS["cuda"], cuda), PROVIDERS["cpu"]]
    if name == "tensorrt":
        settings = tensorrt_settings(Path(cache_folder("tensorrt")), inputs)
        return [(PROVIDERS["tensorrt"], settings), (PROVIDERS["cuda"], cuda), PROVIDERS["cpu"]]
    return [(PROVIDERS[name], {}), PROVIDERS["cpu"]]
