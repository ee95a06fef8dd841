"""Which port a page is opened on."""

import socket

import pytest

from inficond.core.errors import InputError
from inficond.gradio_app.serve import free_port


@pytest.fixture
def just_left() -> int:
    """A port of loopback whose server has ended with a connection not yet forgotten (TIME_WAIT)."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = int(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)) as visitor:
            there, _ = server.accept()
            there.close()  # who closes first waits
            assert visitor.recv(1) == b""
    return port


def test_a_port_that_a_server_has_just_left_is_not_free_to_a_page(just_left: int) -> None:
    assert free_port("127.0.0.1", just_left, reuse=True) == just_left
    with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{just_left} .*choose another --port"):
        free_port("127.0.0.1", just_left)


def test_the_first_free_port_is_taken() -> None:
    with socket.socket() as taken:
        first = free_port("127.0.0.1", None)
        taken.bind(("127.0.0.1", first))
        assert free_port("127.0.0.1", None) > first
