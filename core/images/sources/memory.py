"""Images that a Python program holds: paths, Pillow images, arrays, bytes."""

import io
import tempfile
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError, first_line
from inficond.core.images.sources.record import ImageRecord, Note, relative_ids

_WRITTEN_AS = {"YCbCr": "RGB", "HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA"}
"""Mode of a picture that no lossless format holds, or holds otherwise -> mode that it is written in."""


class Spool:
    """Image files in one temporary file, so that a stream of images never lies in memory as a whole."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the spool
        self._end = 0
        self._lock = threading.Lock()

    def add(self, data: bytes) -> tuple[int, int]:
        """Store an image file; return what `read` needs."""
        with self._lock:
            at = self._end
            self._file.seek(at)
            self._file.write(data)
            self._end += len(data)
        return at, len(data)

    def read(self, at: int, size: int) -> bytes:
        """Return an image file."""
        with self._lock:
            self._file.seek(at)
            return self._file.read(size)


class MemoryImages:
    """Images of an iterable.

    Parameters
    ----------
    images : iterable
        Of paths, Pillow images, arrays, bytes of image files, or pairs of one of these and a label (a name or
        a list of names). A sequence is read where it is; any other iterable is read once.
    """

    def __init__(self, images: Iterable[Any]) -> None:
        self._images = images
        self.notes: list[str] = []
        self.rule = ""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        spool = None if isinstance(self._images, Sequence) else Spool()
        made: list[ImageRecord] = []
        for number, item in enumerate(self._images):
            item, labels = _labelled(item)
            if labels is not None:
                self.rule = "classes of the images"
            try:
                made.append(_record(number, item, labels, spool))
            except (InputError, ValueError, TypeError, OSError) as error:
                note(f"image {number}", f"cannot be used: {error}")
        ids = [record.id for record in made]
        if all(record.path is not None for record in made):
            ids = relative_ids([record.where for record in made])
        for id, record in zip(ids, made):
            yield replace(record, id=id)


def _labelled(item: Any) -> tuple[Any, tuple[str, ...] | None]:
    if not isinstance(item, tuple) or len(item) != 2:
        return item, None
    image, label = item
    if label is None:
        return image, None
    one = isinstance(label, str) or not isinstance(label, Iterable) or getattr(label, "ndim", 1) == 0
    return image, (str(label),) if one else tuple(map(str, label))  # pyright: ignore[reportArgumentType]


def _record(number: int, item: Any, labels: tuple[str, ...] | None, spool: Spool | None) -> ImageRecord:
    name = f"{number:06d}"
    if isinstance(item, str | Path):
        path = Path(item).absolute()
        return ImageRecord(f"{name}-{path.name}", path, labels=labels)
    if isinstance(item, io.IOBase):
        item = item.read()  # type: ignore[attr-defined]
    data = encoded(item)
    version = f"{zlib.crc32(data):08x}"
    if spool is not None:
        at = spool.add(data)
        load = lambda: spool.read(*at)  # noqa: E731
    elif isinstance(item, bytes):
        load = lambda: item  # noqa: E731
    else:
        load = lambda: encoded(item)  # noqa: E731
    where = f"image {number}"
    return ImageRecord(name, labels=labels, load=load, location=where, size=len(data), version=version)


def encoded(item: Any) -> bytes:
    """Return an image as the bytes of a lossless image file.

    Parameters
    ----------
    item : Pillow image, array or bytes
        An array of shape (H, W) or (H, W, 1…4), uint8 or uint16, or floating point from 0 to 1; bytes are
        those of an image file already.

    Raises
    ------
    InputError
        Another type, shape or range.
    """
    from PIL import Image

    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    if not isinstance(item, Image.Image):
        item = _from_array(item)
    exif = item.getexif()
    if item.mode in _WRITTEN_AS:
        item = item.convert(_WRITTEN_AS[item.mode])
    if item.mode == "I":
        values = np.asarray(item)
        if values.min() < 0 or values.max() > 65535:
            raise InputError("a picture of mode I must hold values from 0 to 65535: convert it to L or RGB")
        item = Image.fromarray(values.astype(np.uint16))
    out = io.BytesIO()
    lossless = "PNG" if item.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else "TIFF"
    item.save(out, lossless, exif=exif, compress_level=1)
    return out.getvalue()


def _from_array(item: Any) -> Any:
    from PIL import Image

    if not hasattr(item, "__array__"):
        raise InputError(
            f"an image must be a path, a Pillow image, an array or bytes, not {type(item).__name__}"
        )
    try:
        array = np.asarray(item)
    except Exception as error:  # tensors of other libraries raise many types
        raise InputError(
            f"the {type(item).__name__} cannot be read as an array ({first_line(error)}): for a tensor of "
            "torch give tensor.detach().cpu().float().numpy()"
        ) from error
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 2, 3, 4):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (2, 3, 4)):
        raise InputError(f"an array of shape {np.shape(item)} is not an image; use (H, W) or (H, W, 3)")
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise InputError(
                "a floating-point array must hold values from 0 to 1: divide pixels of 0 to 255 by 255, and "
                "undo a normalisation"
            )
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype not in (np.uint8, np.uint16) or (array.dtype == np.uint16 and array.ndim == 3):
        raise InputError(
            f"an array of {array.dtype} is not an image; use uint8, or floating point from 0 to 1"
        )
    return Image.fromarray(np.ascontiguousarray(array))
