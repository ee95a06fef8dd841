"""Decoding of image files returns correct pixels or raises an error with one reason."""

import io
import logging
import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.large_pictures import blank_png

from inficond.core.images import UnreadableImage, decode, make_thumbnail, open_picture
from inficond.core.images.decode import supported_formats


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, np.full_like(x, 128)], -1).astype(np.uint8)


def saved(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    return path


def whole_jpeg() -> bytes:
    out = io.BytesIO()
    Image.fromarray(gradient(200, 300)).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm", "tga"])
def test_lossless_formats_are_decoded_exactly(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    np.testing.assert_array_equal(decode(saved(tmp_path / f"x.{suffix}", gradient(), **options)), gradient())


@pytest.mark.parametrize("suffix", ["jpg", "avif", "jp2", "gif"])
def test_lossy_formats_are_decoded_closely(tmp_path: Path, suffix: str) -> None:
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


def test_damaged_exif_is_ignored(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", gradient(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(path).shape == (40, 60, 3)


def test_cmyk_is_converted_with_a_remark(tmp_path: Path) -> None:
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
    for value in (np.nan, np.inf):
        grey[0, 0] = value
        with pytest.raises(UnreadableImage, match="not finite"):
            decode(saved(tmp_path / "y.tif", grey))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["png 16", "tif 16", "pgm 16", "j2k 16", "tif float", "tif 12"]),
    top=st.floats(0.05, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_grey_scale_does_not_depend_on_the_largest_value(
    tmp_path: Path, kind: str, top: float, seed: int
) -> None:
    """A pixel's result depends on its own value only."""
    shares = np.random.default_rng(seed).uniform(0, top, (20, 24))
    suffix, depth = kind.split()
    if depth == "float":
        path = saved(tmp_path / "x.tif", shares.astype(np.float32))
    elif depth == "12":
        path = tmp_path / "x.tif"
        path.write_bytes(tiff_12_bit(np.rint(4095 * shares).astype(int)))
    elif suffix == "pgm":
        path = tmp_path / "x.pgm"
        path.write_bytes(b"P5 24 20 65535\n" + np.rint(65535 * shares).astype(">u2").tobytes())
    else:
        path = saved(tmp_path / f"x.{suffix}", np.rint(65535 * shares).astype(np.uint16))
    got = decode(path)[..., 0].astype(float)
    assert np.abs(got - 255 * shares).max() <= (1 if suffix == "j2k" else 0.6)


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]),
    kind=st.sampled_from(["PNG", "TIFF", "WEBP", "BMP", "QOI"]),
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
)
def test_lossless_pictures_of_every_mode(mode: str, kind: str, seed: int, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 4), np.uint8)
    image = Image.fromarray(noise, "RGBA" if mode in ("RGBA", "LA") else None).convert(mode)
    out = io.BytesIO()
    try:
        image.save(out, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    except (OSError, KeyError, ValueError):  # a mode that the format does not store
        return
    rgba = Image.open(io.BytesIO(out.getvalue())).convert("RGBA")
    want = Image.new("RGB", rgba.size, "white")
    want.paste(rgba, mask=rgba.getchannel("A"))
    np.testing.assert_array_equal(np.asarray(open_picture(out).image), np.asarray(want))


def tiff_12_bit(values: np.ndarray) -> bytes:
    """A TIFF file of 12 bits per pixel."""
    height, width = values.shape
    rows = b""
    for row in values:
        bits = "".join(f"{v:012b}" for v in row)
        rows += int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")
    longs = {256: width, 257: height, 273: 8 + 2 + 9 * 12 + 4, 278: height, 279: len(rows)}
    shorts = {258: 12, 259: 1, 262: 1, 277: 1}
    entries = [struct.pack("<HHII", tag, 4, 1, v) for tag, v in longs.items()]
    entries += [struct.pack("<HHIHH", tag, 3, 1, v, 0) for tag, v in shorts.items()]
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    return b"II*\0" + struct.pack("<IH", 8, 9) + b"".join(entries) + struct.pack("<I", 0) + rows


def test_a_few_values_outside_the_scale_are_clipped_and_many_refused(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (100, 1))
    stray = grey.copy()
    stray[0, :3] = (1.002, -0.1, 30)
    got, want = decode(saved(tmp_path / "a.tif", stray)), decode(saved(tmp_path / "b.tif", grey))
    np.testing.assert_array_equal(got[1:], want[1:])
    assert got[0, :3, 0].tolist() == [255, 0, 255]
    for wrong, message in (
        (255 * grey, r"99 % .* above 1; .*scale of 0 to 1"),
        (grey - 0.5, "50 % .* below 0"),
    ):
        with pytest.raises(UnreadableImage, match=message):
            decode(saved(tmp_path / "c.tif", wrong))
    with pytest.raises(UnreadableImage, match="32-bit integers"):
        decode(saved(tmp_path / "d.tif", (grey * 2**30).astype(np.int32)))


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """The gradient as PNG, with chunks before and after its pixels."""
    out = io.BytesIO()
    Image.fromarray(gradient()).save(out, "PNG")
    data = out.getvalue()
    extra = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    at, end = data.index(b"IDAT") - 4, len(data) - 12
    return data[:at] + extra + data[at:end] + extra.replace(b"iCCP", b"teXt") + data[end:]


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["profile", "zTXt", "iTXt", "tEXt"]), min_size=1, max_size=4, unique=True),
    size=st.integers(0, 3_000_000),
)
def test_metadata_of_any_size_do_not_change_a_png(kinds: list[str], size: int) -> None:
    packed = zlib.compress(bytes(size))
    made = {
        "profile": (b"iCCP", b"name\0\0" + packed),
        "zTXt": (b"zTXt", b"workflow\0\0" + packed),
        "iTXt": (b"iTXt", b"prompt\0\1\0\0\0" + packed),
        "tEXt": (b"tEXt", b"parameters\0" + b"x" * size),
    }
    picture = open_picture(io.BytesIO(png_with(*(made[kind] for kind in kinds))))
    np.testing.assert_array_equal(np.asarray(picture.image), gradient())


def test_a_text_with_a_wrong_checksum_is_ignored() -> None:
    data = png_with((b"tEXt", b"comment\0abc")).replace(b"comment\0abc", b"comment\0abd")
    np.testing.assert_array_equal(np.asarray(open_picture(io.BytesIO(data)).image), gradient())


def test_the_orientation_of_a_png_with_a_large_profile_is_respected(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    path = saved(tmp_path / "x.png", gradient(), exif=exif, icc_profile=bytes(2_000_000))
    np.testing.assert_array_equal(decode(path), gradient()[::-1, ::-1])


def test_heic_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(gradient(64, 96))).save(tmp_path / "x.heic", quality=90)
    assert np.abs(decode(tmp_path / "x.heic").astype(int) - gradient(64, 96)).mean() < 6
    (tmp_path / "cut.heic").write_bytes((tmp_path / "x.heic").read_bytes()[:300])
    with pytest.raises(UnreadableImage, match="HEIC"):
        decode(tmp_path / "cut.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    supported_formats.cache_clear()
    try:
        with pytest.raises(UnreadableImage, match=r"a HEIC picture; install the extra `heif`.*or convert"):
            decode(tmp_path / "x.heic")
    finally:
        supported_formats.cache_clear()


def tiff_of_float_rgb() -> bytes:
    """A TIFF of three 32-bit floating-point channels, which Pillow does not read."""
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, "TIFF")
    return out.getvalue().replace(struct.pack("<HHH", 8, 8, 8), struct.pack("<HHH", 32, 32, 32))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"8BPS\0\1" + bytes(40), "Photoshop"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "video"),
        (b"\0\0\0\x18ftypcrx " + bytes(40), "camera raw"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "camera raw"),
        (bytes(128) + b"DICM" + bytes(40), "DICOM"),
        (b"PK\3\4" + bytes(40), "archive"),
        (b"\0\0\1\0\1\0" + bytes(40), "icon"),
        (whole_jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"), "JPEG of 12 bits"),
        (whole_jpeg().replace(b"\xff\xc0", b"\xff\xc3"), "lossless JPEG"),
        (tiff_of_float_rgb(), "kind of TIFF that cannot be read"),
    ],
)
def test_an_intact_file_of_another_format_is_not_reported_as_damaged(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage, match=kind) as caught:
        decode(tmp_path / "x.jpg")
    assert "damaged" not in caught.value.reason


def test_the_first_frame_of_an_animation_is_used(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    for suffix in ("gif", "webp", "png"):
        path = saved(tmp_path / f"x.{suffix}", frames[0], save_all=True, append_images=frames[1:])
        picture = open_picture(path)
        count = "3" if suffix in ("webp", "png") else "several"
        assert picture.remark == f"the first of {count} frames is used", suffix
        assert np.asarray(picture.image)[16, 16].argmax() == 0


def test_transparency_is_composed_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, :8] = (255, 0, 0, 255)
    got = decode(saved(tmp_path / "x.png", rgba))
    assert got[0, 0].tolist() == [255, 0, 0]
    assert got[0, 15].tolist() == [255, 255, 255]


def png_of(width: int, height: int) -> bytes:
    """A few bytes of PNG whose header states a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.jpg", b"", "empty file"),
        ("x.jpg", b"this is no picture, it is text", "a text file"),
        ("x.jpg", whole_jpeg()[:3000], "truncated file"),
        ("x.jpg", whole_jpeg()[:20], "not an image|damaged|truncated"),
        ("x.png", png_of(20_000, 20_000), "too large"),
        ("x.png", png_of(2**31 - 1, 2**31 - 1), "too large|damaged"),
        ("x.png", png_of(1, 1), "too small"),
        ("x.png", png_of(100, 100), "truncated|damaged"),
        ("x.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "a PostScript drawing"),
    ],
)
def test_an_unusable_file_is_refused_with_a_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImage, match=reason) as caught:
        decode(tmp_path / name)
    assert "\n" not in caught.value.reason


def states_gigabytes(kind: str) -> bytes:
    """A picture whose header states the number of bytes that follow as gigabytes."""
    if kind.startswith("PNG"):
        name = kind.removeprefix("PNG ").encode()
        return png_with((name, bytes(40))).replace(b"\x00\x00\x00\x28" + name, b"\xca\xa7\x00\x00" + name, 1)
    out = io.BytesIO()
    Image.fromarray(gradient()).save(out, "JPEG2000")
    data = out.getvalue()
    at = data.index(b"jp2h") - 4
    return data[:at] + b"\xca\xa7\x00\x00" + data[at + 4 :]


@pytest.mark.parametrize("kind", ["PNG iCCP", "PNG iTXt", "PNG abCd", "PNG fdAT", "JPEG 2000"])
def test_a_file_that_states_gigabytes_is_damaged_and_takes_no_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(states_gigabytes(kind))
    with pytest.raises(UnreadableImage, match=r"^(truncated file|damaged PNG picture)$"):
        decode(path)  # loads the modules that it uses
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage):
            decode(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_damaged_tiff_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a program that configures no logging
    path = saved(tmp_path / "x.tif", gradient())
    data = bytearray(path.read_bytes())
    directory = int.from_bytes(data[4:8], "little")
    for entry in range(directory + 2, directory + 2 + 12 * data[directory], 12):
        if int.from_bytes(data[entry : entry + 2], "little") == 277:  # SamplesPerPixel
            data[entry + 8 : entry + 12] = (65520).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match="TIFF"):
        decode(path)
    assert capfd.readouterr() == ("", "")


def test_a_whole_huge_png_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(blank_png(20_000, 20_000))
    with pytest.raises(UnreadableImage, match="too large"):
        decode(path)


def test_a_path_that_is_not_a_file_is_refused_with_a_reason(tmp_path: Path) -> None:
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


def test_a_jpeg_is_reduced_while_decoding_but_not_below_the_given_size(tmp_path: Path) -> None:
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
