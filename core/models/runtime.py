"""ONNX Runtime, imported with its telemetry switched off.

Every other module imports ONNX Runtime from here, so that no process of InFiConD loads it in another state.
ONNX Runtime reads ``ORT_DISABLE_TELEMETRY`` while it is imported. Child processes inherit the variable.
"""

import os
from importlib import import_module
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # noqa: TID251

__all__ = ["onnxruntime", "submodule"]


def submodule(name: str) -> Any:
    """Import a part of ONNX Runtime that its package does not load by itself.

    Parameters
    ----------
    name : str
        Such as ``quantization.calibrate``.
    """
    return import_module(f"onnxruntime.{name}")
