"""Sources of images: one module for each kind, one interface for all."""

from inficond.core.images.sources.open import open_source
from inficond.core.images.sources.record import ImageRecord, ImageSet, ImageSource

__all__ = ["ImageRecord", "ImageSet", "ImageSource", "open_source"]
