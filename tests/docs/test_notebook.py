"""The tutorial notebook runs from a folder of photographs to an exported student."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.docs.documents import ROOT

from inficond.core.images import decode
from inficond.core.models.predictor import load_predictor

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def cells() -> list[str]:
    """The code of the notebook."""
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert document["nbformat"] == 4
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]


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
def test_the_notebook_runs(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    scope: dict[str, Any] = {"__name__": "notebook"}
    for number, source in enumerate(cells()):
        *lines, last = source.splitlines()
        exec(compile(source, f"cell {number}", "exec"), scope)
        shown = scope.get(last) if last.isidentifier() and lines else None
        if hasattr(shown, "_repr_html_"):
            assert shown._repr_html_().startswith("<table>")
    assert scope["project"].classes == ["meadow", "sky"]
    assert scope["table"].num_rows == 20
    predictor = load_predictor(photos / "student.onnx", "cpu")
    first = sorted((photos / "photos").rglob("*.png"))[0]
    expected = predictor.predict(predictor.preprocess(decode(first))[None])[0]
    np.testing.assert_allclose(scope["probabilities"][0], expected, atol=0.02)
