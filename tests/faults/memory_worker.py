"""Worker of test_limits.py: memory runs out during a step of one of two visitors."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core import Project
from inficond.gradio_app.app import build_page
from inficond.gradio_app.error_line import OUT_OF_MEMORY


def main(path: Path) -> None:
    """Let one visitor's step run out of memory; print the state of both visitors."""
    project = Project.open(path)
    page = build_page(project)
    cls = project.classes[0]

    def step(token: str, value: float) -> dict:
        actions = [{"kind": "set", "concept": "red", "value": value}]
        return json.loads(page.rpc.answer("apply", {"token": token, "cls": cls, "actions": actions}))

    starved = json.loads(page.rpc.answer("hello", {}))["token"]
    other = json.loads(page.rpc.answer("hello", {}))["token"]
    for token in (starved, other):  # load what a step needs
        assert "error" not in step(token, 0.1)
    before = page.visitors.get(starved)[0].session
    node, weights = before.node, before.state.weights().copy()

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    free = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), free[1]))
    # The step of one visitor allocates an array that does not fit.
    visitor = page.visitors.get(starved)[0]
    history = visitor.session.history
    commit = history.commit

    def greedy(*args: Any, **kwargs: Any) -> object:
        np.ones(1 << 28)
        return commit(*args, **kwargs)

    history.commit = greedy
    said = step(starved, 0.2)
    assert said.get("error") == OUT_OF_MEMORY, said
    print("starved: one error line")
    assert visitor.session.node == node
    assert np.array_equal(visitor.session.state.weights(), weights)
    print("starved: unchanged")
    assert "error" not in step(other, 0.2)
    print("other: continues")
    resource.setrlimit(resource.RLIMIT_AS, free)
    history.commit = commit
    assert "error" not in step(starved, 0.2)
    print("starved: continues")
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
