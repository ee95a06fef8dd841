"""Preprocessing of an exported model: resize, crop and normalisation."""

from dataclasses import dataclass, replace
from typing import Any

from inficond.core.models.manifest import ImageInput
from inficond.core.models.preprocess import Preprocess

RGB = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize, crop and normalisation.

    Attributes
    ----------
    size : tuple of int
        Height and width of the graph's input.
    resize : int or tuple of int
        Length of the shorter side, or (h, w) where the aspect ratio is not kept.
    crop : tuple of int or None
        Height and width of the centre crop; equal to `size` where there is one.
    interpolation : str
        One of Pillow's filters.
    mean, std : tuple of float
        Per channel of the model's input, on a scale from 0 to 1 where `rescale` is 1/255.
    rescale : float
        Factor on the 8-bit values before `mean` is subtracted.
    channels : tuple of int
        Source of each input channel: (0, 1, 2) for RGB, (2, 1, 0) for BGR.
    crop_offset : str
        Rounding of the crop's offset, see `ImageInput`.
    """

    size: tuple[int, int]
    resize: int | tuple[int, int]
    crop: tuple[int, int] | None
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rescale: float = 1 / 255
    channels: tuple[int, int, int] = RGB
    crop_offset: str = "floor"

    def at(self, size: tuple[int, int]) -> "Preprocessing":
        """Return the same preprocessing for another input size; the crop keeps its share of the picture."""
        if isinstance(self.resize, int):
            shorter = max(round(self.resize * min(size) / min(self.size)), *size)
            return replace(self, size=size, resize=shorter, crop=size)
        if self.crop is None:
            return replace(self, size=size, resize=size)
        resize = [max(s, round(r * s / c)) for r, s, c in zip(self.resize, size, self.crop)]
        return replace(self, size=size, resize=(resize[0], resize[1]), crop=size)

    def manifest(self, file: str) -> dict[str, Any]:
        """Return the `image` entry of the manifest of a graph that normalises inside."""
        order = {} if self.channels == RGB else {"channels": "".join("rgb"[c] for c in self.channels)}
        return {
            "file": file,
            "size": list(self.size),
            "resize": self.resize if isinstance(self.resize, int) else list(self.resize),
            "crop": None if self.crop is None else list(self.crop),
            "interpolation": self.interpolation,
            "crop_offset": self.crop_offset,
            "reducing_gap": None,
            "mean": [m * (1 / 255) / self.rescale for m in self.mean],
            "std": [s * (1 / 255) / self.rescale for s in self.std],
            "input_layout": "uint8_bhwc",
        } | order

    def prepare(self) -> Preprocess:
        """Return the function that resizes and crops a decoded picture at inference."""
        return Preprocess(
            ImageInput(
                file="image.onnx",
                size=self.size,
                resize=self.resize,
                crop=self.crop,
                interpolation=self.interpolation,
                crop_offset=self.crop_offset,
                reducing_gap=None,
            )
        )
