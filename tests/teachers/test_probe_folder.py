"""A probe written as a model folder gives the responses of the fitted probe."""

from pathlib import Path

import numpy as np
import pytest
from tests.tiny_models import TEACHER_SIZE, write_teacher

from inficond.core.models.teacher import load_teacher
from inficond.core.teachers.features import log_responses
from inficond.core.teachers.probe import fit_probe
from inficond.core.teachers.probe_folder import write_probe


@pytest.mark.parametrize("base_link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_folder_gives_the_responses_of_the_probe(tmp_path: Path, base_link: str, link: str) -> None:
    base = load_teacher(write_teacher(tmp_path / "base", link=base_link), "cpu")
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    pixels = np.clip(
        rng.normal(120, 30, (60, TEACHER_SIZE, TEACHER_SIZE, 3)) + 60 * y[:, None, None, None] * [1, 0, -1],
        0, 255,
    ).astype(np.uint8)  # fmt: skip
    features = log_responses(base.respond(pixels))
    probe = fit_probe(features, np.eye(2)[y], link)
    folder = write_probe(tmp_path / "probe", base, probe.classifier, ["cold", "warm"])
    written = load_teacher(folder, "cpu")
    assert written.labels == ("cold", "warm")
    assert np.abs(written.respond(pixels) - probe.classifier.predict(features)).max() < 1e-4


def test_the_folder_of_a_probe_on_probabilities(tmp_path: Path) -> None:
    """A probe is itself a teacher, so a second probe can stand on the first."""
    base = load_teacher(write_teacher(tmp_path / "base"), "cpu")
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (40, TEACHER_SIZE, TEACHER_SIZE, 3), dtype=np.uint8)
    features = log_responses(base.respond(pixels))
    Y = np.eye(2)[np.arange(40) % 2]
    first = load_teacher(
        write_probe(tmp_path / "first", base, fit_probe(features, Y, "softmax").classifier, ["a", "b"]), "cpu"
    )
    again = log_responses(first.respond(pixels))
    second = fit_probe(again, Y, "sigmoid")
    folder = write_probe(tmp_path / "second", first, second.classifier, ["a", "b"])
    assert np.abs(load_teacher(folder, "cpu").respond(pixels) - second.classifier.predict(again)).max() < 1e-4
