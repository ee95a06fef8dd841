"""The pictures of the gallery exist, are small, and show what the current build computes.

`python -m tests.tools.make_gallery` makes them and records what they show.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.docs.documents import ROOT
from tests.tools.gallery_stories import STORIES, Projects, Story
from tests.tools.make_gallery import GALLERY, MOST_BYTES, RECORD

from inficond.core import __version__

RECORDED: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
NAMES = [story.name for story in STORIES]


def differences(recorded: Any, found: Any, where: str = "") -> list[str]:
    """Return the places where facts differ: words must be equal, numbers nearly."""
    if isinstance(recorded, dict) and isinstance(found, dict) and list(recorded) == list(found):
        return [line for key in recorded for line in differences(recorded[key], found[key], f"{where}/{key}")]
    if isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        pairs = enumerate(zip(recorded, found))
        return [line for n, (one, other) in pairs for line in differences(one, other, f"{where}/{n}")]
    if isinstance(recorded, int | float) and isinstance(found, int | float):
        allowed = 0.021 if isinstance(recorded, float) else 2
        return [] if abs(recorded - found) <= allowed else [f"{where}: {recorded} became {found}"]
    return [] if recorded == found else [f"{where}: {recorded!r:.200} became {found!r:.200}"]


def test_the_gallery_has_eight_finished_projects() -> None:
    assert len(NAMES) >= 8
    assert list(RECORDED["stories"]) == NAMES
    assert {path.name for path in GALLERY.glob("*.webp")} == {f"{name}.webp" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_that_of_the_script(name: str) -> None:
    path, said = GALLERY / f"{name}.webp", RECORDED["stories"][name]
    assert path.stat().st_size <= MOST_BYTES
    assert hashlib.sha256(path.read_bytes()).hexdigest() == said["sha256"]
    with Image.open(path) as picture:
        assert list(picture.size) == said["size"]
        assert len(set(picture.convert("L").resize((64, 48)).tobytes())) > 20, "not one flat colour"


def test_every_picture_has_a_story_in_the_document() -> None:
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    shown = [re.findall(r"!\[[^\]]+\]\(gallery/([\w-]+)\.webp\)", section) for section in sections]
    assert [name for names in shown for name in names] == NAMES
    assert all(len(section.split()) >= 40 for section, names in zip(sections, shown) if names)


def test_pictures_are_of_this_version() -> None:
    assert RECORDED["version"] == __version__


@pytest.mark.slow
@pytest.mark.skipif("INFICOND_TEST_PROJECT" in os.environ, reason="the pictures show the demo")
@pytest.mark.parametrize("story", [story for story in STORIES if story.data is None], ids=lambda s: s.name)
def test_the_stories_of_the_demo_are_those_of_this_build(story: Story, tmp_path: Path) -> None:
    found = json.loads(json.dumps(story.facts(Projects(tmp_path))))
    assert differences(RECORDED["stories"][story.name]["facts"], found) == []


@pytest.mark.nightly
@pytest.mark.data
def test_the_stories_on_photographs_are_those_of_this_build(shared_data: Path, tmp_path: Path) -> None:
    projects = Projects(tmp_path, shared_data)
    for story in STORIES:
        if story.data is not None:
            found = json.loads(json.dumps(story.facts(projects)))
            assert differences(RECORDED["stories"][story.name]["facts"], found) == [], story.name


def test_a_changed_word_and_a_changed_number_are_found() -> None:
    recorded = {"words": [["sea", 0.31]], "extra": [60, 33]}
    assert differences(recorded, {"words": [["sea", 0.32]], "extra": [61, 33]}) == []
    assert differences(recorded, {"words": [["sky", 0.31]], "extra": [60, 33]})
    assert differences(recorded, {"words": [["sea", 0.31]], "extra": [60, 53]})
    assert differences(recorded, {"words": [], "extra": [60, 33]})
