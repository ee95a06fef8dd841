"""Decoding of pictures in processes with limits of memory and time."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.large_pictures import blank_png

from inficond.core.images import UnreadableImage, open_picture
from inficond.core.models.manifest import ImageInput
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.scheduler import Busy
from inficond.core.serving import picture_process
from inficond.core.serving.decoding import DecodingPool

IMAGE = ImageInput(file="graph.onnx", size=(48, 32), resize=(60, 40), crop=(48, 32), interpolation="bilinear")


def picture(width: int, height: int, seed: int = 0, kind: str = "PNG", **options: Any) -> bytes:
    """A picture of random blocks."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (max(1, height // 16), max(1, width // 16), 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize((width, height)).save(out, kind, **options)
    return out.getvalue()


LARGE = blank_png(9_000, 7_000)
"""A small file of 63 million pixels, which takes tenths of a second to decode."""


def with_pool(use: Callable[[DecodingPool], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        pool = DecodingPool(IMAGE, **options)
        try:
            return await use(pool)
        finally:
            pool.close()

    return asyncio.run(run())


def test_pixels_equal_those_of_this_process() -> None:
    preprocess = Preprocess(IMAGE)
    files = [picture(90, 70, i, kind) for i, kind in enumerate(("PNG", "JPEG", "WEBP", "GIF", "BMP") * 2)]

    async def use(pool: DecodingPool) -> list[np.ndarray]:
        return await asyncio.gather(*(pool.decode(file) for file in files))

    for file, pixels in zip(files, with_pool(use), strict=True):
        expected = preprocess(open_picture(io.BytesIO(file), preprocess.at_least).image)
        np.testing.assert_array_equal(pixels, expected)


async def small_picture(pool: DecodingPool) -> np.ndarray:
    """Decode a small picture; repeated, since a busy machine may need longer than the limit for it too."""
    for _ in range(50):
        try:
            return await pool.decode(picture(40, 40))
        except UnreadableImage as error:
            assert "s to decode" in str(error)  # noqa: PT017
    raise AssertionError("no small picture was answered")


def test_a_slow_picture_is_stopped_and_the_next_one_answered() -> None:
    async def use(pool: DecodingPool) -> None:
        await small_picture(pool)
        for _ in range(2):
            with pytest.raises(UnreadableImage, match=r"takes more than 0\.1 s to decode"):
                await pool.decode(LARGE)
        assert (await small_picture(pool)).shape == (48, 32, 3)

    with_pool(use, workers=1, seconds=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_worker_that_hangs_leaves_the_others_free() -> None:
    others = children()

    async def use(pool: DecodingPool) -> None:
        await asyncio.gather(*(pool.decode(picture(40, 40, seed)) for seed in range(4)))
        stopped = min(children() - others)
        os.kill(stopped, signal.SIGSTOP)
        try:
            both = [asyncio.ensure_future(pool.decode(picture(40, 40, seed))) for seed in range(2)]
            done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            assert (len(done), len(waiting)) == (1, 1)
            for seed in range(10):
                assert (await pool.decode(picture(40, 40, seed))).shape == (48, 32, 3)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert (await waiting.pop()).shape == (48, 32, 3)

    with_pool(use, workers=2, seconds=300)


def test_a_picture_that_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_process, "MEMORY", 200 << 20)

    async def use(pool: DecodingPool) -> None:
        for _ in range(2):
            with pytest.raises(UnreadableImage):
                await pool.decode(LARGE)
        assert (await pool.decode(picture(40, 40))).shape == (48, 32, 3)

    with_pool(use, workers=1)


def test_a_picture_that_finds_no_free_worker_is_refused_as_busy() -> None:
    async def use(pool: DecodingPool) -> None:
        slow = asyncio.ensure_future(pool.decode(LARGE))
        await asyncio.sleep(0)  # lets it take the only worker
        with pytest.raises(Busy):
            await pool.decode(picture(40, 40), patience=0.01)
        await slow

    with_pool(use, workers=1)


def test_closing_ends_the_workers() -> None:
    others = children()

    async def use(pool: DecodingPool) -> set[int]:
        await asyncio.gather(*(pool.decode(picture(20, 20, seed)) for seed in range(8)))
        return children() - others

    assert len(with_pool(use, workers=2)) == 2
    assert children() == others


def children() -> set[int]:
    """Decoding processes of this process that still run; those of a page of other tests may be among them."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line, parent = (
                status.read_bytes(),
                (status.parent / "stat").read_text().rsplit(")", 1)[1].split()[1],
            )
        except OSError:
            continue
        if b"decode_worker" in line and int(parent) == os.getpid():
            found.add(int(status.parent.name))
    return found
