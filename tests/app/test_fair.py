"""One who asks for everything at once waits for themselves; the others take their turns as if alone."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from inficond.gradio_app.request_queue import MAX_WAITING, FairQueue, QueueFull, RequestQueue


@pytest.fixture
def lane() -> Iterator[FairQueue]:
    made = FairQueue(4, "test")
    yield made
    made.close()


def test_a_visitor_who_floods_holds_one_thread(lane: FairQueue) -> None:
    gate = threading.Event()
    flood = [lane.submit("greedy", lambda: str(gate.wait(60))) for _ in range(MAX_WAITING)]
    others = [lane.submit(f"light {i}", lambda i=i: str(i)) for i in range(20)]
    assert [f.result(30) for f in others] == [str(i) for i in range(20)]
    assert not any(f.done() for f in flood)
    gate.set()
    assert [f.result(30) for f in flood] == ["True"] * MAX_WAITING


def test_visitors_take_turns() -> None:
    lane, order, gate = FairQueue(1, "test"), [], threading.Event()
    first = lane.submit("gate", lambda: str(gate.wait(60)))
    asked = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("b", 1)]
    futures = [lane.submit(who, lambda who=who, i=i: order.append((who, i)) or "") for who, i in asked]
    gate.set()
    for future in [first, *futures]:
        future.result(30)
    assert order == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("a", 2)]
    lane.close()


def test_too_many_are_refused_and_the_rest_are_answered(lane: FairQueue) -> None:
    gate = threading.Event()
    kept = [lane.submit("greedy", lambda: str(gate.wait(60))) for _ in range(MAX_WAITING + 1)]
    with pytest.raises(QueueFull, match="wait already"):
        lane.submit("greedy", lambda: "")
    gate.set()
    assert all(f.result(30) for f in kept)
    assert lane.submit("greedy", lambda: "again").result(30) == "again"


def test_newcomers_have_no_session_to_wait_for(lane: FairQueue) -> None:
    """Those without a token are many: they run side by side."""
    together = threading.Barrier(4)
    futures = [lane.submit(None, lambda: str(together.wait(30))) for _ in range(4)]
    assert sorted(f.result(30) for f in futures) == ["0", "1", "2", "3"]


def test_a_fault_or_a_cancelled_request_frees_its_thread(lane: FairQueue) -> None:
    def fails() -> str:
        raise ValueError("no")

    for _ in range(8):
        with pytest.raises(ValueError, match="no"):
            lane.submit("x", fails).result(30)
    gate = threading.Event()
    running = lane.submit("x", lambda: str(gate.wait(60)))
    waiting = lane.submit("x", lambda: "never")
    assert waiting.cancel()
    gate.set()
    assert running.result(30) == "True"
    assert lane.submit("x", lambda: "next").result(30) == "next"


def test_the_page_refuses_in_a_line() -> None:
    from inficond.gradio_app.rpc import _queued

    gate, lanes = threading.Event(), RequestQueue(lambda name, request: False)

    def method(request: Any) -> str:
        return str(gate.wait(60))

    async def flood() -> list[str]:
        call = _queued(lanes, method)
        asked = [asyncio.create_task(call({"token": "a-token-of-one"})) for _ in range(MAX_WAITING + 10)]
        await asyncio.sleep(0.2)
        gate.set()
        return list(await asyncio.gather(*asked))

    said = asyncio.run(flood())
    lanes.close()
    assert sum("too many of your requests" in s for s in said) == 9
    assert sum(s == "True" for s in said) == MAX_WAITING + 1
