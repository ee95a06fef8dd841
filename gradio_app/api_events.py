"""HTTP interface of the API endpoints, compatible with Gradio's clients.

A call is accepted with the id of an event; its result is delivered as a server-sent event, either on the
route of the event (``/gradio_api/call``) or on the stream of the client's session (``/gradio_api/queue``).
"""

import asyncio
import json
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from inficond.core.errors import InputError
from inficond.core.strict_json import parse_json
from inficond.gradio_app.api import Api
from inficond.gradio_app.guard import CALLER_KEY
from inficond.gradio_app.limits import API_CALLS, Budget, Caller, LimitExceeded
from inficond.gradio_app.serialization import to_json

RESULT_SECONDS = 120.0
"""Seconds for which the result of a call waits to be fetched."""
HEARTBEAT_SECONDS = 15.0
SESSION_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(eq=False)
class Event:
    """A call of an endpoint.

    Parameters
    ----------
    id : str
    session : str
        Session of the client, to whose stream the result belongs; the id itself for ``/gradio_api/call``.
    caller : Caller
    done : asyncio.Event
        Set when the call has ended.
    result : dict, optional
    error : str
        One line if the call failed.
    ended : float
        Time of the end.
    """

    id: str
    session: str
    caller: Caller
    done: asyncio.Event = field(default_factory=asyncio.Event)
    result: dict[str, Any] | None = None
    error: str = ""
    ended: float = 0.0


class ApiEvents:
    """The calls in progress and their results.

    Parameters
    ----------
    api : Api
    endpoint_of : callable
        Returns the endpoint of one of Gradio's function ids, or None.
    result_seconds : float
        See `RESULT_SECONDS`.
    """

    def __init__(
        self, api: Api, endpoint_of: Callable[[int], str | None], result_seconds: float = RESULT_SECONDS
    ) -> None:
        self._api = api
        self._endpoint_of = endpoint_of
        self._result_seconds = result_seconds
        self._events: OrderedDict[str, Event] = OrderedDict()
        self._budget = Budget(API_CALLS)
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._events)

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        return [
            Route("/gradio_api/queue/join", self.join, methods=["POST"]),
            Route("/gradio_api/queue/data", self.stream_session, methods=["GET"]),
            Route("/gradio_api/call/{endpoint}", self.call, methods=["POST"]),
            Route("/gradio_api/call/{endpoint}/{event}", self.stream_event, methods=["GET"]),
        ]

    async def join(self, request: Request) -> Response:
        """Accept a call from `gradio_client`."""
        body = await _json_body(request)
        if isinstance(body, Response):
            return body
        number, session = body.get("fn_index"), body.get("session_hash")
        is_id = isinstance(number, int) and not isinstance(number, bool)
        endpoint = self._endpoint_of(number) if is_id and number is not None else None
        if endpoint is None:
            return _refused("`fn_index` is not the id of an endpoint")
        if not isinstance(session, str) or not SESSION_PATTERN.fullmatch(session):
            return _refused("`session_hash` must be 1 to 64 letters, digits, - or _")
        return self._accept(request, endpoint, body, session)

    async def call(self, request: Request) -> Response:
        """Accept a call."""
        endpoint = request.path_params["endpoint"]
        if endpoint not in self._api.endpoints:
            return _refused("this endpoint does not exist", 404)
        body = await _json_body(request)
        return body if isinstance(body, Response) else self._accept(request, endpoint, body, None)

    def _accept(
        self, request: Request, endpoint: str, body: Mapping[str, Any], session: str | None
    ) -> Response:
        data = body.get("data")
        if not isinstance(data, list):
            return _refused("`data` must be the list of arguments")
        caller: Caller = request.scope[CALLER_KEY]
        self._forget_old()
        try:
            self._budget.reserve(caller)
        except LimitExceeded as error:
            return _refused(str(error), 429)
        event_id = secrets.token_hex(16)
        event = Event(event_id, session or event_id, caller)
        self._events[event.id] = event
        task = asyncio.create_task(self._run(event, endpoint, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return JSONResponse({"event_id": event.id})

    async def _run(self, event: Event, endpoint: str, data: list[Any]) -> None:
        try:
            event.result = await self._api.call(endpoint, data, event.caller)
        except InputError as error:
            event.error = str(error)
        except asyncio.CancelledError:
            event.error = "the page is closing"
        event.ended = time.monotonic()
        event.done.set()

    def _forget(self, event: Event) -> None:
        if self._events.pop(event.id, None) is not None:
            self._budget.release(event.caller)

    def _forget_old(self) -> None:
        limit = time.monotonic() - self._result_seconds
        for event in [e for e in self._events.values() if e.done.is_set() and e.ended < limit]:
            self._forget(event)

    # -- results

    async def stream_event(self, request: Request) -> Response:
        """Deliver the result of one call as the event ``complete`` or ``error``."""
        event = self._events.get(request.path_params["event"])
        if event is None or event.session != event.id:
            return _refused("this call does not exist, or its result was delivered already", 404)

        async def stream() -> AsyncIterator[str]:
            async for beat in _heartbeats(event):
                yield beat
            self._forget(event)
            if event.error:
                yield f"event: error\ndata: {json.dumps({'error': event.error})}\n\n"
            else:
                yield f"event: complete\ndata: {to_json([event.result])}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def stream_session(self, request: Request) -> Response:
        """Deliver the results of all calls of a session as Gradio's messages."""
        session = request.query_params.get("session_hash", "")
        if not any(e.session == session for e in self._events.values()):
            return _refused("this session has no call in progress", 404)

        async def stream() -> AsyncIterator[str]:
            while (
                event := next((e for e in self._events.values() if e.session == session), None)
            ) is not None:
                async for _ in _heartbeats(event):
                    yield _message({"msg": "heartbeat"})
                self._forget(event)
                output = (
                    {"error": event.error, "visible": True, "duration": 10, "title": "Error"}
                    if event.error
                    else {"data": [event.result], "is_generating": False}
                )
                message = {"msg": "process_completed", "event_id": event.id, "output": output}
                yield _message({**message, "success": not event.error})
            yield _message({"msg": "close_stream", "event_id": None})

        return StreamingResponse(stream(), media_type="text/event-stream")


async def _heartbeats(event: Event) -> AsyncIterator[str]:
    """Yield heartbeats until an event is done."""
    while not event.done.is_set():
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await event.done.wait()
        except TimeoutError:
            yield "event: heartbeat\ndata: null\n\n"


async def _json_body(request: Request) -> Mapping[str, Any] | Response:
    try:
        body = parse_json(await request.body())
    except ValueError as error:
        return _refused(f"the request is not valid JSON: {error}")
    return body if isinstance(body, Mapping) else _refused("the request must be a JSON object")


def _message(message: Mapping[str, Any]) -> str:
    return f"data: {to_json(message)}\n\n"


def _refused(reason: str, status: int = 400) -> Response:
    return PlainTextResponse(reason, status)
