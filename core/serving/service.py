"""An exported student over HTTP: one picture in, class probabilities out; for edge boxes and other programs.

``POST /predict`` with the picture's bytes as the body answers
``{"probabilities": {class: p}, "yes": [class, …]}``. ``GET /health`` answers 200 while the student really
answers (a grey picture goes through the queue), 503 otherwise.
``GET /`` says what the student is. Requests that come together run together (see
`core.models.scheduler`).
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from inficond.core.errors import InputError
from inficond.core.images import UnreadableImage, open_picture
from inficond.core.models.predictor import Predictor
from inficond.core.models.scheduler import Busy, Scheduler
from inficond.core.serving.health import student_health

MAX_BYTES = 32 << 20
PATIENCE = 2.0
"""Seconds that a request waits for a place in a full queue before it is told to come back."""


def build_service(predictor: Predictor, batch_size: int = 8) -> FastAPI:
    """The application that answers for one student.

    Parameters
    ----------
    predictor : Predictor
        The exported student.
    batch_size : int
        Most pictures run at once.

    Returns
    -------
    FastAPI
        Its scheduler starts and ends with it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with Scheduler(predictor.predict, prepare, batch_size=batch_size, patience=PATIENCE) as scheduler:
            app.state.scheduler = scheduler
            yield

    def prepare(body: bytes) -> np.ndarray:
        return predictor.preprocess(open_picture(io.BytesIO(body), predictor.preprocess.at_least).image)

    app = FastAPI(title="InFiConD student", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.get("/")
    def describe() -> dict[str, object]:
        return {
            "classes": predictor.classes,
            "concepts": predictor.concepts,
            "link": predictor.link,
            "provider": predictor.provider,
            "provenance": predictor.provenance,
            "predict": "POST the bytes of one picture to /predict",
        }

    tried: dict[str, object] = {}

    @app.get("/health")
    async def health() -> dict[str, object]:
        ok, said = await student_health(predictor, app.state.scheduler, tried)
        if not ok:
            raise HTTPException(503, said["reason"])
        return said

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, object]:
        body = await _body(request)
        try:
            row = await run_in_threadpool(app.state.scheduler.ask, body, 60.0)
        except UnreadableImage as error:
            raise HTTPException(400, f"the body is no picture that can be read: {error.reason}") from None
        except Busy as error:
            raise HTTPException(429, str(error), headers={"Retry-After": "1"}) from None
        except TimeoutError:
            raise HTTPException(503, "no answer within a minute: see /health") from None
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        probabilities = {c: float(p) for c, p in zip(predictor.classes, row, strict=True)}
        sure = [c for c, p, t in zip(predictor.classes, row, predictor.thresholds, strict=True) if p >= t]
        return {"probabilities": probabilities, "yes": sure}

    return app


async def _body(request: Request) -> bytes:
    """The request's body, refused as soon as it is known to be too large."""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > MAX_BYTES:
            raise HTTPException(413, f"a picture may have at most {MAX_BYTES >> 20} MB")
        parts.append(part)
    if not total:
        raise HTTPException(400, "the body is empty: POST the bytes of one picture")
    return b"".join(parts)
