"""The request queue: kinds do not delay each other, callers share fairly, and searches are put off."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inficond.core import processors
from inficond.gradio_app.jobs import Job, JobRunner
from inficond.gradio_app.limits import Caller
from inficond.gradio_app.request_queue import MAX_WAITING, FairQueue, QueueFull, RequestQueue, RetryLater
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.views import view_parts

LOCAL = Caller("127.0.0.1", "127.0.0.1:1")


def remote(number: int, connection: int = 0) -> Caller:
    return Caller(f"192.0.2.{number}", f"192.0.2.{number}:{connection}")


@pytest.fixture
def queue() -> Iterator[FairQueue]:
    made = FairQueue(4, "test")
    yield made
    made.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event that is set at the end, so that no thread waits forever."""
    event = threading.Event()
    yield event
    event.set()


def hold(gate: threading.Event) -> Callable[[], str]:
    return lambda: str(gate.wait(60))


def test_a_visitor_with_many_requests_occupies_one_thread(queue: FairQueue, gate: threading.Event) -> None:
    flood = [queue.submit(LOCAL, "greedy", hold(gate)) for _ in range(MAX_WAITING)]
    others = [queue.submit(LOCAL, f"light {i}", lambda i=i: str(i)) for i in range(20)]
    assert [f.result(30) for f in others] == [str(i) for i in range(20)]
    assert not any(f.done() for f in flood)
    gate.set()
    assert [f.result(30) for f in flood] == ["True"] * MAX_WAITING


def test_visitors_take_turns(gate: threading.Event) -> None:
    queue, order = FairQueue(1, "test"), []
    first = queue.submit(LOCAL, "gate", hold(gate))
    requests = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("b", 1)]
    futures = [
        queue.submit(LOCAL, who, lambda who=who, i=i: order.append((who, i)) or "") for who, i in requests
    ]
    gate.set()
    for future in [first, *futures]:
        future.result(30)
    assert {who for who, _ in order[:3]} == {"a", "b", "c"}
    assert order[-1] == ("a", 2)
    queue.close()


def test_addresses_take_turns_before_visitors_do(gate: threading.Event) -> None:
    """A client with a new visit for each request has the share of one address."""
    queue, order = FairQueue(1, "test"), []
    first = queue.submit(remote(1), "gate", hold(gate))
    futures = [queue.submit(remote(2), f"visit {i}", lambda: order.append("flood") or "") for i in range(40)]
    futures += [queue.submit(remote(3), "honest", lambda: order.append("honest") or "")]
    gate.set()
    for future in [first, *futures]:
        future.result(30)
    assert order.index("honest") <= 1
    queue.close()


def test_requests_without_a_visit_leave_threads_to_visitors(queue: FairQueue, gate: threading.Event) -> None:
    flood = [queue.submit(Caller("127.0.0.1", str(i)), None, hold(gate)) for i in range(30)]
    assert queue.submit(LOCAL, "known", lambda: "answered").result(30) == "answered"
    assert not any(f.done() for f in flood)


def test_a_cheap_request_precedes_expensive_ones_of_others(gate: threading.Event) -> None:
    """Sixteen huge images of sixteen visits do not delay a small one by sixteen turns."""
    queue, order = FairQueue(1, "test"), []
    first = queue.submit(LOCAL, "gate", hold(gate))
    futures = [
        queue.submit(LOCAL, f"visit {i}", lambda i=i: order.append(i) or "", cost=2.6) for i in range(16)
    ]
    futures.append(queue.submit(LOCAL, "small", lambda: order.append("small") or "", cost=0.1))
    gate.set()
    for future in [first, *futures]:
        future.result(30)
    assert order[0] == "small"
    queue.close()


def test_time_used_counts_against_a_visitor(gate: threading.Event) -> None:
    now = 0.0
    queue, order = FairQueue(1, "test", clock=lambda: now), []

    def long() -> str:
        nonlocal now
        now += 100.0
        return str(gate.wait(60))

    first = queue.submit(LOCAL, "busy", long)
    futures = [queue.submit(LOCAL, "busy", lambda: order.append("busy") or "")]
    futures += [queue.submit(LOCAL, "new", lambda i=i: order.append(f"new {i}") or "") for i in range(3)]
    gate.set()
    for future in [first, *futures]:
        future.result(30)
    assert order == ["new 0", "new 1", "new 2", "busy"]
    queue.close()


@pytest.mark.parametrize("fresh", [False, True], ids=["the same addresses", "ever new addresses"])
def test_cheap_requests_without_end_do_not_starve_a_visitor(gate: threading.Event, fresh: bool) -> None:
    """Regression: callers who came back began before a visitor who waited, who was never served."""
    now = 0.0
    queue, served = FairQueue(1, "test", clock=lambda: now), 0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    def flood(number: int) -> str:
        """Use a second; before it ends, the address asks again."""
        nonlocal served
        work(1.0)
        served += 1
        if served < 400:
            queue.submit(remote(number + served * fresh), None, lambda: flood(number), cost=0.05)
        return ""

    first = queue.submit(LOCAL, "honest", hold(gate))
    before = queue.submit(LOCAL, "honest", lambda: work(2.0), cost=0.1)
    for number in range(20):
        queue.submit(remote(1000 * number), None, lambda number=number: flood(number), cost=0.05)
    reached: list[int] = []
    queue.submit(LOCAL, "honest", lambda: reached.append(served), cost=0.1)
    gate.set()
    first.result(30)
    before.result(30)
    ended = time.monotonic() + 30
    while not reached and time.monotonic() < ended:
        time.sleep(0.01)
    assert reached[0] < 100, "two seconds of use are two turns of twenty addresses, and a few for the cost"
    queue.close()


def test_a_weighted_caller_has_the_smaller_share(gate: threading.Event) -> None:
    now = 0.0
    queue, order = FairQueue(1, "test", clock=lambda: now), []

    def work(name: str) -> None:
        nonlocal now
        now += 1.0
        order.append(name)

    futures: list[Future[Any]] = [queue.submit(LOCAL, "gate", hold(gate))]
    for _ in range(8):
        futures.append(queue.submit(remote(1), "heavy", lambda: work("heavy"), cost=1.0, weight=4.0))
        futures.append(queue.submit(remote(2), "light", lambda: work("light"), cost=1.0))
    gate.set()
    for future in futures:
        future.result(30)
    assert 1 <= order[:10].count("heavy") <= 2, order
    queue.close()


def test_surplus_requests_are_refused_and_the_others_answered(
    queue: FairQueue, gate: threading.Event
) -> None:
    accepted = [queue.submit(LOCAL, "greedy", hold(gate)) for _ in range(MAX_WAITING + 1)]
    with pytest.raises(QueueFull, match="wait for their turn"):
        queue.submit(LOCAL, "greedy", lambda: "")
    gate.set()
    assert all(f.result(30) for f in accepted)
    assert queue.submit(LOCAL, "greedy", lambda: "again").result(30) == "again"


def test_one_address_cannot_fill_the_queue(queue: FairQueue, gate: threading.Event) -> None:
    def flood() -> None:
        for i in range(2000):
            queue.submit(remote(1), f"visit {i}", hold(gate))

    with pytest.raises(QueueFull):
        flood()
    honest = queue.submit(remote(2), "honest", lambda: "answered")
    gate.set()
    assert honest.result(30) == "answered"


def test_a_fault_or_a_cancelled_request_frees_its_thread(queue: FairQueue, gate: threading.Event) -> None:
    def fails() -> str:
        raise ValueError("no")

    for _ in range(8):
        with pytest.raises(ValueError, match="no"):
            queue.submit(LOCAL, "x", fails).result(30)
    running = queue.submit(LOCAL, "x", hold(gate))
    waiting = queue.submit(LOCAL, "x", lambda: "never")
    assert waiting.cancel()
    gate.set()
    assert running.result(30) == "True"
    assert queue.submit(LOCAL, "x", lambda: "next").result(30) == "next"


def test_a_quick_request_is_answered_while_searches_wait(gate: threading.Event) -> None:
    queue = RequestQueue()

    async def run_all() -> list[str]:
        searches = [
            asyncio.create_task(queue.run("search", Caller("127.0.0.1", str(n)), None, hold(gate)))
            for n in range(200)
        ]
        await asyncio.sleep(0)
        quick = await asyncio.wait_for(queue.run("quick", LOCAL, None, lambda: "quick"), 60)
        assert not any(task.done() for task in searches)
        gate.set()
        return [quick, *await asyncio.gather(*searches)]

    assert asyncio.run(run_all()) == ["quick", *["True"] * 200]
    queue.close()


def test_a_search_that_gets_no_turn_is_put_off_and_one_that_has_begun_is_finished(
    gate: threading.Event,
) -> None:
    queue, begun = RequestQueue(search_seconds=0.2), []

    def search(number: int) -> int:
        begun.append(number)
        gate.wait(60)
        return number

    async def run_all() -> list[Any]:
        searches = [
            asyncio.create_task(queue.run("search", LOCAL, f"visit {n}", lambda n=n: search(n)))
            for n in range(20)
        ]
        while not all(task.done() for task in searches[len(begun) :]):
            await asyncio.sleep(0.05)
        gate.set()
        return await asyncio.gather(*searches, return_exceptions=True)

    results = asyncio.run(run_all())
    queue.close()
    assert begun
    assert results[: len(begun)] == begun
    assert all(isinstance(error, RetryLater) for error in results[len(begun) :])


def test_a_fault_reaches_its_caller() -> None:
    queue = RequestQueue()

    def fails() -> str:
        raise ValueError("of this request")

    with pytest.raises(ValueError, match="of this request"):
        asyncio.run(queue.run("quick", LOCAL, None, fails))
    queue.close()


def test_the_page_refuses_surplus_requests_with_one_line(rpc: RpcServer, gate: threading.Event) -> None:
    visitor, _ = rpc.visitors.get()
    rpc.ping = lambda visitor, request, caller: {"waited": gate.wait(60)}  # type: ignore[method-assign]

    async def flood() -> list[str]:
        request = {"token": visitor.token}
        tasks = [asyncio.create_task(rpc.call("ping", request, LOCAL)) for _ in range(MAX_WAITING + 10)]
        while sum(task.done() for task in tasks) < 9:
            await asyncio.sleep(0.01)
        gate.set()
        return list(await asyncio.gather(*tasks))

    responses = [json.loads(text) for text in asyncio.run(flood())]
    assert sum("too many requests wait" in r.get("error", "") for r in responses) == 9
    assert sum(r.get("waited") is True for r in responses) == MAX_WAITING + 1


@pytest.mark.parametrize(
    ("name", "request_", "kind"),
    [
        ("read", {"parts": ["tuning.suggestions"]}, "search"),
        ("read", {"parts": ["influence.rows", "tuning.missing"]}, "search"),
        ("read", {"parts": ["influence.rows", "instances.gallery"]}, "quick"),
        ("read", {"parts": ["no such part", 7, None]}, "quick"),
        ("read", {"parts": "tuning.missing"}, "quick"),
        ("read", {}, "quick"),
        ("apply", {"parts": ["tuning.suggestions"]}, "quick"),
        ("classify", {}, "image"),
    ],
)
def test_each_request_goes_through_the_queue_of_its_kind(
    rpc: RpcServer, name: str, request_: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    async def run(kind: str, caller: Caller, visit: str | None, work: Any, *share: float) -> str:
        used.append(kind)
        return "{}"

    monkeypatch.setattr(rpc.queue, "run", run)
    asyncio.run(rpc.call(name, request_, LOCAL))
    assert used == [kind]


def test_visits_without_a_step_share_searches_and_a_tuned_one_has_its_own(rpc: RpcServer) -> None:
    def call(name: str, **request: Any) -> dict[str, Any]:
        return dict(json.loads(rpc.answer(name, request)))

    slow = [n for n, p in view_parts().items() if p.slow]
    first = call("read", parts=slow)
    token, cls = first["token"], first["selection"]["cls"]
    second = call("read", parts=slow)
    assert second["token"] != token
    assert second["parts"] == first["parts"]
    visitor, _ = rpc.visitors.get(token)
    shared = rpc.visitors.shared_reader(visitor)
    assert shared is not visitor
    weights = visitor.session.influence(cls).weights
    action = {"kind": "mute", "concept": visitor.session.concepts[int(np.abs(weights).argmax())]}
    assert "error" not in call("apply", token=token, cls=cls, actions=[action])
    assert rpc.visitors.shared_reader(visitor) is visitor
    mine = call("read", token=token, parts=slow, selection={"cls": cls})
    others = call("read", token=second["token"], parts=slow, selection={"cls": cls})
    assert mine["parts"]["instances.values"] != others["parts"]["instances.values"]
    assert others["parts"] == first["parts"], "the step of another visit is not seen"
    call("undo", token=token)
    assert rpc.visitors.shared_reader(visitor) is shared


def test_a_job_of_a_stranger_ends_after_its_time() -> None:
    """Two jobs that never end would keep all others waiting."""
    queue = RequestQueue()
    runner = JobRunner(queue)
    try:

        def endless(job: Job) -> None:
            while True:
                job.advance()

        job = runner.start("visit", endless, LOCAL, seconds=0.05)
        while job.state == "running":
            time.sleep(0.01)
        assert (job.state, "was stopped" in job.line) == ("failed", True)
    finally:
        queue.close()


def test_closing_ends_the_jobs() -> None:
    queue = RequestQueue()
    runner = JobRunner(queue)
    begun = threading.Event()

    def endless(job: Job) -> None:
        begun.set()
        while True:
            job.advance()

    job = runner.start("visit", endless, LOCAL)
    assert begun.wait(30)
    runner.close()
    queue.close()
    while job.state == "running":
        time.sleep(0.01)
    assert job.state == "cancelled"


def test_the_page_starts_no_more_searches_than_a_quota_of_one_processor_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the page counted the machine's processors inside a container of one CPU."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "MEMBERSHIP", tmp_path / "self")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "cpu.max").write_text("100000 100000")
    queue, meeting = RequestQueue(), threading.Barrier(2)

    def meet() -> bool:
        """Return whether another search runs at the same time."""
        try:
            meeting.wait(0.5)
        except threading.BrokenBarrierError:
            return False
        return True

    searches = [queue.submit("search", remote(i), f"visit {i}", meet) for i in range(2)]
    assert [search.result(60) for search in searches] == [False, False]
