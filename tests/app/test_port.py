"""Which port a page is opened on."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.serving.ports import open_port
from inficond.gradio_app.app import Page, build_page


@pytest.fixture
def just_left() -> int:
    """Return a port of loopback whose server has ended with a connection in the state TIME_WAIT."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = int(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)) as visitor:
            there, _ = server.accept()
            there.close()  # the side that closes first enters TIME_WAIT
            assert visitor.recv(1) == b""
    return port


def test_a_page_is_served_on_a_port_that_a_server_has_just_left(
    just_left: int, small_project: Project
) -> None:
    open_port("127.0.0.1", just_left).close()
    page = build_page(small_project)
    try:
        url = page.start(port=just_left)
        assert url == f"http://127.0.0.1:{just_left}/"
        assert httpx.get(url).status_code == 200
    finally:
        page.close()


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port} .*choose another --port"):
            open_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a" * 70, "..", "localhost:80"])
@pytest.mark.parametrize("port", [None, 8080])
def test_a_host_that_is_not_this_machine_is_refused(host: str, port: int | None) -> None:
    with pytest.raises(InputError, match=r"cannot listen on .*: --host is an address of this machine"):
        open_port(host, port)


def test_pages_started_at_the_same_time_get_different_ports(small_project: Project) -> None:
    pages = [build_page(small_project) for _ in range(4)]
    together = threading.Barrier(len(pages))

    def start(page: Page) -> str:
        together.wait()
        return page.start()

    try:
        with ThreadPoolExecutor(len(pages)) as pool:
            urls = list(pool.map(start, pages))
        assert len(set(urls)) == len(pages)
        assert [httpx.get(url).status_code for url in urls] == [200] * len(pages)
    finally:
        for page in pages:
            page.close()


def test_the_first_free_port_is_taken() -> None:
    with open_port("127.0.0.1", None) as first, open_port("127.0.0.1", None) as second:
        assert second.getsockname()[1] > first.getsockname()[1]


def test_small_responses_are_sent_at_once() -> None:
    """With Nagle's algorithm, the body of each response came 40 ms after its headers."""
    listener = open_port("127.0.0.1", None)

    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            at = writer.get_extra_info("socket")
            found.set_result(at.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(connected, sock=listener):
            with socket.create_connection(listener.getsockname()):
                return await found

    assert asyncio.run(accepted()) == 1
