"""The in-memory cache, and what the cache of a project keeps between two steps."""

import logging
import threading
from collections.abc import Callable

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.cache import PINNED, Cache
from inficond.core.errors import InputError
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]


def held(cache: Cache, keys: str) -> str:
    return "".join(key for key in keys if cache.find(key) is not None)


def test_the_least_recently_used_value_is_evicted_first() -> None:
    cache = Cache(3)
    for key in "abc":
        cache.put(key, key)
    assert cache.get("a", lambda: "remade") == "a"
    cache.put("d", "d")
    assert held(cache, "abcd") == "acd"


def test_pinned_values_stay_and_going_over_the_budget_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = Cache(10, "test cache", "raise it")
    with caplog.at_level(logging.WARNING):
        cache.put("p", 1, size=8, group=PINNED)
        cache.put("q", 2, size=8, group=PINNED)
        for key in "abcdef":
            cache.put(key, 3, size=1)
    assert held(cache, "pq") == "pq"
    assert held(cache, "abcdef") == "f"  # the newest is kept, however full the cache is
    assert cache.usage.over
    assert cache.usage.pinned == 16
    assert cache.usage.evictions == 5
    [record] = caplog.records
    assert "test cache" in record.getMessage()
    assert "raise it" in record.getMessage()


def test_the_group_used_last_is_evicted_only_after_another_was_used() -> None:
    cache = Cache(10)
    cache.put("a", 1, size=6, group=("added", "x"))
    cache.get("b", lambda: 2, lambda _: 6, group=("added", "x"))
    assert held(cache, "ab") == "ab"
    cache.get("c", lambda: 3, lambda _: 6, group=("added", "y"))
    assert held(cache, "abc") == "c"


def test_a_replaced_value_counts_once() -> None:
    cache = Cache(10)
    for size in (4, 7, 2):
        cache.put("a", size, size=size)
    assert cache.usage.size == 2
    assert cache.usage.entries == 1
    cache.clear()
    assert cache.usage.size == 0


def test_threads_that_ask_for_the_same_key_make_it_once() -> None:
    cache, made, begun = Cache(10), [], threading.Event()

    def make() -> int:
        made.append(1)
        begun.wait(10)
        return cache.get("inner", lambda: 7)

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("a", make))) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join(10)
    assert found == [7] * 4
    assert len(made) == 1


def test_a_failure_is_raised_where_it_happened_and_the_next_caller_tries_again() -> None:
    cache = Cache(10)
    with pytest.raises(ValueError, match="once"):
        cache.get("a", lambda: (_ for _ in ()).throw(ValueError("once")))
    assert cache.get("a", lambda: 1) == 1


def test_what_every_step_needs_survives_a_budget_that_is_too_small(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: at 50,000 images each preview evicted the curvature that the next one needed."""
    monkeypatch.setenv("INFICOND_CACHE_MB", "1")
    project = make_project(n=4000, k=64)
    session = project.session()
    cache = session.workspace.cache
    assert cache.usage.budget == 2**20 < session.workspace.pinned_bytes
    with caplog.at_level(logging.WARNING):
        session.preview("boat", Action("up", "c3"))
    first = cache.find(("curvature", ()))
    columns = session.columns
    assert first is not None
    assert cache.usage.over
    for concept in ("c1", "c2", "c4"):
        session.preview("bird", Action("mute", concept))
        session.apply("boat", Action("down", concept))
    assert cache.find(("curvature", ())) is first
    assert session.columns is columns
    assert any("INFICOND_CACHE_MB" in record.getMessage() for record in caplog.records)


def test_the_concepts_of_a_branch_with_added_words_are_not_remade_at_each_step(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFICOND_CACHE_MB", "1")
    project = make_project(n=4000, k=64)
    session = project.session()
    monkeypatch.setattr(session.context.words, "embedding", lambda word: np.float32(project.config["hidden"]))
    session.add_concept("hidden")
    session.preview("boat", Action("up", "hidden"))
    key = ("curvature", ("hidden",))
    first = session.workspace.cache.find(key)
    session.preview("bird", Action("mute", "c1"))
    session.apply("boat", Action("up", "hidden"))
    assert first is not None
    assert session.workspace.cache.find(key) is first


def test_the_default_budget_holds_what_every_step_needs(make_project: MakeProject) -> None:
    session = make_project(n=2000, k=32).session()
    for cls in session.classes:
        session.preview(cls, Action("up", "c3"))
        session.influence(cls)
    usage = session.workspace.cache.usage
    assert not usage.over
    assert usage.pinned <= session.workspace.pinned_bytes < usage.budget


@pytest.mark.parametrize("value", ["0", "-5", "lots", "1e3", "3.5", "9" * 30])
def test_a_budget_that_is_not_a_number_of_megabytes_is_refused(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("INFICOND_CACHE_MB", value)
    with pytest.raises(InputError, match="INFICOND_CACHE_MB"):
        make_project().session()
