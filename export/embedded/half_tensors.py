"""Files of learned tensors whose matrices are in half precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from inficond.core.errors import InputError


def save_half(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as safetensors, matrices in half precision and vectors as they are."""
    save_file({k: v.half().contiguous() if v.ndim > 1 else v.contiguous() for k, v in tensors.items()}, path)


def load_tensors(path: Path, command: str) -> dict[str, torch.Tensor]:
    """Read a file of `save_half` as float32.

    Parameters
    ----------
    path : Path
    command : str
        The command that makes the file, for the message.

    Raises
    ------
    InputError
        The file is missing.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: make it with `{command}`")
    return {k: v.float() for k, v in load_file(path).items()}
