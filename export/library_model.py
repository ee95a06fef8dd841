"""A classifier of a library of models, with its labels and the library's own preprocessing."""

from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import nn

from inficond.core.errors import InputError, first_line
from inficond.export.preprocessing_measurement import Process, Stated


@dataclass
class LibraryModel:
    """A classifier with its labels and preprocessing.

    Parameters
    ----------
    name : str
        For messages.
    module : nn.Module
        Normalised pixels (B, 3, H, W) to logits (B, L).
    labels : list of str
    process : Process
        The library's own preprocessing.
    stated : Stated
    notes : list of str
    """

    name: str
    module: nn.Module
    labels: list[str]
    process: Process
    stated: Stated
    notes: list[str] = field(default_factory=list)


class PictureTransform:
    """Calls a transform of torchvision's kind: a Pillow image to a tensor (3, H, W)."""

    def __init__(self, transform: Any, title: str) -> None:
        self.transform, self.title = transform, title

    def __call__(self, picture: Any) -> Any:
        try:
            found = self.transform(Image.fromarray(picture))
        except Exception as error:  # a user's own transform may fail in any way
            height, width = picture.shape[:2]
            first = first_line(error)
            raise InputError(f"{self.title} fails on a picture of {width}×{height} pixels: {first}") from None
        if not isinstance(found, torch.Tensor) or found.ndim != 3:
            raise InputError(f"{self.title} does not return a tensor (3, H, W)")
        return found.float().numpy()
