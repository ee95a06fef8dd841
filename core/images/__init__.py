"""Images: sources, safe decoding, thumbnails."""

from inficond.core.images.decode import Picture, UnreadableImage, decode, open_picture
from inficond.core.images.find import find_images
from inficond.core.images.sources import ImageRecord, ImageSet, open_source
from inficond.core.images.thumbnail import make_thumbnail

__all__ = [
    "ImageRecord", "ImageSet", "Picture", "UnreadableImage", "decode", "find_images", "make_thumbnail",
    "open_picture", "open_source",
]  # fmt: skip
