"""From a picture of any size to the pixels a graph takes: one resampling, no intermediate picture."""

import numpy as np
from PIL import Image

from inficond.core.models.manifest import ImageInput

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


class Preprocess:
    """Resize and centre-crop as a manifest says, in one step: the crop is taken while resampling.

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
        if isinstance(self._resize, int):
            shorter = min(width, height)
            across, down = (self._resize * side // shorter for side in (width, height))
        else:
            down, across = self._resize
        left, right = self._middle(across, self._crop[1], width)
        top, bottom = self._middle(down, self._crop[0], height)
        return left, top, right, bottom

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
        box = self.box(*image.size)
        if image.size == size and box == (0, 0, *size):
            return np.asarray(image)
        return np.asarray(image.resize(size, self._filter, box=box, reducing_gap=self._gap))

    def _middle(self, resized: int, crop: int, side: int) -> tuple[float, float]:
        """The central `crop` of `resized` pixels, in units of the `side` pixels they were resized from."""
        spare = max(0, resized - crop)
        first = round(spare / 2) if self._round_offset else spare // 2
        return first * side / resized, min(first + crop, resized) * side / resized
