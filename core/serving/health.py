"""Health check of a served student: a picture goes through the same queue as requests."""

import asyncio
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.scheduler import Busy

FRESH = 10.0
"""Seconds for which a result is reused."""
PATIENCE = 15.0
"""Seconds within which the trial must end."""
GREY = 127


async def student_health(predictor: Any, scheduler: Any, last: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """The health of a served student: a picture goes through its own queue, at most once in `FRESH` seconds.

    Parameters
    ----------
    predictor : Predictor
    scheduler : Scheduler
    last : dict
        Kept by the caller from one asking to the next.

    Returns
    -------
    ok : bool
    said : dict
        Figures of the scheduler and, where it is not ok, why; no path, no error's text.
    """
    state = scheduler.health()
    said = {k: v for k, v in asdict(state).items() if k != "last_error"}
    now = time.monotonic()
    fresh = last.get("well", False) and now - last["tried"] < FRESH
    if state.ok and not fresh:
        last["tried"], last["well"] = now, False
        try:
            pixels = np.full((*predictor.preprocess.size, 3), GREY, np.uint8)
            future = scheduler.submit(pixels, patience=0.0)
            await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE)
            last["well"] = True
        except Busy:
            last["well"] = True  # full, and moving: the scheduler would say so if it were not
        except TimeoutError:
            said |= {"ok": False, "reason": f"the model gave no answer for {PATIENCE:g} s"}
        except (InputError, RuntimeError):
            said |= {"ok": False, "reason": "the model does not answer"}
    return bool(said["ok"]), said
