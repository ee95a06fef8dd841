"""Safe decoding of image files: content decides the format, limits are checked before memory is used."""

import logging
import stat
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inficond.core.errors import one_line
from inficond.core.file_access import BoundedReader
from inficond.core.images.grey import OutsideScale, full_scale, is_deep, is_inverted, to_8_bit
from inficond.core.images.png import misread_png, without_metadata
from inficond.core.images.signatures import (
    CHANGED_JPEG,
    HEAD,
    camera_raw,
    changed_as_text,
    is_heic,
    looks_like_picture,
    unsupported_kind,
    unusual_jpeg,
)
from inficond.core.images.tiff import misread_kind

FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000",
    "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
"""Formats that are read; not formats that run other programs (EPS), nor icons, which Pillow decodes before
their size is known."""

MIN_SIDE = 8
"""Smallest side of a picture, in pixels."""

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded whole (192 MB as RGB)."""

MAX_PIXELS_JPEG = 178_000_000
"""Largest JPEG; JPEG can be reduced while it is decoded."""

HEIC_ADVICE = 'install the extra `heif` (pip install "inficond[heif]"), or convert it to JPEG'

_SHORT = ("truncated", "broken data stream", "expected to read")
"""Words of Pillow's messages about files that are shorter than they state."""
_DARK = 16
_LARGE = 16_000_000
_UNUSED_ALPHA = ("BMP", "DIB", "TGA")
"""Formats whose fourth channel many programs leave at 0, and viewers ignore then."""
_one_at_a_time = threading.Lock()

# The limits here are stricter, and these warnings would be printed to the terminal.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\..*")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # without a handler, errors go to the terminal


class UnreadableImage(ValueError):
    """An image that cannot be used.

    Parameters
    ----------
    reason : str
        A short clause without the file's name, for example ``"truncated file"``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.images import decode
    >>> _ = Path("notes.jpg").write_text("not a picture")
    >>> decode("notes.jpg")
    Traceback (most recent call last):
        ...
    inficond.core.images.decode.UnreadableImage: a text file, not a picture; download the picture again
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
        May be reduced while decoding.
    width, height : int
        Of the upright original, in pixels.
    remark : str
        The conversion that was made, for example ``"CMYK converted to RGB"``; empty if none was.

    Examples
    --------
    >>> from PIL import Image
    >>> from inficond.core.images import open_picture
    >>> Image.new("L", (64, 48)).save("grey.png")
    >>> picture = open_picture("grey.png")
    >>> picture.image.mode, picture.image.size
    ('RGB', (64, 48))
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
        Pixels that the shorter side of a JPEG keeps at least when it is reduced by 2, 4 or 8 while it is
        decoded, which is much faster.

    Returns
    -------
    (H, W, 3) uint8
        RGB, upright (EXIF orientation applied); transparency on white; the first frame of an animation.

    Raises
    ------
    UnreadableImage
        The file is missing, not an image of a supported kind, truncated, too small or too large.

    Examples
    --------
    >>> from PIL import Image
    >>> from inficond.core.images import decode
    >>> Image.new("RGB", (64, 48), "red").save("red.png")
    >>> rgb = decode("red.png")
    >>> rgb.shape, rgb[0, 0].tolist()
    ((48, 64, 3), [255, 0, 0])
    """
    return np.asarray(open_picture(path, at_least).image)


def open_picture(source: Path | str | BinaryIO, at_least: int | None = None) -> Picture:
    """Decode an image file and keep its size and the conversion that was made.

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

    Examples
    --------
    >>> from PIL import Image
    >>> from inficond.core.images import open_picture
    >>> Image.new("CMYK", (64, 48)).save("print.jpg")
    >>> picture = open_picture("print.jpg")
    >>> picture.width, picture.height, picture.remark
    (64, 48, 'CMYK converted to RGB')
    """
    supported_formats()
    if not isinstance(source, str | Path):
        return _explained(source, at_least)
    try:
        _check_file(Path(source))
        with BoundedReader(FileIO(source)) as file:
            return _explained(file, at_least)
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror or error}") from error


def read_picture_file(path: Path, most: int) -> bytes | None:
    """Return the bytes of an image file, or None if it has more than `most`.

    Raises
    ------
    UnreadableImage
        The file is missing, empty, or not a file.
    """
    try:
        _check_file(path)
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror or error}") from error
    return data if len(data) <= most else None


@cache
def supported_formats() -> tuple[str, ...]:
    """Return those of `FORMATS` that this installation decodes.

    Called once before threads decode, since registering formats is not thread-safe.
    """
    Image.init()
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_file(path: Path) -> None:
    """Refuse pipes, whose opening would block, and empty files."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableImage("not a file")
    if info.st_size == 0:
        raise UnreadableImage("empty file (0 bytes)")


def _explained(file: BinaryIO, at_least: int | None) -> Picture:
    """Decode a picture; every failure becomes one reason."""
    try:
        return _retried(file, at_least)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(_unidentified(_head(file))) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"too large (more than {MAX_PIXELS_JPEG // 10**6} million pixels)") from None
    except OSError as error:
        if error.errno is not None:
            raise UnreadableImage(f"cannot be read: {error.strerror or error}") from error
        raise UnreadableImage(_undecodable(_head(file), str(error))) from error
    except MemoryError:
        raise UnreadableImage("not enough memory to decode it") from None
    except Exception as error:  # Pillow's decoders raise many types on damaged bytes; none may end the run
        raise UnreadableImage(_undecodable(_head(file), f"{type(error).__name__}: {error}")) from error


def _retried(file: BinaryIO, at_least: int | None) -> Picture:
    """Decode; a PNG whose profile or texts are too large for Pillow or damaged is decoded without them."""
    try:
        return _read(file, at_least)
    except (ValueError, UnidentifiedImageError) as error:
        bare = None if isinstance(error, UnreadableImage) else without_metadata(file)
        if bare is None:
            raise
        return _read(bare, at_least)


def _head(file: BinaryIO, size: int = HEAD) -> bytes:
    try:
        file.seek(0)
        return file.read(size)
    except (OSError, ValueError):
        return b""


def _ends_in_zeros(file: BinaryIO) -> bool:
    """Return whether a JPEG ends in zeros instead of the end of its last scan, as a partial download does."""
    try:
        file.seek(0, 2)
        if file.tell() < 2 * HEAD:
            return False
        file.seek(-HEAD // 4, 2)
        if file.read().strip(b"\0"):
            return False
        file.seek(0)
        data = file.read()
    except (OSError, ValueError):
        return False
    return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


def _unidentified(head: bytes) -> str:
    if not head:
        return "empty file (0 bytes)"
    if is_heic(head):
        heif = "HEIF" in supported_formats()
        return "damaged HEIC picture" if heif else f"a HEIC picture; {HEIC_ADVICE}"
    known = looks_like_picture(head)
    if known is not None and known != "TIFF" and unusual_jpeg(head) is None:
        return f"damaged {known} picture"
    return unsupported_kind(head) or "not an image, whatever its name says; replace or remove it"


def _undecodable(head: bytes, text: str) -> str:
    kind = unusual_jpeg(head)
    if kind is not None:
        return kind
    if any(words in text.lower() for words in _SHORT):
        return "truncated file"
    name = "HEIC picture" if is_heic(head) else "picture"
    return f"{name} cannot be decoded: it is damaged or of an unusual kind ({text})"


def _misread(image: Image.Image, file: BinaryIO) -> str | None:
    """Return what is wrong with a file that Pillow decodes to wrong pixels, with advice; else None."""
    if image.format == "TIFF":
        return camera_raw(_head(file)) or misread_kind(image)
    if image.format == "PNG":
        return misread_png(image, _head(file, 16))
    if image.format in ("JPEG", "MPO"):
        if changed_as_text(_head(file, 1 << 16)):
            return CHANGED_JPEG
        if _ends_in_zeros(file):
            return "its end is filled with zeros; copy or download it again"
    return None


def _read(file: BinaryIO, at_least: int | None) -> Picture:
    image: Image.Image
    with Image.open(file, formats=supported_formats()) as image:
        width, height = image.size
        if min(width, height) < MIN_SIDE:
            raise UnreadableImage(f"too small ({width}×{height} pixels; {MIN_SIDE} is the least)")
        limit = MAX_PIXELS_JPEG if image.format in ("JPEG", "MPO") else MAX_PIXELS
        if width * height > limit:
            raise UnreadableImage(
                f"too large ({width:,}×{height:,} pixels; {limit // 10**6} million is the most)"
            )
        misread = _misread(image, file)
        if misread is not None:
            raise UnreadableImage(misread)
        if at_least is not None:
            image.draft("RGB", (at_least, at_least))
        elif width * height > MAX_PIXELS:
            image.draft("RGB", (4000, 4000))
        with _one_at_a_time if width * height > _LARGE else nullcontext():
            remark = _remark(image)
            image.load()
            full = full_scale(image) if is_deep(image) else None
            inverted, clear = is_inverted(image), image.info.get("transparency")
            upright = _upright(_on_screen(image))
            if full is not None:
                rgb, is_dark = _from_grey(upright, full, inverted, clear)
                remark += ", almost black: it uses less than a sixteenth of its scale" * is_dark
            else:
                rgb = _to_rgb(upright, image.format in _UNUSED_ALPHA)
    if upright.size != image.size:
        width, height = height, width
    return Picture(rgb, width, height, remark)


def _remark(image: Image.Image) -> str:
    if image.format != "MPO" and getattr(image, "is_animated", False):
        # Without a count in the header, counting reads the whole file: about a second per megabyte of frames.
        counted = image.format not in ("GIF", "TIFF")
        return (
            f"the first of {getattr(image, 'n_frames', 'several') if counted else 'several'} frames is used"
        )
    if image.mode == "CMYK":
        return "CMYK converted to RGB"
    if is_deep(image):
        return "reduced to 8 bits per channel"
    return ""


def _on_screen(image: Image.Image) -> Image.Image:
    """Return the first frame of a GIF on white where it is smaller than the screen, else the picture."""
    box = getattr(image, "dispose_extent", None)
    if image.format != "GIF" or box is None or box == (0, 0, *image.size):
        return image
    screen = Image.new("RGB", image.size, (255, 255, 255))
    screen.paste(_to_rgb(image.crop(box)), box[:2])
    return screen


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF does not affect the pixels
        return image.copy()


def _to_rgb(image: Image.Image, unused_alpha: bool = False) -> Image.Image:
    """Convert to RGB, with transparency on white.

    Parameters
    ----------
    image : PIL.Image.Image
    unused_alpha : bool
        Whether an alpha channel of zeros means none.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if unused_alpha and rgba.getchannel("A").getextrema() == (0, 0):
            return rgba.convert("RGB")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    if image.mode == "LAB":
        raise UnreadableImage("LAB colours are not read; save it as RGB")
    return image.convert("RGB")


def _from_grey(image: Image.Image, full: float, inverted: bool, clear: object) -> tuple[Image.Image, bool]:
    """Return the picture with 8 bits, and whether all of it is almost black although not of one value."""
    values = np.asarray(image)
    try:
        levels = to_8_bit(values, full)
    except OutsideScale as error:
        raise UnreadableImage(str(error)) from error
    is_dark = bool(levels.max() < _DARK and values.max() > values.min())
    if inverted:
        levels = 255 - levels
    if isinstance(clear, int):
        levels[values == clear] = 255
    return Image.fromarray(levels, "L").convert("RGB"), is_dark
