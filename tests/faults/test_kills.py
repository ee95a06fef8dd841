"""Kills of every writing command at random moments; `make reliability` runs 200."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults import sample

KILLS = 9


@pytest.mark.nightly  # `test_history` and `test_build` have kills in every run
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signals")
def test_nothing_is_lost_and_a_second_run_has_the_same_result(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kills", str(KILLS), str(tmp_path), "5"],
        capture_output=True, text=True, env=sample.environment(), timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(k["killed"] for k in kills) >= KILLS
    assert {k["kind"] for k in kills} == {
        "distill", "tune", "many steps", "add concept", "replay", "export", "pack", "unpack",
    }  # fmt: skip
    assert [(k["kind"], k["at"], k["faults"]) for k in kills if k["faults"]] == []
