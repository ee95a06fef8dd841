"""Recognition of TIFF files whose values Pillow reads as others."""

from PIL import Image

_REDUCED, _BITS, _PLANES, _SAMPLE, _DNG = 254, 258, 284, 339, 50706
_SIGNED, _FLOAT = 2, 3


def misread_kind(image: Image.Image) -> str | None:
    """Return the kind of a TIFF file that Pillow opens but decodes to wrong pixels, with advice; else None.

    Parameters
    ----------
    image : PIL.Image.Image
        Opened, not loaded.
    """
    tags = getattr(image, "tag_v2", {})
    if _DNG in tags or (
        tags and tags.get(_REDUCED, 0) == 1
    ):  # the pictures themselves lie in other directories
        return "a camera raw file, of which only a preview could be read; convert it to JPEG or PNG"
    bits = tags.get(_BITS, (1,))
    if tags.get(_PLANES, 1) == 2 and len(bits) > 1 and set(bits) != {8}:
        return f"a TIFF of {bits[0]} bits per channel in separate planes; save it with interleaved channels"
    if 32 in bits and tags.get(_SAMPLE, (1,))[0] != _FLOAT:
        return "a TIFF of 32-bit integers, whose scale is not known; save it with 8 or 16 bits"
    if is_signed(image) and 8 in bits:
        return "a TIFF of signed 8-bit values; save it with unsigned values"
    return None


def is_signed(image: Image.Image) -> bool:
    """Return whether the values of a TIFF file are signed integers."""
    return _SIGNED in getattr(image, "tag_v2", {}).get(_SAMPLE, (1,))
