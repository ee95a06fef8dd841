"""Listening sockets for local servers."""

import os
import socket

from inficond.core.errors import InputError

FIRST_PORT, PORTS = 7860, 100


def open_port(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on the wanted port, or on the first free one from 7860.

    Raises
    ------
    InputError
        None can be listened on.
    """
    wanted = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS)
    reason = ""
    for number in wanted:
        if not 0 < number < 65536:
            raise InputError(f"--port {number}: a port is a number from 1 to 65535")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio switches Nagle's algorithm off only if the protocol is named; it delays responses by 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":  # or a port that a server has just left counts as taken for a minute
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, number))
            listener.listen()
            return listener
        except OSError as error:
            listener.close()
            reason = error.strerror or str(error)
    if port is not None:
        raise InputError(f"cannot listen on {host}:{port} ({reason}): choose another --port")
    raise InputError(f"cannot listen on {host} ({reason}): choose another --host")
