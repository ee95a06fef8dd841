"""Child process that runs one graph from elsewhere within a memory limit; started by `graph_process`.

Usage: ``python -m inficond.core.models.graph_worker DESCRIPTOR``. The descriptor is a connected socket. The
first message names the file and the limits. Each further message is one call. The process ends when its
parent closes the connection.
"""

import mmap
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.array_messages import decode, encode
from inficond.core.models.batching import is_out_of_memory
from inficond.core.models.graph_file import map_file
from inficond.core.models.local_session import LocalSession, first_line

LARGEST_ANSWER = 1 << 29
"""Bytes of all outputs of one call."""


def limit_memory(limit: int) -> bool:
    """Limit the memory that this process can allocate; return whether the limit works.

    Linux counts private writable memory against RLIMIT_DATA. Where that has no effect, the limit is set on
    the address space. macOS accepts both and enforces neither; Windows has no `resource` module.

    Parameters
    ----------
    limit : int
        Bytes.
    """
    try:
        import resource
    except ImportError:
        return False
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError):
            continue
        try:
            mmap.mmap(-1, limit, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        except OSError:
            return True
    return False


def open_graph(request: dict[str, Any]) -> LocalSession:
    """Open the graph that the first message names."""
    path, inputs = Path(request["path"]), {name: tuple(shape) for name, shape in request["inputs"].items()}
    return LocalSession(map_file(path), str(path), request["provider"], request["threads"], inputs)


def answer(session: LocalSession, message: bytes) -> bytes:
    """Run one call and encode its outputs, or the error."""
    call, feeds = decode(message)
    try:
        names = call["outputs"] if call["outputs"] is not None else list(session.outputs)
        # Arrays in a message may be unaligned.
        outputs = session.run({name: np.array(array) for name, array in feeds.items()}, names)
        if sum(array.nbytes for array in outputs) > LARGEST_ANSWER:
            raise MemoryError(f"out of memory: its outputs are larger than {LARGEST_ANSWER >> 20} MiB")
        return encode({"id": call["id"]}, dict(zip(names, outputs, strict=True)))
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        return encode({"id": call["id"], "error": first_line(error), "memory": is_out_of_memory(error)})


def main(descriptor: int) -> None:
    """Open the graph, then answer calls until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    connection = Connection(descriptor)
    request, _ = decode(connection.recv_bytes())
    if not limit_memory(request["memory"]):
        connection.send_bytes(encode({"unlimited": True}))
        return
    try:
        session = open_graph(request)
    except InputError as error:
        connection.send_bytes(encode({"error": str(error), "memory": is_out_of_memory(error)}))
        return
    connection.send_bytes(
        encode(
            {
                "provider": session.provider,
                "threads": session.threads,
                "inputs": {name: [kind, list(shape)] for name, (kind, shape) in session.inputs.items()},
                "outputs": list(session.outputs),
            }
        )
    )
    sending = threading.Lock()

    def call(message: bytes) -> None:
        reply = answer(session, message)
        with sending:
            connection.send_bytes(reply)

    pool = ThreadPoolExecutor(request["calls"])
    while True:
        try:
            pool.submit(call, connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)  # without waiting for calls that may never end


if __name__ == "__main__":
    main(int(sys.argv[1]))
