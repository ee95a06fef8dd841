"""Listening sockets for local servers."""

import errno
import os
import socket

from inficond.core.errors import InputError

FIRST_PORT, PORTS = 7860, 100
_TAKEN = (errno.EADDRINUSE, errno.EACCES)
"""Errors of one port; another port of the same address may be free."""


def open_port(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on the wanted port, or on the first free one from 7860.

    Parameters
    ----------
    host : str
        Address or name of this machine.
    port : int or None

    Raises
    ------
    InputError
        None can be listened on.
    """
    wanted = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS)
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
        except (OSError, ValueError) as error:  # ValueError: the host is not a name at all
            listener.close()
            if getattr(error, "errno", None) not in _TAKEN or isinstance(error, socket.gaierror):
                raise InputError(_wrong_host(host, error)) from None
            if port is not None:
                raise InputError(_taken(host, port, error)) from None
    last = FIRST_PORT + PORTS - 1
    raise InputError(
        f"cannot listen on {host}: all ports from {FIRST_PORT} to {last} are in use; choose another --port"
    )


def _taken(host: str, port: int, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    is_reserved = getattr(error, "errno", None) == errno.EACCES and port < 1024
    return f"cannot listen on {host}:{port} ({reason}): choose another --port{', from 1024 on' * is_reserved}"


def _wrong_host(host: str, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    return (
        f"cannot listen on {host[:60]!r} ({reason}): --host is an address of this machine, such as 127.0.0.1 "
        "(this machine only) or 0.0.0.0 (others too)"
    )
