"""Pixels in the layout a graph takes."""

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.manifest import ImageInput


def prepared(pixels: np.ndarray, image: ImageInput) -> np.ndarray:
    """A batch of RGB bytes as the graph's input.

    Parameters
    ----------
    pixels : (B, H, W, 3) uint8
    image : ImageInput

    Returns
    -------
    (B, H, W, 3) uint8 or (B, 3, H, W) float32
        By `input_layout`.
    """
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (*image.size, 3):
        raise InputError(
            f"pixels are {pixels.dtype} {pixels.shape}, the model takes uint8 (B, {image.size}, 3)"
        )
    if image.input_layout == "uint8_bhwc":
        return np.ascontiguousarray(pixels)
    mean, std = np.asarray(image.mean, np.float32), np.asarray(image.std, np.float32)
    scaled = (pixels.astype(np.float32) * np.float32(1 / 255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
