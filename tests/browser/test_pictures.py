"""The pictures of the documents show what the current build shows: `python -m tests.tools.make_pictures`."""

import json
import os

import pytest
from tests.browser.page import Opener
from tests.tools.make_pictures import PICTURES, SEEN, VIEWS, first_scene

RECORD = json.loads((PICTURES / "pictures.json").read_text(encoding="utf-8"))


@pytest.mark.browser
@pytest.mark.skipif("INFICOND_TEST_PROJECT" in os.environ, reason="the pictures show the demo")
def test_the_first_picture_shows_the_words_and_numbers_of_this_build(open_page: Opener) -> None:
    page = open_page()
    first_scene(page)
    shown = page.evaluate(SEEN, VIEWS)
    recorded = RECORD["pictures"]["fails-light.webp"]["views"]
    assert {v: shown[v]["text"] for v in VIEWS} == {v: recorded[v]["text"] for v in VIEWS}
