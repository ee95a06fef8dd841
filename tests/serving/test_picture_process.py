"""Decoding of pictures of strangers in child processes, for the page."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.large_pictures import blank_png

from inficond.core.images import UnreadableImage
from inficond.core.images import decode as decode_here
from inficond.core.serving.picture_process import PictureDecoder


@pytest.fixture(scope="module")
def decoder() -> Iterator[PictureDecoder]:
    made = PictureDecoder(processes=1, seconds=60)
    yield made
    made.close()


def test_pixels_equal_those_of_this_process(decoder: PictureDecoder, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    for kind in ("PNG", "JPEG", "WEBP"):
        Image.fromarray(pixels).save(tmp_path / kind, kind)
        np.testing.assert_array_equal(decoder.decode(tmp_path / kind), decode_here(tmp_path / kind))


def test_a_large_picture_is_reduced_in_the_process(decoder: PictureDecoder, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(blank_png(9_000, 6_500))
    assert decoder.decode(tmp_path / "large.png", 2_000).shape == (2167, 3000, 3)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_not_a_picture_is_refused(content: bytes, decoder: PictureDecoder, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage):
        decoder.decode(path)
    with pytest.raises(UnreadableImage):
        decoder.decode(tmp_path / "missing.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused(decoder: PictureDecoder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage):
        decoder.decode(tmp_path / "pipe.png")


def test_a_slow_picture_is_stopped_and_the_next_one_answered(tmp_path: Path) -> None:
    """A small file of 63 million pixels takes about a second."""
    (tmp_path / "slow.png").write_bytes(blank_png(9_000, 7_000))
    Image.new("RGB", (64, 64)).save(tmp_path / "quick.png")
    decoder = PictureDecoder(processes=1, seconds=0.3)
    try:
        for _ in range(2):
            with pytest.raises(UnreadableImage, match=r"takes more than 0\.3 s"):
                decoder.decode(tmp_path / "slow.png")
    finally:
        decoder.close()
    decoder = PictureDecoder(processes=1, seconds=60)
    try:
        assert decoder.decode(tmp_path / "quick.png").shape == (64, 64, 3)
    finally:
        decoder.close()
