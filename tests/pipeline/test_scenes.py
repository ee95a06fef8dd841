"""Students of a linear probe on real photographs of scenes."""

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.data
@pytest.mark.slow
def test_students_of_a_probe_classify_scenes_with_few_words(scenes_run: tuple[Path, dict[str, Any]]) -> None:
    _, told = scenes_run
    assert told["images"] == 1022
    assert set(told["classes"]) == {"desert", "mountains", "sea", "sunset", "trees"}
    assert max(entry["nec"] for entry in told["classes"].values()) <= 50
    assert told["mean"]["student_ap"] >= 0.85
    assert told["mean"]["teacher_ap"] >= 0.9
    assert 0.3 < told["mean"]["random_ap"] <= 1  # the row that words must beat is there, whoever wins
