"""Input of a classifier in an ONNX file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.sessions import GraphSession
from inficond.core.models.teacher import FLOATS

DEFAULT_SIZE = 224
"""Side of the pictures where neither graph nor metadata state it."""


@dataclass(frozen=True)
class GraphInput:
    """The input of a classifier.

    Parameters
    ----------
    name, layout : str
        `layout` as in a manifest, for example ``float_bchw``.
    size : (H, W)
    batch : int or None
        Fixed size of a batch.
    dtype : numpy dtype or None
        Of a floating-point input other than float32.
    """

    name: str
    layout: str
    size: tuple[int, int]
    batch: int | None
    dtype: np.dtype | None


def image_input(path: Path, session: GraphSession, metadata: Mapping[str, str]) -> GraphInput:
    """Return the input of a classifier.

    Parameters
    ----------
    path : Path
        Names the file in errors.
    session : GraphSession
    metadata : mapping
        Of the file; `imgsz` states the sides that the graph leaves open.

    Raises
    ------
    InputError
        The graph has several inputs, or one that does not take pictures of three channels.
    """
    if len(session.inputs) != 1:
        raise InputError(
            f"{path} has {len(session.inputs)} inputs ({', '.join(session.inputs)}), and a classifier has "
            "one, the pictures: export it in evaluation mode with the picture as its only input"
        )
    ((name, (kind, shape)),) = session.inputs.items()
    if len(shape) != 4:
        raise InputError(
            f"{path}: its input {name!r} has {len(shape)} axes {_axes(shape)}, and pictures have four "
            "(batch, 3, height, width): export it with a batch axis"
        )
    kinds = {"tensor(uint8)": "uint8", "tensor(float)": "float", **dict.fromkeys(FLOATS, "float")}
    if kind not in kinds:
        raise InputError(f"{path} takes {kind}: save it with a uint8 or float32 input")
    if shape[1] == 3:
        order, sides = "bchw", shape[2:]
    elif shape[3] == 3:
        order, sides = "bhwc", shape[1:3]
    else:
        grey = "; it takes grey pictures: repeat the channel inside the graph" if 1 in shape[1:] else ""
        raise InputError(
            f"{path} takes pictures of shape {_axes(shape)}: 3 channels are needed at place 2 or 4{grey}"
        )
    stated = [n for n in numbers_of(metadata.get("imgsz", "")) if 1 <= n < 1e6] or [DEFAULT_SIZE]
    size = [int(side) if isinstance(side, int) and side > 0 else 0 for side in sides]
    height, width = size[0] or int(stated[0]), size[1] or int(stated[-1])
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
    return GraphInput(name, f"{kinds[kind]}_{order}", (height, width), batch, FLOATS.get(kind))


def _axes(shape: Sequence[Any]) -> str:
    return f"({', '.join(map(str, shape))})"


def numbers_of(text: str) -> list[float]:
    """Return the numbers in a text."""
    return [float(number) for number in re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text)]
