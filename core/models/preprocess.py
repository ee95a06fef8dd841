"""Resize and centre crop: from a picture of any size to the pixels a graph takes."""

import numpy as np
from PIL import Image

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
        self.size = image.size
        self._resize, self._crop = image.resize, image.crop
        self._filter = FILTERS[image.interpolation]
        self._gap = image.reducing_gap
        self._round_offset = image.crop_offset == "round"

    @property
    def at_least(self) -> int:
        """Pixels the shorter side should keep in a reduced decode, so that resampling still has a choice."""
        return 2 * (self._resize if isinstance(self._resize, int) else max(self._resize))

    @property
    def crop_share(self) -> float | None:
        """The side of the centre crop in parts of the shorter side; None: the whole is stretched."""
        if self._crop is None or not isinstance(self._resize, int):
            return None
        return max(self._crop) / self._resize

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of a picture that is kept: left, top, right, bottom in its pixels.

        Sides and offsets are rounded as transformers rounds them, so that the pixels are those of resizing
        the whole picture and cropping afterwards: the longer side is cut to whole pixels, and where an odd
        number of pixels is cropped off, one more of them lies right or below.
        """
        if self._crop is None:
            return 0.0, 0.0, float(width), float(height)
        across, down = self._resized(width, height)
        left, right = self._middle(across, self._crop[1], width)
        top, bottom = self._middle(down, self._crop[0], height)
        return left, top, right, bottom

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a resized picture before its crop."""
        if not isinstance(self._resize, int):
            return self._resize[1], self._resize[0]
        shorter = min(width, height)
        return self._resize * width // shorter, self._resize * height // shorter

    def __call__(self, picture: Image.Image | np.ndarray) -> np.ndarray:
        """The pixels for the graph.

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

    def _first(self, resized: int, crop: int) -> int:
        """Offset of a centre crop in a resized picture."""
        spare = max(0, resized - crop)
        return round(spare / 2) if self._round_offset else spare // 2

    def _middle(self, resized: int, crop: int, side: int) -> tuple[float, float]:
        """The central `crop` of `resized` pixels, in units of the `side` pixels they were resized from."""
        first = self._first(resized, crop)
        return first * side / resized, min(first + crop, resized) * side / resized
