"""Image files: found, decoded safely and once, shown small."""

from inficond.core.images.decode import Picture, UnreadableImage, decode, open_picture
from inficond.core.images.find import ImageFile, find_images
from inficond.core.images.thumbnail import make_thumbnail

__all__ = [
    "ImageFile", "Picture", "UnreadableImage", "decode", "find_images", "make_thumbnail", "open_picture",
]  # fmt: skip
