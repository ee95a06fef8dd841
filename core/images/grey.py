"""Conversion of grey pictures with more than 8 bits."""

import numpy as np
from PIL import Image

from inficond.core.images.tiff import is_signed

_ROWS = 256
"""Rows converted at once: eight bytes per pixel of a whole picture need much memory."""
_STRAY = 0.01
"""Share of pixels that may lie outside the scale; they are clipped."""


class OutsideScale(ValueError):
    """The grey values do not fit the scale of their type; the message is a short clause."""


def is_deep(image: Image.Image) -> bool:
    """Return whether a picture has one channel of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def full_scale(image: Image.Image) -> float:
    """Return the value that means white.

    It follows from the type alone, so that pictures of one series keep their differences in brightness:
    1 for floating point, 4095 for TIFF files of 12 bits, 32767 for those of signed 16 bits, 65535 for other
    integers.

    Parameters
    ----------
    image : PIL.Image.Image
        For which `is_deep` is true.

    Returns
    -------
    float
    """
    if image.mode == "F":
        return 1.0
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # BitsPerSample of TIFF
    if bits == 16 and is_signed(image):
        return 32767.0
    return float(2**bits - 1) if 8 < bits < 16 else 65535.0


def is_inverted(image: Image.Image) -> bool:
    """Return whether 0 means white (TIFF's photometric interpretation 0); Pillow inverts 8 bits only."""
    return is_deep(image) and getattr(image, "tag_v2", {}).get(262) == 0


def to_8_bit(values: np.ndarray, full: float) -> np.ndarray:
    """Scale grey values to 8 bits.

    Parameters
    ----------
    values : (H, W) array
        Integers or floating point.
    full : float
        From `full_scale`. Up to 1 % of the pixels may lie outside 0 … `full` and are clipped.

    Returns
    -------
    (H, W) uint8

    Raises
    ------
    OutsideScale
        Values are not finite, or too many of them lie outside the scale.
    """
    out = np.empty(values.shape, np.uint8)
    below = above = 0
    for start in range(0, len(values), _ROWS):
        block = values[start : start + _ROWS].astype(np.float64)
        if not np.isfinite(block).all():
            raise OutsideScale("its grey values are not finite")
        below += int((block < 0).sum())
        above += int((block > full).sum())
        out[start : start + _ROWS] = np.rint(np.clip(block, 0, full) * (255.0 / full))
    for count, what in ((below, "below 0"), (above, f"above {full:g}")):
        if count > _STRAY * values.size:
            raise OutsideScale(
                f"{100 * count / values.size:.0f} % of its grey values are {what}; this type is read "
                f"on a scale of 0 to {full:g}: save it with 8 or 16 bits"
            )
    return out
