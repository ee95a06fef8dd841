"""Starts pages as forks of a process that has imported everything, which takes a fraction of a second.

Each fork runs the command line of `inficond launch`. It is a process like any other, with its own signals and
its own end. Requests and answers are JSON lines on the standard streams: ``{"start": [argv], "environment":
{}, "output": path}`` answers ``{"pid": n}``, ``{"wait": n}`` answers ``{"code": n}``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Launcher:
    """A running launcher; to be closed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.page_launcher"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request; return the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        return dict(json.loads(stdout.readline()))

    def close(self) -> None:
        """End the launcher."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def start(request: dict[str, Any]) -> int | None:
    """Fork; return the process id, or None in the child after its command has been prepared."""
    pid = os.fork()
    if pid:
        return pid
    os.environ.update(request["environment"])
    output = os.open(request["output"], os.O_WRONLY)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream, target in ((0, nowhere), (1, output), (2, nowhere)):
        os.dup2(target, stream)
    return None


def main() -> int:
    """Answer until the input ends."""
    import gradio  # noqa: F401

    from inficond.core import Project  # noqa: F401
    from inficond.core.cli.main import main as command
    from inficond.core.students import distil  # noqa: F401
    from inficond.gradio_app import app  # noqa: F401

    while line := os.read(0, 1 << 16):
        for part in line.splitlines():
            request = json.loads(part)
            if "start" in request:
                pid = start(request)
                if pid is None:
                    return command(request["start"])
                answer = {"pid": pid}
            else:
                answer = {"code": os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])}
            os.write(1, (json.dumps(answer) + "\n").encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
