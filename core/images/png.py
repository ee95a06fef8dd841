"""Removal of metadata from PNG files."""

import io
from typing import BinaryIO

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_METADATA = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
"""Chunks that do not change the pixels and that a small file can make arbitrarily large."""


def misread_png(image: Image.Image, head: bytes) -> str | None:
    """Return the kind of a PNG that Pillow opens but decodes to wrong pixels, with advice; else None.

    Parameters
    ----------
    image : PIL.Image.Image
        Opened, not loaded.
    head : bytes
        The first bytes of the file.
    """
    if head[12:16] == b"CgBI":
        return (
            "a PNG from an app for iPhones, in an order of its own; save it as PNG again on a Mac or iPhone"
        )
    if image.mode == "P" and image.palette is None:
        return "a PNG without its palette; copy or download it again"
    return None


def without_metadata(file: BinaryIO) -> io.BytesIO | None:
    """Return a PNG file without its colour profile and texts; None where there are none or it is not a PNG.

    Parameters
    ----------
    file : binary file
        Read from its beginning.
    """
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return None
    out, removed = io.BytesIO(), False
    out.write(SIGNATURE)
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        rest = file.read(length + 4)
        if kind in _METADATA:
            removed = True
        else:
            out.write(head + rest)
        if kind == b"IEND":
            break
    out.seek(0)
    return out if removed else None
