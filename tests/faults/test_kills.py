"""Every command that writes, killed at a moment it does not know; 200 kills are `make reliability`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults import subject

KILLS = 9


@pytest.mark.nightly  # in every run `test_history` and `test_build` kill
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signals")
def test_nothing_is_lost_and_the_command_run_again_ends_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kills", str(KILLS), str(tmp_path), "5"],
        capture_output=True, text=True, env=subject.environment(), timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(k["killed"] for k in kills) >= KILLS
    assert {k["kind"] for k in kills} == {
        "distill", "tune", "many steps", "add concept", "replay", "export", "pack", "unpack",
    }  # fmt: skip
    assert [(k["kind"], k["at"], k["faults"]) for k in kills if k["faults"]] == []
