"""The pictures of the documents exist and were made by the script from the app.

`python -m tests.tools.make_pictures` makes all of them and records its assertions in `pictures.json`. A test
of the page (`tests/browser/test_pictures.py`) compares what they show with the current build.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inficond.core import __version__

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
RECORD: dict[str, Any] = json.loads((PICTURES / "pictures.json").read_text(encoding="utf-8"))
VIEWS = {"configuration", "performance", "influence", "tuning", "instances", "provenance"}
STILLS = sorted(name for name in RECORD["pictures"] if not name.startswith(("scenario-", "report-")))


def shown_in(document: str) -> set[str]:
    """Return the file names of the pictures in a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return {Path(name).name for name in re.findall(r"[\w./-]*pictures/[\w-]+\.(?:webp|svg)", text)}


@pytest.mark.parametrize("name", sorted(RECORD["pictures"]))
def test_pictures_are_those_of_the_script(name: str) -> None:
    path, said = PICTURES / name, RECORD["pictures"][name]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == said["sha256"]
    with Image.open(path) as picture:
        assert list(picture.size) == said["size"]
        assert getattr(picture, "n_frames", 1) == said["frames"]
        assert len(set(picture.convert("L").resize((64, 48)).tobytes())) > 20, "not one flat colour"


def test_whole_page_is_shown_in_both_themes() -> None:
    for name in ("fails-light.webp", "preview-light.webp", "preview-dark.webp"):
        assert RECORD["pictures"][name]["box"] == [0, 0, *RECORD["pictures"][name]["size"]]


def test_no_other_pictures_exist() -> None:
    assert {p.name for p in PICTURES.glob("*.webp")} == set(RECORD["pictures"])


@pytest.mark.parametrize("name", STILLS)
def test_still_shows_six_views_inside_the_window(name: str) -> None:
    said, (width, height) = RECORD["pictures"][name], (1440, 900)
    left, top, right, bottom = said["box"]
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert said["size"][0] / said["size"][1] == pytest.approx((right - left) / (bottom - top), rel=0.01)
    views = said["views"]
    assert set(views) == VIEWS
    for which, view in views.items():
        left, top, right, bottom = view["box"]
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert view["drawn"] > 20
        assert view["uncovered"] or (name, which) == ("export-light.webp", "instances")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_animation_shows_the_guided_scenario(theme: str) -> None:
    said = RECORD["pictures"][f"scenario-{theme}.webp"]
    assert list(said["views"]) == ["fails", "why", "drag", "preview", "improved", "export"]
    assert said["frames"] == len(said["captions"]) == 6
    assert all(set(views) == VIEWS for views in said["views"].values())
    assert (PICTURES / f"scenario-{theme}.webp").stat().st_size <= 1_500_000


def test_the_pictures_show_an_improvement() -> None:
    assert RECORD["story"]["extra_after"] < RECORD["story"]["extra_before"]


def test_documents_use_the_pictures() -> None:
    assert {"scenario-light.webp", "scenario-dark.webp", "how-light.svg", "how-dark.svg"} <= shown_in(
        "README.md"
    )
    shown = shown_in("README.md") | shown_in("docs/tutorial.md")
    assert set(RECORD["pictures"]) <= shown, "a picture that no document shows is dead weight"


def test_pictures_are_of_this_version() -> None:
    assert RECORD["version"] == __version__
