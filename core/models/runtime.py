"""ONNX Runtime, imported with its telemetry switched off.

Every other module imports ONNX Runtime from here, so that no process of InFiConD loads it in another state.
ONNX Runtime reads ``ORT_DISABLE_TELEMETRY`` while it is imported. Child processes inherit the variable.
"""

import os
from importlib import import_module
from typing import Any

from inficond.core.errors import InputError, first_line

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_ADVICE = (
    "remove it with `pip uninstall onnxruntime onnxruntime-gpu`, then install one of the two: `pip install "
    "--force-reinstall onnxruntime` or, for NVIDIA, onnxruntime-gpu"
)
try:
    import onnxruntime  # noqa: TID251
except ImportError as error:
    raise InputError(f"ONNX Runtime cannot be loaded ({first_line(error)}): {_ADVICE}") from error
if not hasattr(onnxruntime, "InferenceSession"):  # both packages write to one folder; removing one breaks it
    raise InputError(f"ONNX Runtime is installed only in part, without InferenceSession: {_ADVICE}")

__all__ = ["onnxruntime", "submodule"]


def submodule(name: str) -> Any:
    """Import a part of ONNX Runtime that its package does not load by itself.

    Parameters
    ----------
    name : str
        Such as ``quantization.calibrate``.
    """
    return import_module(f"onnxruntime.{name}")
