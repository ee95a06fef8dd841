"""Routes of a served student.

``POST /predict`` with the bytes of a picture, or a form with one file, answers
``{"probabilities": {class: p}, "yes": [class, …]}``. ``GET /health`` answers 200 while pictures are answered,
503 otherwise. ``GET /`` describes the student. Requests that arrive together run in one batch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from inficond.core.errors import InputError
from inficond.core.images import UnreadableImage
from inficond.core.models.predictor import Predictor
from inficond.core.models.scheduler import Busy, Scheduler
from inficond.core.serving.decoding import DecodingPool
from inficond.core.serving.forms import NoPicture, picture_in, sending_advice
from inficond.core.serving.health import HealthCheck
from inficond.core.serving.hosts import SameOrigin
from inficond.core.serving.limits import Bodies
from inficond.core.serving.routes import SERVE_ROUTES

PATIENCE = 2.0
"""Seconds that a request waits for a place in a full queue."""
ANSWER_SECONDS = 60.0


def build_service(
    predictor: Predictor,
    batch_size: int = 8,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    bodies: Bodies | None = None,
) -> FastAPI:
    """Build the application that serves one student.

    Parameters
    ----------
    predictor : Predictor
        The exported student.
    batch_size : int
        Largest number of pictures in a batch.
    host : str
        Address that the server listens on.
    names : tuple of str
        Further host names that requests may be addressed to.
    bodies : Bodies, optional
        Limits of request bodies.

    Returns
    -------
    FastAPI
        Its scheduler and its decoding processes start and end with it.
    """
    bodies = bodies or Bodies()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        decoding = DecodingPool(predictor.preprocess.image)
        try:
            with Scheduler(predictor.predict, batch_size=batch_size, patience=PATIENCE) as scheduler:
                app.state.scheduler, app.state.decoding = scheduler, decoding
                app.state.health = HealthCheck(decoding, scheduler)
                yield
        finally:
            decoding.close()

    app = FastAPI(
        title="InFiConD student", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.add_middleware(SameOrigin, listens=host, names=names)

    async def describe() -> dict[str, object]:
        return {
            "classes": predictor.classes,
            "concepts": predictor.concepts,
            "link": predictor.link,
            "provider": predictor.provider,
            "provenance": predictor.provenance,
            "predict": "POST the bytes of one picture, or a form with one file, to /predict",
        }

    async def health() -> dict[str, object]:
        ok, state = await app.state.health()
        if not ok:
            raise HTTPException(503, state["reason"])
        return state

    async def predict(request: Request) -> dict[str, object]:
        kind = request.headers.get("content-type", "")
        try:
            async with bodies.body(request) as body:
                picture = picture_in(body, kind)
                pixels = await app.state.decoding.decode(picture)
            queued = await asyncio.to_thread(app.state.scheduler.submit, pixels)
            row = await asyncio.wait_for(asyncio.wrap_future(queued), ANSWER_SECONDS)
        except UnreadableImage as error:
            raise HTTPException(
                400, f"the picture cannot be read: {error.reason}{sending_advice(kind)}"
            ) from None
        except NoPicture as error:
            raise HTTPException(400, str(error)) from None
        except Busy as error:
            raise HTTPException(429, str(error), headers={"Retry-After": "1"}) from None
        except TimeoutError:
            raise HTTPException(503, f"no answer within {ANSWER_SECONDS:g} s: see /health") from None
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        probabilities = {c: float(p) for c, p in zip(predictor.classes, row, strict=True)}
        yes = [c for c, p, t in zip(predictor.classes, row, predictor.thresholds, strict=True) if p >= t]
        return {"probabilities": probabilities, "yes": yes}

    endpoints: dict[str, Callable[..., Any]] = {"/": describe, "/health": health, "/predict": predict}
    for route in SERVE_ROUTES:
        app.add_api_route(route.path, endpoints[route.path], methods=[route.method])
    return app
