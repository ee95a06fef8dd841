"""A changed byte in any file of a project is told or harmless; the whole is `make reliability`."""

import shutil
import sys
from pathlib import Path

import pytest
from tests.faults import flips, subject

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.students import Students, safetensors_io

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="leaves a history as a killed process does")


@pytest.mark.parametrize(("killed", "count"), [(False, 40), (True, 30)])
def test_no_changed_byte_gives_a_wrong_answer_in_silence(tmp_path: Path, killed: bool, count: int) -> None:
    made = subject.make(tmp_path / "all", killed=killed)
    found = flips.run(made, count, seed=2)
    assert len(found) == count
    kinds = flips.table(found)
    assert {"json", "npy", "parquet", "safetensors", "onnx", "jpg", "history.sqlite"} <= set(kinds)
    assert ("history.sqlite-wal" in kinds) == killed
    assert [f for f in found if f.outcome not in (flips.DETECTED, flips.HARMLESS)] == []
    assert sum(f.outcome == flips.DETECTED for f in found) > count // 2


def test_the_harness_would_see_a_wrong_answer(tmp_path: Path) -> None:
    """The check itself is checked: with its checksum gone, a changed weight is called wrong."""
    made = subject.make(tmp_path / "all")
    tensors, said = safetensors_io.read(made.weights)
    said.pop(safetensors_io.CHECKSUM)
    safetensors_io.write(made.weights, tensors, said)
    keep = tmp_path / "keep"
    shutil.copytree(made.root, keep)
    reference = subject.ask_weights(made.weights)
    raw = made.weights.read_bytes()
    offset = raw.index(Students.load(made.weights).bias.tobytes())
    flip = flips.one(
        made, keep, made.weights, offset, 1, lambda: subject.ask_weights(made.weights), reference
    )
    assert flip.outcome == flips.WRONG
    assert flip.said == "bias"


def test_a_lost_log_is_told(tmp_path: Path) -> None:
    """SQLite reads a file without its log as if the steps in it had never been taken."""
    made = subject.make(tmp_path / "all", killed=True)
    copied = tmp_path / "copied"
    shutil.copytree(made.project, copied, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    assert (made.project / "history.sqlite-wal").stat().st_size > 0
    with pytest.raises(InputError, match="has lost its last .* writes"):
        Project.open(copied).session("main")
    assert len(Project.open(made.project).session("main").tree()) == 6
