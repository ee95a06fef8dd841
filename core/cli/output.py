"""What a command prints: for people, or one JSON object."""

import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from inficond.core.progress import Progress, Silent, Terminal


class Output:
    """Where a command's result goes: text for people, or with `--json` one object and nothing else."""

    def __init__(self, as_json: bool, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.as_json = as_json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    def progress(self) -> Progress:
        """A progress line on stderr; silent but for its notes where stderr is no terminal."""
        return Silent() if self.as_json else Terminal(self._stderr)

    def say(self, line: str = "") -> None:
        """A line for people; nothing with `--json`."""
        if not self.as_json:
            print(line, file=self._stdout)

    def warn(self, line: str) -> None:
        """A line on stderr, in either mode."""
        print(line, file=self._stderr)

    def result(self, data: Mapping[str, Any]) -> None:
        """The object that `--json` prints; nothing for people."""
        if self.as_json:
            json.dump(data, self._stdout, ensure_ascii=False, default=_plain)
            self._stdout.write("\n")


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays, paths and the like, as JSON knows them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
