"""Fixtures of the fuzz tests; counts are printed at the end and written to `INFICOND_FUZZ_REPORT`."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.fuzz.harness import TALLIES
from tests.fuzz.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Valid files of every kind, with a cache folder of their own."""
    root = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFICOND_CACHE", str(root / "cache"))
        yield Workshop(root)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the number of inputs."""
    if TALLIES:
        cases, steps = sum(t.cases for t in TALLIES), sum(t.steps for t in TALLIES)
        terminalreporter.write_line(
            f"fuzz: {cases:,} cases, {sum(t.accepted for t in TALLIES):,} of them accepted; "
            f"{steps:,} steps of sessions; {sum(t.seconds for t in TALLIES):.0f} s"
        )


def pytest_sessionfinish() -> None:
    """Write the counts for `tests/tools/reliability.py`."""
    report = os.environ.get("INFICOND_FUZZ_REPORT")
    if report:
        Path(report).write_text(json.dumps([asdict(t) for t in TALLIES], indent=1))
