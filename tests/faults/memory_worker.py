"""Run by test_limits.py in a process of its own: two visitors, and memory that runs out under one of them."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core import Project
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.rpc import OUT_OF_MEMORY, RpcServer
from inficond.gradio_app.visitor import VisitorRegistry


def main(path: Path) -> None:
    """Starve one visitor's step; say what became of both."""
    project = Project.open(path)
    pictures = PageFiles()
    bridge = RpcServer(VisitorRegistry(project, pictures), pictures.uploads)
    cls = project.classes[0]

    def step(token: str, value: float) -> dict:
        actions = [{"kind": "set", "concept": "red", "value": value}]
        return json.loads(bridge.apply({"token": token, "cls": cls, "actions": actions}))

    starved = json.loads(bridge.hello({}))["token"]
    other = json.loads(bridge.hello({}))["token"]
    for token in (starved, other):  # what a step loads is loaded
        assert "error" not in step(token, 0.1)
    before = bridge.visitors.get(starved)[0].session
    node, weights = before.node, before.state.weights().copy()

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    free = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), free[1]))
    # The step of one visitor takes more than there is: its metrics want an array that does not fit.
    visitor = bridge.visitors.get(starved)[0]
    history = visitor.session.history
    commit = history.commit

    def greedy(*args: Any, **kwargs: Any) -> object:
        np.ones(1 << 28)
        return commit(*args, **kwargs)

    history.commit = greedy
    said = step(starved, 0.2)
    assert said.get("error") == OUT_OF_MEMORY, said
    print("starved: refused in a line")
    assert visitor.session.node == node
    assert np.array_equal(visitor.session.state.weights(), weights)
    print("starved: where it was")
    assert "error" not in step(other, 0.2)
    print("other: goes on")
    resource.setrlimit(resource.RLIMIT_AS, free)
    history.commit = commit
    assert "error" not in step(starved, 0.2)
    print("starved: goes on")
    bridge.queue.close()
    pictures.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
