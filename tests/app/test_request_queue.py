"""Searches never hold up what a person waits for, and what newcomers share is never a tuned visitor's."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from inficond.core import Project
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue, RetryLater
from inficond.gradio_app.rpc import RpcServer, _is_slow
from inficond.gradio_app.views import view_parts
from inficond.gradio_app.visitor import VisitorRegistry


@pytest.fixture
def bridge(small_project: Project) -> Iterator[RpcServer]:
    pictures = PageFiles()
    made = RpcServer(VisitorRegistry(small_project, pictures), pictures.uploads)
    yield made
    made.queue.close()
    pictures.close()


def test_a_quick_answer_overtakes_searches() -> None:
    """Far more searches than threads are stuck; a quick request is answered all the same."""
    gate, lanes = threading.Event(), RequestQueue(lambda name, request: request["slow"])

    def answer(request: Any) -> str:
        if request["slow"]:
            assert gate.wait(60)
        return str(request["n"])

    async def all_of_them() -> list[str]:
        searches = [
            asyncio.create_task(lanes.run("read", answer, {"slow": True, "n": n})) for n in range(200)
        ]
        await asyncio.sleep(0)
        quick = await asyncio.wait_for(lanes.run("read", answer, {"slow": False, "n": "quick"}), 60)
        assert not any(task.done() for task in searches)
        gate.set()
        return [quick, *await asyncio.gather(*searches)]

    assert asyncio.run(all_of_them()) == ["quick", *map(str, range(200))]
    lanes.close()


def test_a_search_whose_turn_does_not_come_is_put_off_and_what_has_begun_is_waited_for() -> None:
    gate, lanes = threading.Event(), RequestQueue(lambda name, request: True, patience=0.2)
    begun: list[int] = []

    def answer(request: Any) -> str:
        begun.append(request["n"])
        assert gate.wait(60)
        return str(request["n"])

    async def all_of_them() -> list[Any]:
        searches = [asyncio.create_task(lanes.run("read", answer, {"n": n})) for n in range(20)]
        while not all(task.done() for task in searches[len(begun) :]):
            await asyncio.sleep(0.05)
        gate.set()
        return await asyncio.gather(*searches, return_exceptions=True)

    said = asyncio.run(all_of_them())
    lanes.close()
    assert begun
    assert said[: len(begun)] == [str(n) for n in begun]
    assert all(isinstance(error, RetryLater) for error in said[len(begun) :])


def test_a_fault_reaches_the_one_who_asked() -> None:
    lanes = RequestQueue(lambda name, request: False)

    def fails(request: Any) -> str:
        raise ValueError("of this request")

    with pytest.raises(ValueError, match="of this request"):
        asyncio.run(lanes.run("read", fails, {}))
    lanes.close()


@pytest.mark.parametrize(
    ("name", "request_", "slow"),
    [
        ("read", {"parts": ["tuning.suggestions"]}, True),
        ("read", {"parts": ["influence.rows", "tuning.missing"]}, True),
        ("read", {"parts": ["influence.rows", "instances.gallery"]}, False),
        ("read", {"parts": ["no such part", 7, None]}, False),
        ("read", {"parts": "tuning.missing"}, False),
        ("read", {}, False),
        ("apply", {"parts": ["tuning.suggestions"]}, False),
    ],
)
def test_which_requests_are_searches(name: str, request_: dict[str, Any], slow: bool) -> None:
    assert _is_slow(name, request_) is slow


def test_newcomers_share_searches_and_a_tuned_visitor_has_their_own(bridge: RpcServer) -> None:
    slow = [n for n, p in view_parts().items() if p.slow]
    first = json.loads(bridge.read({"parts": slow}))
    token, cls = first["token"], first["selection"]["cls"]
    second = json.loads(bridge.read({"parts": slow}))
    assert second["token"] != token
    assert second["parts"] == first["parts"]
    visitor, _ = bridge.visitors.get(token)
    shared = bridge.visitors.shared_reader(visitor)
    assert shared is not visitor
    weights = visitor.session.influence(cls).weights
    word = visitor.session.concepts[int(np.abs(weights).argmax())]
    action = {"kind": "mute", "concept": word}
    assert "error" not in json.loads(bridge.apply({"token": token, "cls": cls, "actions": [action]}))
    assert bridge.visitors.shared_reader(visitor) is visitor
    selection = {"cls": cls}
    mine = json.loads(bridge.read({"token": token, "parts": slow, "selection": selection}))
    theirs = json.loads(bridge.read({"token": second["token"], "parts": slow, "selection": selection}))
    assert mine["parts"]["instances.values"] != theirs["parts"]["instances.values"]
    assert theirs["parts"] == first["parts"], "another's step is not seen"
    assert not shared.session.changed
    bridge.undo({"token": token})
    assert bridge.visitors.shared_reader(visitor) is shared
