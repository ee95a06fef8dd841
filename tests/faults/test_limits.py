"""Memory that runs out in one session, and a provider that fails: one error line, and all else continues."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.faults import sample

from inficond.core import Project
from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.models.sessions import GraphSession
from inficond.core.pipeline.build import BuildOptions, build
from inficond.gradio_app.app import build_page
from inficond.gradio_app.error_line import INTERNAL_ERROR

WORKER = Path(__file__).with_name("memory_worker.py")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_a_step_without_enough_memory_fails_and_others_continue(made: sample.Sample) -> None:
    done = subprocess.run(
        [sys.executable, WORKER, made.project],
        capture_output=True, text=True, env=sample.environment(), timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "starved: one error line", "starved: unchanged", "other: continues", "starved: continues",
    ]  # fmt: skip


class Dying:
    """A session whose device is lost at its n-th run."""

    def __init__(self, real: Any, at: int) -> None:
        self.real, self.at, self.runs, self.lock = real, at, 0, threading.Lock()

    def run(self, *given: Any) -> Any:
        with self.lock:
            self.runs += 1
            if self.runs >= self.at:
                raise RuntimeError("CUDA error 719: unspecified launch failure\nmore lines")
        return self.real.run(*given)


@pytest.mark.parametrize("at", [1, 3, 9])
def test_a_build_resumes_after_its_provider_failed(
    made: sample.Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    options = BuildOptions(
        images=made.photos, out=tmp_path / "project", encoder=made.encoder, teacher=made.teacher,
        concepts=made.root / "words.txt", labels=made.root / "labels.csv", provider="cpu", workers=1,
        cache=False,
    )  # fmt: skip
    run = GraphSession.run
    dying: dict[int, Dying] = {}

    def dies(self: GraphSession, *given: Any, **named: Any) -> Any:
        if self.path.name == "image.onnx" and not isinstance(self.runner, Dying):
            self.runner = dying.setdefault(id(self), Dying(self.runner, at))  # type: ignore[assignment]
        return run(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(GraphSession, "run", dies)
        with pytest.raises(InputError, match="image.onnx failed on cpu: CUDA error 719") as error:
            build(options)
    assert "\n" not in str(error.value)
    assert "provider `cpu`" in str(error.value)
    with pytest.raises(InputError, match="is not finished"):
        Project.open(options.out)
    build(options)
    again, whole = Project.open(options.out), Project.open(made.project)
    assert again.verify() == []
    for name, entry in whole.config["files"].items():
        assert sha256_of(options.out / name) == entry["sha256"], name


def test_a_provider_that_fails_is_one_line_for_the_visitor(made: sample.Sample) -> None:
    project = Project.open(made.project)
    page = build_page(project)
    encoder = project.context.encoder
    real = encoder.session.runner
    encoder.session.runner = Dying(real, 1)  # type: ignore[assignment]
    rgb = np.full((40, 40, 3), 90, np.uint8)
    visitor, _ = page.visitors.get(None)
    with pytest.raises(InputError, match=r"image\.onnx failed on cpu: CUDA error 719"):
        visitor.session.classify(rgb)
    assert INTERNAL_ERROR not in page.rpc.answer(
        "read", {"token": visitor.token, "parts": ["performance.table"]}
    )
    encoder.session.runner = real
    assert np.isfinite(visitor.session.classify(rgb).student).all()
    page.close()
    assert os.path.exists(made.project)
