"""The notebooks run as they are: tutorial, shortcut, own teacher."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.docs.documents import ROOT

from inficond.core.images import decode
from inficond.core.models.predictor import load_predictor


def cells(name: str) -> list[str]:
    """The code of a notebook."""
    document = json.loads((ROOT / "docs" / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert document["nbformat"] == 4
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]


def run(name: str) -> dict[str, Any]:
    """Run a notebook's cells in order; objects that end a cell must have a table for the notebook."""
    scope: dict[str, Any] = {"__name__": "notebook"}
    for number, source in enumerate(cells(name)):
        exec(compile(source, f"{name}, cell {number}", "exec"), scope)
        last = source.splitlines()[-1]
        if last.isidentifier():
            assert scope[last]._repr_html_().startswith("<table>")
    return scope


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of two colours in class folders, with the embedded encoder's own input size and others."""
    rng = np.random.default_rng(0)
    for name, colour in (("meadow", (60, 170, 60)), ("sky", (90, 140, 230))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.asarray(colour) + rng.normal(0, 20, 3) + rng.normal(0, 12, (240, 320, 3))
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path


@pytest.mark.slow
def test_the_tutorial_runs(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    scope = run("tutorial")
    assert scope["project"].classes == ["meadow", "sky"]
    assert scope["table"].num_rows == 20
    predictor = load_predictor(photos / "student.onnx", "cpu")
    first = sorted((photos / "photos").rglob("*.png"))[0]
    expected = predictor.predict(predictor.preprocess(decode(first))[None])[0]
    np.testing.assert_allclose(scope["probabilities"][0], expected, atol=0.02)


@pytest.mark.slow
def test_the_shortcut_is_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope = run("shortcut")
    assert scope["suggestions"][0].actions[0].concept == "group:water"
    assert scope["after"].ap > scope["before"].ap + 0.2


@pytest.mark.slow
def test_an_own_teacher_and_own_words_are_used(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    scope = run("own_teacher")
    assert scope["again"].classes == ["bright", "dark"]
    assert set(scope["again"].concepts) <= set(scope["words"])
