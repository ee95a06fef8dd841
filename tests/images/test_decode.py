"""What a decoder may meet: each file gives right pixels or one reason, never another exception."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inficond.core.images import UnreadableImage, decode, make_thumbnail, open_picture


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, np.full_like(x, 128)], -1).astype(np.uint8)


def saved(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm", "tga"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    np.testing.assert_array_equal(decode(saved(tmp_path / f"x.{suffix}", gradient(), **options)), gradient())


@pytest.mark.parametrize("suffix", ["jpg", "avif", "jp2", "gif"])
def test_lossy_formats_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    got = decode(saved(tmp_path / f"x.{suffix}", gradient())).astype(int)
    assert np.abs(got - gradient()).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_respected(tmp_path: Path, orientation: int) -> None:
    upright = Image.fromarray(gradient())
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "x.png", stored, exif=exif)
    np.testing.assert_array_equal(decode(path), gradient())
    picture = open_picture(path)
    assert (picture.width, picture.height) == (60, 40)


def test_broken_exif_does_not_spoil_the_picture(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", gradient(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(path).shape == (40, 60, 3)


def test_cmyk_is_converted_and_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", Image.new("CMYK", (32, 32), (0, 255, 255, 0)), quality=95)
    picture = open_picture(path)
    assert picture.remark == "CMYK converted to RGB"
    red = np.asarray(picture.image).mean(axis=(0, 1))
    assert red[0] > 200
    assert red[1:].max() < 60


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    for suffix in ("png", "tif"):
        picture = open_picture(saved(tmp_path / f"x.{suffix}", grey))
        assert picture.remark == "reduced to 8 bits per channel"
        got = np.asarray(picture.image)[..., 0].astype(float)
        assert np.abs(got - grey / 257).max() <= 1


def test_floating_point_tiff_is_scaled(tmp_path: Path) -> None:
    grey = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    got = decode(saved(tmp_path / "x.tif", grey))[..., 0].astype(float)
    assert np.abs(got - 255 * grey).max() <= 1
    grey[0, 0] = np.nan
    with pytest.raises(UnreadableImage, match="not finite"):
        decode(saved(tmp_path / "y.tif", grey))


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    for suffix in ("gif", "webp", "png"):
        path = saved(tmp_path / f"x.{suffix}", frames[0], save_all=True, append_images=frames[1:])
        picture = open_picture(path)
        count = "3" if suffix in ("webp", "png") else "several"
        assert picture.remark == f"the first of {count} frames is used", suffix
        assert np.asarray(picture.image)[16, 16].argmax() == 0


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, :8] = (255, 0, 0, 255)
    got = decode(saved(tmp_path / "x.png", rgba))
    assert got[0, 0].tolist() == [255, 0, 0]
    assert got[0, 15].tolist() == [255, 255, 255]


def png_of(width: int, height: int) -> bytes:
    """A PNG that only claims its size: a few bytes that would unfold to gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def whole_jpeg() -> bytes:
    out = io.BytesIO()
    Image.fromarray(gradient(200, 300)).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.jpg", b"", "empty file"),
        ("x.jpg", b"this is no picture, it is text", "not an image"),
        ("x.jpg", whole_jpeg()[:3000], "cut short"),
        ("x.jpg", whole_jpeg()[:20], "not an image|damaged|cut short"),
        ("x.png", png_of(20_000, 20_000), "too large"),
        ("x.png", png_of(2**31 - 1, 2**31 - 1), "too large|damaged"),
        ("x.png", png_of(1, 1), "too small"),
        ("x.png", png_of(100, 100), "cut short|damaged"),
        ("x.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "not an image"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImage, match=reason) as caught:
        decode(tmp_path / name)
    assert "\n" not in caught.value.reason


def test_a_whole_huge_png_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(UnreadableImage, match="too large"):
        decode(path)


def test_what_is_not_a_file_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(UnreadableImage, match="not a file"):
        decode(tmp_path / "folder.jpg")
    with pytest.raises(UnreadableImage, match="No such file"):
        decode(tmp_path / "gone.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with pytest.raises(UnreadableImage, match="symbolic links"):
        decode(tmp_path / "loop.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(UnreadableImage, match="not a file"):
            decode(tmp_path / "pipe.jpg")


def test_a_jpeg_is_reduced_while_decoding_but_never_below_what_is_asked(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", Image.fromarray(gradient(1600, 2400)), quality=95)
    picture = open_picture(path, at_least=400)
    assert (picture.width, picture.height) == (2400, 1600)
    assert picture.image.size == (600, 400)
    whole = np.asarray(Image.fromarray(decode(path)).reduce(4)).astype(int)
    assert np.abs(np.asarray(picture.image).astype(int) - whole).max() <= 6


def test_thumbnails_are_small_upright_and_carry_no_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "somebody's home"
    picture = open_picture(saved(tmp_path / "x.jpg", Image.fromarray(gradient(600, 900)), exif=exif))
    thumbnail = Image.open(io.BytesIO(make_thumbnail(picture.image)))
    assert thumbnail.size == (300, 200)
    assert b"somebody" not in make_thumbnail(picture.image)


@pytest.mark.parametrize("longer", [1, 320, 479, 481, 640, 800, 1000, 4321])
@pytest.mark.parametrize("shorter", [1, 2, 300])
def test_a_thumbnail_has_about_the_wanted_size(longer: int, shorter: int) -> None:
    size = Image.open(io.BytesIO(make_thumbnail(Image.new("RGB", (longer, shorter))))).size
    assert min(max(longer, shorter), 240) <= max(size) <= 480
    assert min(size) >= 1


SEEDS = [whole_jpeg(), png_of(64, 64)]
for _format in ("PNG", "WEBP", "GIF", "TIFF", "BMP"):
    _out = io.BytesIO()
    Image.fromarray(gradient()).save(_out, _format)
    SEEDS.append(_out.getvalue())


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, len(SEEDS) - 1),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_damaged_bytes_give_a_picture_or_a_reason(
    seed: int, cut: float, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(SEEDS[seed])
    for place, value in flips:
        data[int(place * (len(data) - 1))] = value
    if cut > 0.5:
        del data[int((cut - 0.5) * 2 * len(data)) :]
    try:
        picture = open_picture(io.BytesIO(bytes(data)))
    except UnreadableImage:
        return
    assert picture.image.mode == "RGB"
    assert min(picture.image.size) >= 8
