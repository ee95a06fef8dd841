"""A page that closes: searches end at their next step."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from inficond.gradio_app.background import BackgroundThreads
from inficond.gradio_app.first_view import prepare_first_view
from inficond.gradio_app.rpc import RpcServer


def test_searches_of_a_closing_page_are_cancelled(rpc: RpcServer) -> None:
    hello = json.loads(rpc.answer("hello", {}))
    request = {"token": hello["token"], "selection": hello["selection"], "parts": ["tuning.suggestions"]}
    rpc.visitors.stop_background()
    read = json.loads(rpc.answer("read", request))
    assert read["failed"] == {"tuning.suggestions": "the page is closing"}


def test_the_first_view_ends_with_the_page(rpc: RpcServer, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: Ctrl+C waited up to 15 s for suggestions that were computed in advance."""
    visitor, _ = rpc.visitors.get()
    rpc.visitors.stop_background()
    # In a thread, as in a page, since it lowers the priority of its thread.
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(1) as thread:
        thread.submit(prepare_first_view, visitor, BackgroundThreads()).result()
    assert not caplog.records
    assert not visitor.session.changed
