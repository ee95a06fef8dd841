"""Child process that runs one graph from elsewhere within a memory limit; started by `graph_process`.

The first message names the file and the limits. Each further message is one call. The process ends when its
parent closes the channel.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.batching import is_out_of_memory
from inficond.core.models.child_process import LARGEST_MESSAGE, Channel, limit_memory, parent_channel
from inficond.core.models.graph_file import map_file, verified
from inficond.core.models.load_failure import load_failure
from inficond.core.models.local_session import LocalSession

LARGEST_ANSWER = LARGEST_MESSAGE // 2
"""Bytes of all outputs of one call."""


def open_graph(request: dict[str, Any]) -> LocalSession:
    """Open the graph that the first message names."""
    path, inputs = Path(request["path"]), {name: tuple(shape) for name, shape in request["inputs"].items()}
    content = verified(path, map_file(path), request["sha256"])
    return LocalSession(content, str(path), request["provider"], request["threads"], inputs, False)


def answer(
    channel: Channel, session: LocalSession, call: dict[str, Any], feeds: dict[str, np.ndarray]
) -> None:
    """Run one call and send its outputs, or the error."""
    try:
        # Arrays in a message may be unaligned.
        outputs = session.run({name: np.array(array) for name, array in feeds.items()}, call["outputs"])
        if sum(array.nbytes for array in outputs) > LARGEST_ANSWER:
            raise MemoryError(f"out of memory: its outputs are larger than {LARGEST_ANSWER >> 20} MiB")
        channel.send({"id": call["id"]}, dict(zip(call["outputs"], outputs, strict=True)))
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        channel.send({"id": call["id"], "error": load_failure(error), "memory": is_out_of_memory(error)})


def main() -> None:
    """Open the graph, then answer calls until the parent closes the channel."""
    channel = parent_channel()
    request, _ = channel.receive()
    if not limit_memory(request["memory"]):
        channel.send({"unlimited": True})
        return
    try:
        session = open_graph(request)
    except InputError as error:
        channel.send({"error": str(error), "memory": is_out_of_memory(error)})
        return
    channel.send(
        {
            "provider": session.provider,
            "threads": session.threads,
            "inputs": {name: [kind, list(shape)] for name, (kind, shape) in session.inputs.items()},
            "outputs": list(session.outputs),
        }
    )
    pool = ThreadPoolExecutor(request["calls"])
    while True:
        try:
            pool.submit(answer, channel, session, *channel.receive())
        except EOFError:
            os._exit(0)  # without waiting for calls that may never end


if __name__ == "__main__":
    main()
