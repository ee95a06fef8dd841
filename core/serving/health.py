"""Health check of a served student: a picture takes the same path as those of users."""

import asyncio
import io
import time
from dataclasses import asdict
from typing import Any

from PIL import Image

from inficond.core.errors import InputError
from inficond.core.images import UnreadableImage
from inficond.core.models.scheduler import Busy, Scheduler
from inficond.core.serving.decoding import DecodingPool

FRESH = 2.0
"""Seconds for which a good result is reused."""
PATIENCE = 15.0
"""Seconds within which the picture must be decoded and answered."""


def grey_picture() -> bytes:
    """Return a small grey picture as a PNG file."""
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (127, 127, 127)).save(out, "PNG")
    return out.getvalue()


class HealthCheck:
    """Health of a served student.

    Parameters
    ----------
    decoding : DecodingPool
    scheduler : Scheduler
    """

    def __init__(self, decoding: DecodingPool, scheduler: Scheduler) -> None:
        self._decoding, self._scheduler = decoding, scheduler
        self._picture = grey_picture()
        self._good_until = 0.0

    async def __call__(self) -> tuple[bool, dict[str, Any]]:
        """Send a picture through decoding and the queue, unless that succeeded a moment ago.

        Returns
        -------
        ok : bool
        state : dict
            Figures of the scheduler, `ok` and `reason`; no path and no text of an error.
        """
        state = {k: v for k, v in asdict(self._scheduler.health()).items() if k != "last_error"}
        if state["ok"] and time.monotonic() >= self._good_until:
            reason = await self._try()
            if reason:
                state |= {"ok": False, "reason": reason}
            else:
                self._good_until = time.monotonic() + FRESH
        return bool(state["ok"]), state

    async def _try(self) -> str:
        """Return the reason why the picture failed; empty if it succeeded."""
        try:
            async with asyncio.timeout(PATIENCE):
                try:
                    pixels = await self._decoding.decode(self._picture)
                except (Busy, UnreadableImage, InputError):
                    return "pictures are not decoded in time"
                await asyncio.wrap_future(self._scheduler.submit(pixels, patience=0.0))
        except Busy:
            return ""  # the queue is full but moves, or the scheduler itself would not be ok
        except TimeoutError:
            return f"the model did not answer within {PATIENCE:g} s"
        except (InputError, RuntimeError):
            return "the model does not answer"
        return ""
