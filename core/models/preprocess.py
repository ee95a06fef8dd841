"""Preprocessing: from a picture of any size to the input of a graph."""

import numpy as np
from PIL import Image

from inficond.core.errors import InputError
from inficond.core.models.manifest import ImageInput

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}

MAX_RESIZED = 16_000_000
"""Pixels of a resized picture before its crop; a longer picture is cropped while it is resampled."""


class Preprocess:
    """Resize and centre crop as a manifest states.

    Parameters
    ----------
    image : ImageInput
    """

    def __init__(self, image: ImageInput) -> None:
        self.image, self.size = image, image.size
        self._resize, self._crop = image.resize, image.crop
        self._filter = FILTERS[image.interpolation]
        self._gap = image.reducing_gap
        self._round_offset = image.crop_offset == "round"

    @property
    def at_least(self) -> int:
        """Shorter side that a reduced decode must keep, in pixels: twice the resized side."""
        return 2 * (self._resize if isinstance(self._resize, int) else max(self._resize))

    @property
    def crop_share(self) -> float | None:
        """Side of the centre crop relative to the shorter side; None if the whole picture is stretched."""
        if self._crop is None or not isinstance(self._resize, int):
            return None
        return max(self._crop) / self._resize

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a picture that is kept: left, top, right, bottom in its pixels.

        Sides and offsets are rounded as the model's own library rounds them (`ImageInput.crop_offset`), so
        that the result equals resizing the whole picture and cropping afterwards.
        """
        if self._crop is None:
            return 0.0, 0.0, float(width), float(height)
        across, down = self._resized(width, height)
        left, right = self._middle(across, self._crop[1], width)
        top, bottom = self._middle(down, self._crop[0], height)
        return left, top, right, bottom

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of a resized picture before its crop."""
        if not isinstance(self._resize, int):
            return self._resize[1], self._resize[0]
        shorter = min(width, height)
        return self._resize * width // shorter, self._resize * height // shorter

    def __call__(self, picture: Image.Image | np.ndarray) -> np.ndarray:
        """Resize and crop a picture.

        Parameters
        ----------
        picture : PIL image in mode RGB, or (H, W, 3) uint8

        Returns
        -------
        (h, w, 3) uint8
        """
        image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
        size = (self.size[1], self.size[0])
        if self._gap is None and self._crop is not None:
            across, down = self._resized(*image.size)
            if across * down <= MAX_RESIZED:
                left, top = self._first(across, self._crop[1]), self._first(down, self._crop[0])
                resized = image.resize((across, down), self._filter)
                return np.asarray(resized.crop((left, top, left + size[0], top + size[1])))
        box = self.box(*image.size)
        if image.size == size and box == (0, 0, *size):
            return np.asarray(image)
        return np.asarray(image.resize(size, self._filter, box=box, reducing_gap=self._gap))

    def graph_input(self, pixels: np.ndarray) -> np.ndarray:
        """Convert a batch of preprocessed pictures to the graph's input layout.

        Parameters
        ----------
        pixels : (B, H, W, 3) uint8

        Returns
        -------
        (B, H, W, 3) or (B, 3, H, W), uint8 or float32
            By `ImageInput.input_layout`; float32 is scaled to [0, 1] and standardised with mean and std.

        Raises
        ------
        InputError
            The array has another shape or type.
        """
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (*self.size, 3):
            raise InputError(
                f"pixels are {pixels.dtype} {pixels.shape}, but the model takes uint8 (B, {self.size[0]}, "
                f"{self.size[1]}, 3)"
            )
        layout = self.image.input_layout
        if layout.startswith("float"):
            mean, std = np.asarray(self.image.mean, np.float32), np.asarray(self.image.std, np.float32)
            pixels = (pixels.astype(np.float32) * np.float32(1 / 255) - mean) / std
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if layout.endswith("bchw") else pixels)

    def _first(self, resized: int, crop: int) -> int:
        """Return the offset of a centre crop in a resized picture."""
        spare = max(0, resized - crop)
        return round(spare / 2) if self._round_offset else spare // 2

    def _middle(self, resized: int, crop: int, side: int) -> tuple[float, float]:
        """Return start and end of a centre crop, in pixels of the original side."""
        first = self._first(resized, crop)
        return first * side / resized, min(first + crop, resized) * side / resized
