"""Pictures of the gallery: `python -m tests.tools.make_gallery` remakes all of them.

Each story of `gallery_stories.py` is computed with the current build, drawn as HTML and photographed in
Chromium. `docs/gallery/gallery.json` records the facts, which tests compare with the current build. The
stories on photographs need the folder in INFICOND_TEST_DATA; without it their pictures stay as they are.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from tests.browser.page import FLAGS
from tests.tools.gallery_stories import STORIES, Facts, Projects, Story

from inficond.core import __version__

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "docs" / "gallery"
RECORD = GALLERY / "gallery.json"
CHROMIUM = "/usr/bin/chromium"
MOST_BYTES = 150_000
PIXELS = 1440
"""Width of a picture."""


def photographs() -> Path | None:
    """Return the folder of the photographs; None if it is missing."""
    folder = Path(os.environ.get("INFICOND_TEST_DATA", ROOT / "shared" / "data"))
    return folder if (folder / "own" / "flowers").is_dir() else None


def take(story: Story, facts: Facts, projects: Projects, browser: Browser) -> dict[str, Any]:
    """Draw a story and write its picture; return what the record says about it."""
    file = projects.folder / f"{story.name}.html"
    file.write_text(story.figure(facts, projects), encoding="utf-8")
    width, height = story.window
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=PIXELS / width)
    page.set_default_timeout(120_000)
    page.goto(file.as_uri())
    if story.drawn is not None:
        story.drawn(page, facts, projects)
        seen = page.screenshot()
    else:
        seen = page.locator("#figure").screenshot()
    page.close()
    path = GALLERY / f"{story.name}.webp"
    for quality in (88, 78, 66):
        Image.open(io.BytesIO(seen)).convert("RGB").save(path, quality=quality, method=6)
        if path.stat().st_size <= MOST_BYTES:
            break
    else:
        raise RuntimeError(f"{path.name} is {path.stat().st_size:,} bytes; {MOST_BYTES:,} are allowed")
    with Image.open(path) as picture:
        size = list(picture.size)
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": size, "facts": facts}


def main() -> int:
    """Remake the pictures and the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="STORY", help="only these stories")
    parser.add_argument(
        "--projects", type=Path, metavar="DIR", help="folder in which projects are kept and reused"
    )
    args = parser.parse_args()
    wanted = set(args.names)
    GALLERY.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    stories: dict[str, Any] = record.get("stories", {})
    if args.projects:
        args.projects.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        projects = Projects(args.projects or Path(folder), photographs())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for story in STORIES:
            if wanted and story.name not in wanted:
                continue
            if story.data is not None and photographs() is None:
                print(f"{story.name}: kept as it is; its photographs are not here (INFICOND_TEST_DATA)")
                continue
            stories[story.name] = take(story, story.facts(projects), projects, browser)
            print(f"{story.name}: {(GALLERY / story.name).with_suffix('.webp').stat().st_size:,} bytes")
        browser.close()
    record = {"made_by": "python -m tests.tools.make_gallery", "version": __version__}
    record["stories"] = {story.name: stories[story.name] for story in STORIES if story.name in stories}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
