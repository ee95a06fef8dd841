"""A changed byte in any file of a project is detected or harmless; `make reliability` changes 3,000."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import flips, sample

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.students import Students, safetensors_io
from inficond.core.tuning.actions import Action

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="leaves a history as a killed process does")


@pytest.mark.nightly
@pytest.mark.parametrize(("fixture", "count"), [("made", 120), ("made_killed", 90)])
def test_a_changed_byte_is_detected_or_harmless(
    request: pytest.FixtureRequest, fixture: str, count: int
) -> None:
    found = flips.run(request.getfixturevalue(fixture), count, seed=2)
    assert len(found) == count
    kinds = flips.table(found)
    assert {"json", "npy", "parquet", "safetensors", "onnx", "jpg", "history.sqlite"} <= set(kinds)
    assert ("history.sqlite-wal" in kinds) == (fixture == "made_killed")
    assert [f for f in found if f.outcome not in (flips.DETECTED, flips.HARMLESS)] == []
    assert sum(f.outcome == flips.DETECTED for f in found) > count // 2


def test_a_wrong_result_without_a_checksum_is_found(made: sample.Sample, tmp_path: Path) -> None:
    """Without its checksum, a changed weight gives the outcome ``wrong``."""
    copy = sample.Sample(tmp_path / "all")
    copy.root.mkdir()
    tensors, metadata = safetensors_io.read(made.weights)
    metadata.pop(safetensors_io.CHECKSUM)
    safetensors_io.write(copy.weights, tensors, metadata)
    keep = tmp_path / "keep"
    shutil.copytree(copy.root, keep)
    reference = sample.weights_hashes(copy.weights)
    offset = copy.weights.read_bytes().index(Students.load(copy.weights).bias.tobytes())
    flip = flips.one(
        copy, keep, copy.weights, offset, 1, lambda: sample.weights_hashes(copy.weights), reference
    )
    assert flip.outcome == flips.WRONG
    assert flip.detail == "bias"


def test_a_lost_log_is_detected(make_project: Callable[..., Project], tmp_path: Path) -> None:
    """SQLite opens a file without its log, and the steps in the log are missing."""
    project = make_project()
    session = project.session("main")
    session.apply("boat", Action("mute", "c1"))
    session.context.history_store.close()  # moves the step from the log into the file
    session = Project.open(project.path).session("main")
    session.apply("boat", Action("mute", "c2"))
    assert (project.path / "history.sqlite-wal").stat().st_size > 0
    killed, lost = tmp_path / "killed", tmp_path / "lost"
    shutil.copytree(project.path, killed, ignore=shutil.ignore_patterns("*-shm"))
    shutil.copytree(project.path, lost, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    with pytest.raises(InputError, match="has lost its last .* writes"):
        Project.open(lost).session("main")
    assert len(Project.open(killed).session("main").tree()) == 3
