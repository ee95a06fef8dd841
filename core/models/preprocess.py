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
        """The part of a picture that is kept: left, top, right, bottom in its pixels."""
        if self._crop is None:
            return 0.0, 0.0, float(width), float(height)
        if isinstance(self._resize, int):
            scale_x = scale_y = min(width, height) / self._resize
        else:
            scale_y, scale_x = height / self._resize[0], width / self._resize[1]
        half_h, half_w = self._crop[0] * scale_y / 2, self._crop[1] * scale_x / 2
        box = width / 2 - half_w, height / 2 - half_h, width / 2 + half_w, height / 2 + half_h
        return max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3])

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
        return np.asarray(image.resize(size, self._filter, box=box, reducing_gap=3.0))
