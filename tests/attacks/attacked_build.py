"""The build under attack: commands of a Python interpreter, with the memory and time that they need.

`INFICOND_ATTACKED_PYTHON` names the interpreter of another installation and `INFICOND_ATTACKED_PROJECT` a
project that it wrote, so that the same attacks show what another version does. Run as a program, this module
starts a command, stops it after some seconds, and writes its exit code, memory and time to a file.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PYTHON = os.environ.get("INFICOND_ATTACKED_PYTHON", sys.executable)
OTHER_PROJECT = os.environ.get("INFICOND_ATTACKED_PROJECT", "")
INFICOND = ("-m", "inficond.core.cli.main")


@dataclass
class Outcome:
    """The end of a command.

    Parameters
    ----------
    code : int or None
        Exit code; None if it was stopped after its time.
    peak : int
        Largest resident memory of the command or of one of its child processes, in bytes.
    seconds : float
    output, errors : str
    """

    code: int | None
    peak: int
    seconds: float
    output: str
    errors: str

    def refused(self, megabytes: int = 700) -> str:
        """Return the refusal; fail unless it is one printable line with exit code 2, in little memory."""
        lines = [line for line in self.errors.splitlines() if not line.startswith("inficond: compiling")]
        facts = f"exit {self.code}, {self.peak >> 20} MiB, {self.seconds:.1f} s: {self.errors[-500:]}"
        assert self.code == 2, facts
        assert len(lines) == 1, facts
        assert lines[0].isprintable(), facts
        assert self.peak < megabytes << 20, facts
        return lines[0]


def run(*arguments: object, timeout: float = 60.0) -> Outcome:
    """Run Python with some arguments."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        # A small process starts the command, since a child inherits the peak memory of its parent.
        done = subprocess.run(
            [sys.executable, "-S", __file__, str(report), str(timeout), PYTHON, *map(str, arguments)],
            capture_output=True, text=True, errors="backslashreplace", stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Outcome(**json.loads(report.read_text()), output=done.stdout, errors=done.stderr)


def inficond(*arguments: object, timeout: float = 60.0) -> Outcome:
    """Run a command of the build."""
    return run(*INFICOND, *arguments, timeout=timeout)


def main(report: Path, timeout: float, command: list[str]) -> None:
    """Run a command and write the report."""
    began = time.monotonic()
    process = subprocess.Popen(command, start_new_session=True)
    code: int | None
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        code = None
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    report.write_text(json.dumps({"code": code, "peak": peak, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
