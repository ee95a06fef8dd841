"""Reading an image file safely: content before name, limits before memory, and one reason when it fails."""

import stat
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inficond.core.errors import one_line

FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000",
    "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
"""What is read. Left out: formats that run other programs (EPS), icons (which are decoded before their size
is known), stubs and the exotic."""

MIN_SIDE = 8
"""Pixels; a smaller image shows nothing that a concept could be seen in."""

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded whole (192 MB as RGB)."""

MAX_PIXELS_JPEG = 178_000_000
"""JPEG can be reduced while it is decoded, so larger ones are allowed."""

_LARGE = 16_000_000
_ROWS = 256
_one_at_a_time = threading.Lock()

# Our own limits are stricter, and these warnings would land on the person's terminal.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\..*")


class UnreadableImage(ValueError):
    """An image that cannot be used; `reason` says why, without the file's name.

    Parameters
    ----------
    reason : str
        A short clause, e.g. ``"cut short"``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = one_line(reason)
        super().__init__(self.reason)


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright and RGB.

    Parameters
    ----------
    image : PIL.Image.Image
        Possibly reduced while decoding.
    width, height : int
        Of the upright original, in pixels.
    remark : str
        What was changed, e.g. ``"CMYK converted to RGB"``; empty when nothing was.
    """

    image: Image.Image
    width: int
    height: int
    remark: str = ""


def decode(path: Path | str, at_least: int | None = None) -> np.ndarray:
    """Decode an image file.

    Parameters
    ----------
    path : Path
    at_least : int, optional
        A JPEG may be reduced by 2, 4 or 8 while it is decoded (much faster) as long as its shorter side keeps
        this many pixels.

    Returns
    -------
    (H, W, 3) uint8
        RGB, upright (EXIF orientation applied); transparency on white; the first frame of an animation.

    Raises
    ------
    UnreadableImage
        Not there, not an image, cut short, too small or too large.
    """
    return np.asarray(open_picture(path, at_least).image)


def open_picture(source: Path | str | BinaryIO, at_least: int | None = None) -> Picture:
    """Like `decode`, from a path or an open binary file.

    Parameters
    ----------
    source : Path, str or binary file
        An image file.
    at_least : int, optional
        As for `decode`.

    Returns
    -------
    Picture
        Upright, RGB.

    Raises
    ------
    UnreadableImage
        As for `decode`.
    """
    _readable()
    try:
        if isinstance(source, str | Path):
            _must_be_file(Path(source))
            with open(source, "rb") as file:
                return _read(file, at_least)
        return _read(source, at_least)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image, whatever its name says") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"too large (more than {MAX_PIXELS_JPEG // 10**6} million pixels)") from None
    except OSError as error:
        raise UnreadableImage(_reason(error)) from error
    except MemoryError:
        raise UnreadableImage("not enough memory to decode it") from None
    except Exception as error:  # Pillow's decoders raise many kinds on hostile bytes; none may end the run
        raise UnreadableImage(f"damaged ({type(error).__name__}: {error})") from error


@cache
def _readable() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with; found once, before threads ask for them."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _must_be_file(path: Path) -> None:
    """Opening a pipe would wait for ever."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableImage("not a file")
    if info.st_size == 0:
        raise UnreadableImage("empty file (0 bytes)")


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    if "truncated" in text or "Truncated" in text or "broken data stream" in text:
        return "cut short (truncated file)"
    if error.errno is not None:
        return f"cannot be read: {text}"
    return f"damaged ({text})"


def _read(file: BinaryIO, at_least: int | None) -> Picture:
    image: Image.Image
    with Image.open(file, formats=_readable()) as image:
        width, height = image.size
        if min(width, height) < MIN_SIDE:
            raise UnreadableImage(f"too small ({width}×{height} pixels; {MIN_SIDE} is the least)")
        limit = MAX_PIXELS_JPEG if image.format in ("JPEG", "MPO") else MAX_PIXELS
        if width * height > limit:
            raise UnreadableImage(
                f"too large ({width:,}×{height:,} pixels; {limit // 10**6} million is the most)"
            )
        if at_least is not None:
            image.draft("RGB", (at_least, at_least))
        elif width * height > MAX_PIXELS:
            image.draft("RGB", (4000, 4000))
        with _one_at_a_time if width * height > _LARGE else nullcontext():
            remark = _remark(image)
            image.load()
            upright = _upright(image)
            rgb = _to_rgb(upright)
    if upright.size != image.size:
        width, height = height, width
    return Picture(rgb, width, height, remark)


def _remark(image: Image.Image) -> str:
    if image.format != "MPO" and getattr(image, "is_animated", False):
        # Counting reads the whole file where no header tells: a second of work for every megabyte of frames.
        told = image.format not in ("GIF", "TIFF")
        return f"the first of {getattr(image, 'n_frames', 'several') if told else 'several'} frames is used"
    if image.mode == "CMYK":
        return "CMYK converted to RGB"
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return "reduced to 8 bits per channel"
    return ""


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing about the pixels
        return image.copy()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bit(np.asarray(image)), "L").convert("RGB")
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    if image.mode == "LAB":
        raise UnreadableImage("LAB colours are not read; save it as RGB")
    return image.convert("RGB")


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 or 32 bits or floating point as 8 bits; Pillow's own conversion would clip them."""
    low, top = float(values.min()), float(values.max())  # NaN is passed on by both
    if not np.isfinite((low, top)).all() or low < 0:
        raise UnreadableImage("its grey values are negative or not finite")
    full = next((f for f in (1.0, 255.0, 65535.0, 4294967295.0) if top <= f), top)
    out = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS):  # a few rows at a time: eight bytes a pixel are many
        block = values[start : start + _ROWS].astype(np.float64)
        out[start : start + _ROWS] = np.rint(block * (255.0 / full))
    return out
