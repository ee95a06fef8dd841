"""Thumbnails of images, made from the same decoded picture that the encoder gets."""

import io

from PIL import Image

LONGER_SIDE = 320
"""Approximate size in pixels: pictures are reduced by whole factors."""


def make_thumbnail(image: Image.Image, longer_side: int = LONGER_SIDE) -> bytes:
    """Return a JPEG thumbnail (quality 80, without metadata); a small image keeps its size.

    JPEG instead of WebP, and means of whole pixels instead of a filter, are many times faster, which matters
    beside an encoder that takes 4 ms for an image.

    Parameters
    ----------
    image : Image
        Upright, RGB.
    longer_side : int
        Pixels; the result has between 0.75 and 1.5 times as many.

    Returns
    -------
    bytes
        A JPEG file.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> from inficond.core.images import make_thumbnail
    >>> data = make_thumbnail(Image.new("RGB", (1280, 960), "red"))
    >>> Image.open(io.BytesIO(data)).size
    (320, 240)
    """
    factor = round(max(image.size) / longer_side)
    if factor > 1:
        image = image.reduce(factor)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()
