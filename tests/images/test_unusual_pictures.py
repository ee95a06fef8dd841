"""Pictures of unusual kinds: each is read by one stated rule, or refused with its reason."""

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inficond.core.images.decode import UnreadableImage, decode, open_picture

H, W = 24, 36
RAMP = np.linspace(0, 65535, H * W).reshape(H, W)
LEVELS = np.rint(RAMP / 257)
GREY = np.repeat(LEVELS[..., None], 3, 2)
COLOURS = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
CLEAR = 17


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def tiff(bits: int, sample: int, data: bytes, meaning: int = 1) -> bytes:
    """An uncompressed grey TIFF: `sample` 1 unsigned, 2 signed, 3 float; `meaning` 0 where 0 is white."""
    entries = [
        (256, 4, W), (257, 4, H), (258, 3, bits), (259, 3, 1), (262, 3, meaning), (273, 4, 0), (277, 3, 1),
        (278, 4, H), (279, 4, len(data)), (339, 3, sample),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(entries) + 4
    out = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    for tag, kind, value in entries:
        value = start if tag == 273 else value
        out += struct.pack("<HHI", tag, kind, 1) + struct.pack(
            "<HH" if kind == 3 else "<I", value, *[0] * (kind == 3)
        )
    return out + bytes(4) + data


def colour_tiff(
    pixels: np.ndarray, planes: int = 1, extra: int | None = None, reduced: bool = False
) -> bytes:
    """An uncompressed TIFF of channels (H, W, c); `planes` 2 where each channel is stored apart.

    `extra` is the meaning of the last channel: 0 none, 1 alpha by which colours are multiplied, 2 alpha.
    `reduced` marks it as a smaller copy of another picture of the file, as in camera raw files.
    """
    count, bits = pixels.shape[2], pixels.dtype.itemsize * 8
    stored = [pixels[..., c] for c in range(count)] if planes == 2 else [pixels]
    data = [np.ascontiguousarray(plane).tobytes() for plane in stored]
    entries: list[tuple[int, int, list[int]]] = [
        *([(254, 4, [1])] if reduced else []),
        (256, 4, [W]), (257, 4, [H]), (258, 3, [bits] * count), (259, 3, [1]), (262, 3, [2]),
        (273, 4, [0] * len(data)), (277, 3, [count]), (278, 4, [H]), (279, 4, [len(d) for d in data]),
        (284, 3, [planes]), *([] if extra is None else [(338, 3, [extra])]),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(entries) + 4
    room = sum(len(v) * (2 if kind == 3 else 4) for _, kind, v in entries if len(v) * (kind - 1) > 4)
    offsets = [start + room + sum(map(len, data[:i])) for i in range(len(data))]
    out, behind = struct.pack("<2sHIH", b"II", 42, 8, len(entries)), b""
    for tag, kind, values in entries:
        values = offsets if tag == 273 else values
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed, behind = struct.pack("<I", start + len(behind)), behind + packed
        out += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, bytes(1))
    assert len(behind) <= room
    return out + bytes(4) + behind.ljust(room, bytes(1)) + b"".join(data)


def with_channel(pixels: np.ndarray, value: int) -> np.ndarray:
    return np.dstack([pixels, np.full((H, W, 1), value, pixels.dtype)])


def small_frame() -> tuple[bytes, np.ndarray]:
    """A GIF whose first frame covers the top left of a larger screen."""
    grey = Image.fromarray(LEVELS.astype(np.uint8))
    data = bytearray(saved(grey, "GIF"))
    data[6:10] = struct.pack("<HH", W + 10, H + 6)
    screen = np.full((H + 6, W + 10, 3), 255)
    screen[:H, :W] = GREY
    return bytes(data), screen


def bmp_of_32_bits(alpha: int) -> bytes:
    """A BMP of the newest header, with an alpha channel."""
    pixels = with_channel(COLOURS, alpha)[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 124, W, H, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks
    return b"BM" + struct.pack("<IHHI", 138 + len(pixels), 0, 0, 138) + head.ljust(124, bytes(1)) + pixels


def tga(alpha: int) -> bytes:
    return saved(Image.fromarray(with_channel(COLOURS, alpha)), "TGA")


HALF = COLOURS // 2 + 127
"""The colours at half transparency on white."""


def turned(kind: str) -> bytes:
    """The colours stored turned by 90 degrees, with the EXIF orientation that undoes it."""
    image = Image.fromarray(np.ascontiguousarray(np.rot90(COLOURS)))
    exif = image.getexif()
    exif[274] = 6
    return saved(image, kind, exif=exif, lossless=True) if kind == "WEBP" else saved(image, kind, exif=exif)


def frames(kind: str, **options: object) -> bytes:
    first, second = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    return saved(first, kind, save_all=True, append_images=[second], **options)


def with_clear_colour() -> tuple[bytes, np.ndarray]:
    picture = COLOURS.copy()
    picture[:5] = (CLEAR, CLEAR, CLEAR)
    white = picture.copy()
    white[:5] = 255
    return saved(Image.fromarray(picture), "PNG", transparency=(CLEAR, CLEAR, CLEAR)), white


def with_clear_grey() -> tuple[bytes, np.ndarray]:
    picture = RAMP.astype(np.uint16)
    picture[:5] = CLEAR
    white = np.rint(picture / 257)
    white[:5] = 255
    return saved(Image.fromarray(picture), "PNG", transparency=CLEAR), np.repeat(white[..., None], 3, 2)


READ: dict[str, Callable[[], tuple[bytes, np.ndarray]]] = {
    "RGB with one clear colour": with_clear_colour,
    "16 bits with one clear grey": with_clear_grey,
    "16 bits": lambda: (saved(Image.fromarray(RAMP.astype(np.uint16)), "PNG"), GREY),
    "16 bits, big-endian TIFF": lambda: (
        saved(Image.frombytes("I;16B", (W, H), RAMP.astype(">u2").tobytes()), "TIFF"),
        GREY,
    ),
    "16 bits, 0 is white": lambda: (tiff(16, 1, RAMP.astype("<u2").tobytes(), 0), 255 - GREY),
    "8 bits, 0 is white": lambda: (tiff(8, 1, LEVELS.astype("u1").tobytes(), 0), 255 - GREY),
    "10 bits in PGM": lambda: (
        b"P5\n36 24\n1023\n" + np.rint(RAMP * 1023 / 65535).astype(">u2").tobytes(),
        GREY,
    ),
    "16 bits of colour in PPM": lambda: (
        b"P6\n36 24\n65535\n" + np.repeat(RAMP.astype(">u2")[..., None], 3, 2).tobytes(),
        GREY,
    ),
    "floating point in PFM": lambda: (
        b"Pf\n36 24\n-1.0\n" + np.ascontiguousarray((RAMP / 65535)[::-1]).astype("<f4").tobytes(),
        GREY,
    ),
    "signed 16 bits": lambda: (tiff(16, 2, (RAMP // 2).astype("<i2").tobytes()), GREY),
    "channels in planes": lambda: (colour_tiff(COLOURS, 2), COLOURS),
    "16 bits of colour": lambda: (colour_tiff(COLOURS.astype("<u2") * 257), COLOURS),
    "alpha of TIFF": lambda: (colour_tiff(with_channel(COLOURS, 128), extra=2), HALF),
    "colours multiplied by alpha": lambda: (colour_tiff(with_channel(COLOURS // 2, 128), extra=1), HALF),
    "a channel that is not alpha": lambda: (colour_tiff(with_channel(COLOURS, 0), extra=0), COLOURS),
    "alpha in planes": lambda: (colour_tiff(with_channel(COLOURS, 128), 2, 2), HALF),
    "GIF with a small first frame": small_frame,
    "BMP with an unused alpha channel": lambda: (bmp_of_32_bits(0), COLOURS),
    "BMP with an alpha channel": lambda: (bmp_of_32_bits(128), HALF),
    "TGA with an unused alpha channel": lambda: (tga(0), COLOURS),
    "TGA with an alpha channel": lambda: (tga(128), HALF),
    "one bit": lambda: (
        saved(Image.fromarray(LEVELS > 127), "TIFF", compression="group4"),
        np.repeat((LEVELS > 127)[..., None] * 255.0, 3, 2),
    ),
    "turned PNG": lambda: (turned("PNG"), COLOURS),
    "turned WebP": lambda: (turned("WEBP"), COLOURS),
    "turned TIFF": lambda: (turned("TIFF"), COLOURS),
    "animated WebP": lambda: (frames("WEBP", lossless=True), COLOURS),
    "animated PNG": lambda: (frames("PNG"), COLOURS),
    "animated PNG with a picture before it": lambda: (frames("PNG", default_image=True), COLOURS),
    "pages of TIFF": lambda: (frames("TIFF"), COLOURS),
    "two views of a camera": lambda: (
        frames("MPO", quality=100, subsampling=0),
        decode_jpeg(saved(Image.fromarray(COLOURS), "JPEG", quality=100, subsampling=0)),
    ),
    "palette with degrees of clear": lambda: (
        saved(Image.new("P", (W, H), 0), "PNG", transparency=bytes([128])),
        np.full((H, W, 3), 127),
    ),
}  # fmt: skip


def decode_jpeg(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("kind", READ)
def test_pictures_of_unusual_kinds(tmp_path: Path, kind: str) -> None:
    data, want = READ[kind]()
    path = tmp_path / "picture"
    path.write_bytes(data)
    found = decode(path)
    assert found.shape == want.shape
    assert np.abs(found - want).max() <= 1


def test_zeros_after_the_end_of_a_jpeg_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "padded.jpg").write_bytes(LARGER_JPEG + bytes(9000))
    np.testing.assert_array_equal(decode(tmp_path / "padded.jpg"), decode_jpeg(LARGER_JPEG))


@pytest.mark.parametrize("value", [0, 40, 200, 255])
def test_the_bytes_of_even_pictures_are_not_taken_for_changed_ones(tmp_path: Path, value: int) -> None:
    for quality in (10, 75, 100):
        picture = Image.fromarray(np.full((640, 640, 3), value, np.uint8))
        picture.save(tmp_path / "even.jpg", quality=quality)
        assert np.abs(decode(tmp_path / "even.jpg").astype(int) - value).max() <= 2


def test_a_grey_picture_that_uses_little_of_its_scale_is_remarked(tmp_path: Path) -> None:
    for values, is_dark in (((RAMP > 30000) * 5, True), (RAMP, False), (np.zeros((H, W)), False)):
        Image.fromarray(values.astype(np.uint16)).save(tmp_path / "g.png")
        assert ("almost black" in open_picture(tmp_path / "g.png").remark) == is_dark


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def without_chunk(data: bytes, kind: bytes) -> bytes:
    """Return a PNG without one of its chunks."""
    at = data.index(kind) - 4
    return data[:at] + data[at + 12 + int.from_bytes(data[at : at + 4], "big") :]


NOISE = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
LARGER_JPEG = saved(Image.fromarray(NOISE), "JPEG", quality=95)

REFUSED: dict[str, tuple[bytes, str]] = {
    "a JPEG whose ends of lines became those of Windows": (
        LARGER_JPEG.replace(b"\n", b"\r\n"),
        "JPEG changed by a program that took it for text; copy the original again",
    ),
    "a JPEG whose ends of lines became those of Unix": (
        LARGER_JPEG.replace(b"\r\n", b"\n").replace(b"\r", b"\n"),
        "JPEG changed by a program that took it for text|truncated",
    ),
    "a JPEG of which the second half was not downloaded": (
        LARGER_JPEG[: len(LARGER_JPEG) // 2].ljust(len(LARGER_JPEG), b"\0"),
        "its end is filled with zeros; copy or download it again",
    ),
    "a PNG without its palette": (
        without_chunk(saved(Image.new("P", (W, H), 3), "PNG"), b"PLTE"),
        "without its palette",
    ),
    "a PNG of an app for iPhones": (
        saved(Image.fromarray(COLOURS), "PNG").replace(
            PNG_SIGNATURE,
            PNG_SIGNATURE
            + struct.pack(">I4s4sI", 4, b"CgBI", b"\x50\0\x20\6", zlib.crc32(b"CgBI\x50\0\x20\6")),
        ),
        "app for iPhones",
    ),
    "PAM": (
        b"P7\nWIDTH 36\nHEIGHT 24\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + COLOURS.tobytes(),
        "a PAM picture; convert",
    ),
    "a JPEG whose returns became line feeds": (
        LARGER_JPEG.replace(b"\r", b"\n"),
        "JPEG changed by a program that took it for text",
    ),
    "floats from 0 to 255": (tiff(32, 3, LEVELS.astype("<f4").tobytes()), "above 1.*0 to 1"),
    "floats that are not numbers": (tiff(32, 3, np.full((H, W), np.nan, "<f4").tobytes()), "not finite"),
    "32 bits": (tiff(32, 1, (RAMP * 65537).astype("<u4").tobytes()), "32-bit integers.*save it with 8 or 16"),
    "small values of 32 bits": (tiff(32, 1, LEVELS.astype("<u4").tobytes()), "32-bit integers"),
    "signed 8 bits": (tiff(8, 2, (LEVELS // 2).astype("i1").tobytes()), "signed 8-bit.*save it"),
    "signed 16 bits below 0": (tiff(16, 2, (RAMP - 32768).astype("<i2").tobytes()), "are below 0"),
    "16 bits in planes": (colour_tiff(COLOURS.astype("<u2") * 257, 2), "16 bits.*separate planes.*save it"),
    "half precision": (tiff(16, 3, (RAMP / 65535).astype("<f2").tobytes()), "cannot be read; convert it"),
    "a line before a JPEG": (b"\r\n" + saved(Image.fromarray(COLOURS), "JPEG"), "other bytes before it"),
    "an answer of a server": (b'{"error": "not found"}', "a text file, not a picture; download"),
    "an answer of a bucket": (
        b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
        "XML.*download",
    ),
    "a saved web page": (b"\xef\xbb\xbf\n<!-- saved -->\n<html><body>", "HTML page.*download"),
    "a drawing with a mark": (b'\xef\xbb\xbf<?xml version="1.0"?><!-- x --><svg/>', "SVG drawing"),
    "a JPEG that a program took for text": (
        saved(Image.fromarray(COLOURS), "JPEG").decode("latin-1").encode(),
        "took it for text; copy the original",
    ),
    "a PNG that a program took for text": (
        saved(Image.fromarray(COLOURS), "PNG").replace(b"\r\n", b"\n"),
        "took it for text; copy the original",
    ),
    "Base64": (base64.b64encode(saved(Image.fromarray(COLOURS), "JPEG")), "Base64 text; decode it"),
    "metadata of macOS": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(99), "metadata of macOS.*delete it"),
    "preview of a camera raw file": (colour_tiff(COLOURS, reduced=True), "camera raw file.*preview.*convert"),
    "raw file of Canon": (
        b"II*\0\x10\0\0\0CR\x02\0" + colour_tiff(COLOURS)[12:],
        "camera raw file; convert it to JPEG",
    ),
    "bytes of no kind": (bytes(range(1, 256)) * 9, "not an image.*replace or remove it"),
    "double precision": (tiff(64, 3, (RAMP / 65535).tobytes()), "cannot be read; convert it"),
    "JPEG XL": (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(99), "JPEG XL.*convert it to JPEG"),
    "OpenEXR": (b"\x76\x2f\x31\x01" + bytes(99), "OpenEXR.*convert it to JPEG"),
    "Radiance": (b"#?RADIANCE\n" + bytes(99), "Radiance HDR.*convert it to JPEG"),
    "DICOM": (bytes(128) + b"DICM" + bytes(99), "DICOM.*convert it to JPEG"),
    "PDF": (b"%PDF-1.7" + bytes(99), "PDF document"),
    "a web page": (b"<!DOCTYPE html><html></html>", "HTML page.*download"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "zeros": (bytes(999), "filled with one value.*copy or download it again"),
    "half of a WebP": (saved(Image.fromarray(COLOURS), "WEBP")[:200], "cannot be decoded|truncated"),
    "half of an AVIF": (saved(Image.fromarray(COLOURS), "AVIF")[:200], "damaged AVIF"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_pictures_that_are_refused(tmp_path: Path, kind: str) -> None:
    data, reason = REFUSED[kind]
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match=reason):
        decode(path)
