"""Thumbnails: what the page shows of an image, made from the same decode that feeds the encoder."""

import io

from PIL import Image

LONGER_SIDE = 320
"""Pixels."""


def make_thumbnail(image: Image.Image, longer_side: int = LONGER_SIDE) -> bytes:
    """A JPEG (quality 80) of the upright RGB image, without metadata; a small image keeps its size.

    JPEG rather than WebP: it is written ten times faster, which counts beside an encoder of 4 ms an image.

    Parameters
    ----------
    image : Image
        Upright, RGB.
    longer_side : int
        Pixels.

    Returns
    -------
    bytes
        Of a JPEG file.
    """
    width, height = image.size
    scale = longer_side / max(width, height)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()
