"""Connections to Ray: a cluster that runs already, or workers on this machine alone."""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import Any

from inficond.core.errors import InputError, first_line

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 5
ANSWER_SECONDS = 40
"""Longest time in which a cluster must answer."""
STARTS = 3
"""Attempts to start Ray on this machine."""
OBJECT_STORE = 128 << 20
"""Bytes of Ray's object store on this machine; shards do not pass through it."""


def import_ray() -> Any:
    """Import Ray with its usage statistics switched off.

    Raises
    ------
    InputError
        It is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f'--engine ray needs the extra `ray` (pip install "inficond[ray]"): {first_line(error)}'
        ) from None
    return ray


def check_address(address: str) -> None:
    """Check that a cluster answers at an address, within `ANSWER_SECONDS`.

    A process of its own asks, because Ray's client can block without end and ignores signals meanwhile.

    Parameters
    ----------
    address : str
        ``HOST:PORT``.

    Raises
    ------
    InputError
        The address is malformed, or nothing or something else answers there.
    """
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536) or "/" in host:
        raise InputError(
            f"--address: {address!r:.100} is neither HOST:PORT nor auto; run the command inside the cluster"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"no Ray cluster answers at {address} ({first_line(error)}): start one with `ray start --head`, "
            "or correct --address"
        ) from None
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        raise InputError(
            f"what listens at {address} does not answer as a Ray cluster does: correct --address, and set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN if the cluster has a token"
        )


@contextlib.contextmanager
def connection(address: str | None, processors: int | None = None) -> Iterator[Any]:
    """Connect to a cluster, or start workers on this machine whose servers listen on loopback alone.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT`` or ``auto`` of a running cluster of which this machine is a part.
    processors : int, optional
        Of this machine, where no address is given.

    Yields
    ------
    module
        Ray, connected.

    Raises
    ------
    InputError
        Ray is not installed, or there is no such cluster.
    """
    ray = import_ray()
    quiet = {"logging_level": "error", "log_to_driver": False}
    folder = None
    try:
        if address is None:
            folder = tempfile.mkdtemp(prefix="inficond-ray-")
            options: dict[str, Any] = {
                "address": "local",
                "num_cpus": processors,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE,
                "_node_ip_address": LOOPBACK,
                # Paths of sockets have at most 107 characters.
                "_temp_dir": folder if len(folder) < 40 else None,
            }
        else:
            if address != "auto":
                check_address(address)
            options = {"address": address}
        _start(ray, {**options, **quiet}, STARTS if address is None else 1)
        # Ray prints the end of a worker to stdout, where `--json` has one object and nothing else.
        with contextlib.redirect_stdout(_Discard()):
            try:
                yield ray
            finally:
                ray.shutdown()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class _Discard(io.TextIOBase):
    """A stream that keeps nothing."""

    def write(self, text: str, /) -> int:
        """Take text."""
        return len(text)


def _start(ray: Any, options: dict[str, Any], attempts: int) -> None:
    """Connect; Ray gives up a start of its own after 30 seconds, which a busy machine can exceed."""
    for left in reversed(range(attempts)):
        try:
            ray.init(**options)
            return
        except Exception as error:  # of many types, from the network to versions that differ
            _end_processes(error)
            ray.shutdown()
            if not left:
                place = "on this machine" if options["address"] == "local" else f"at {options['address']}"
                raise InputError(f"cannot join the Ray cluster {place}: {first_line(error, 300)}") from error


def _end_processes(error: Exception) -> None:
    """End the processes of a start that has failed; Ray itself keeps them until Python ends."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if node is not None and hasattr(node, "kill_all_processes"):
            node.kill_all_processes(check_alive=False, allow_graceful=False)
            return
