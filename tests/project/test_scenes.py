"""The main job on real photographs: scenes, a linear-probe teacher, readable students."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = Path(__file__).resolve().parents[1] / "tools" / "probe_teacher.py"


@pytest.mark.data
@pytest.mark.slow
def test_students_of_a_probe_find_the_scenes_with_few_words(shared_data: Path, tmp_path: Path) -> None:
    images, labels = shared_data / "scenes" / "images", shared_data / "scenes" / "labels.csv"
    responses = tmp_path / "responses.csv"
    subprocess.run([sys.executable, PROBE, images, labels, responses], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "inficond.core.cli.main", "distill", images, "--labels", labels, "--teacher",
         responses, "--out", tmp_path / "project", "--lam", "0.015", "--provider", "cpu", "--json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["images"] == 1022
    assert set(told["classes"]) == {"desert", "mountains", "sea", "sunset", "trees"}
    assert max(entry["nec"] for entry in told["classes"].values()) <= 50
    assert told["mean"]["student_ap"] >= 0.85
    assert told["mean"]["teacher_ap"] >= 0.9
    assert 0.3 < told["mean"]["random_ap"] <= 1  # the row that words must beat is there, whoever wins
