"""Fixtures of the tests of the page."""

from collections.abc import Iterator

import pytest

from inficond.core import Project
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.visitor_registry import VisitorRegistry


@pytest.fixture
def files() -> Iterator[PageFiles]:
    """The files of a page."""
    made = PageFiles()
    yield made
    made.close()


@pytest.fixture
def rpc(small_project: Project, files: PageFiles) -> Iterator[RpcServer]:
    """The remote procedures of a page on the small project, without a server."""
    made = RpcServer(VisitorRegistry(small_project, files), RequestQueue(), OwnerKey(False))
    made.visitors.disable_saving()
    yield made
    made.queue.close()
    made.visitors.close()
