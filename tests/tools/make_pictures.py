"""Pictures of the documents, made from the running app: `python -m tests.tools.make_pictures`.

It serves the built-in demo, walks the guided scenario in Chromium with real clicks and drags, once in light
and once in dark, and writes into `docs/pictures`: stills of the steps (WebP), the walk as one animation for
the README, the top of the report, and `pictures.json`, which says what was made from which commit and what
was asserted when it was made. A picture is kept only if all six views are inside the window, drawn, and
covered by nothing but an open menu.
"""

import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, sync_playwright
from tests.browser.page import FLAGS, copy_project, select_class, serve, wait_for_slow_parts, wait_until_drawn

from inficond.core import Project, __version__
from inficond.core.demo import demo_project

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
VIEWS = ["configuration", "performance", "influence", "tuning", "instances", "provenance"]
WINDOW = {"width": 1440, "height": 900}
ANIMATION_WIDTH = 1200
CAPTION = 64
DENSITY = 2
MOST_WIDTH = 1440
MOST_BYTES = 1_500_000

SEEN = r"""(names) => Object.fromEntries(names.map((name) => {
  const plain = (text) => text.replace(/\s+/g, " ").trim();
  const view = document.querySelector(`#view-${name} .view`);
  if (!view) return [name, null];
  const r = view.getBoundingClientRect();
  const at = document.elementFromPoint(r.left + r.width / 2, r.top + 14);
  return [name, {
    inside: r.left >= 0 && r.top >= 0 && r.right <= innerWidth + 1 && r.bottom <= innerHeight + 1,
    drawn: view.innerText.trim().length, uncovered: Boolean(at && view.contains(at)),
    text: [...view.querySelectorAll("select")].reduce(  // of the options, the chosen one is seen
      (text, select) => text.replace(plain(select.innerText), select.selectedOptions[0]?.text ?? ""),
      plain(view.innerText)),
    box: [r.left, r.top, r.right, r.bottom].map(Math.round) }];
}))"""


@dataclass
class Walk:
    """One run of the scenario in one theme: its frames, and facts about each."""

    page: Page
    theme: str
    frames: list[tuple[str, Image.Image, int]] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)
    views: dict[str, Any] = field(default_factory=dict)
    mouse: tuple[float, float] | None = None

    def point(self, x: float, y: float) -> None:
        """Move the mouse and store its position, since screenshots do not show it."""
        self.page.mouse.move(x, y, steps=4)
        self.mouse = (x, y)

    def point_at(self, selector: str) -> None:
        """Move the mouse to the middle of an element."""
        left, top, right, bottom = self.box(selector)
        self.point((left + right) / 2, (top + bottom) / 2)

    def box(self, selector: str) -> list[int]:
        """Return left, top, right and bottom of an element, in pixels of the page."""
        box = self.page.locator(selector).first.bounding_box()
        if box is None:
            raise RuntimeError(f"not on the page: {selector}")
        left, top = box["x"], box["y"]
        return [round(side) for side in (left, top, left + box["width"], top + box["height"])]

    def keep(
        self,
        name: str,
        caption: str,
        milliseconds: int = 2600,
        crop: tuple[str, ...] = (),
        under_menu: str = "",
    ) -> None:
        """Add a frame to the animation, and save a still of the window or of the elements in `crop`.

        In the dark theme only the still named `preview` is saved.
        """
        self.page.wait_for_timeout(700)  # transitions of the page end
        views = self.page.evaluate(SEEN, VIEWS)
        bad = [
            v
            for v in VIEWS
            if not views[v]
            or not (
                views[v]["inside"] and views[v]["drawn"] > 20 and (views[v]["uncovered"] or v == under_menu)
            )
        ]
        if bad:
            raise RuntimeError(f"{name} ({self.theme}): not wholly visible: {', '.join(bad)}: {views}")
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        window = picture.resize((WINDOW["width"], WINDOW["height"]), Image.Resampling.LANCZOS)
        self.views[name] = views
        self.frames.append((caption, with_pointer(window, self.mouse), milliseconds))
        if self.theme == "dark" and name != "preview":
            return
        box = around([self.box(c) for c in crop]) if crop else [0, 0, WINDOW["width"], WINDOW["height"]]
        still = (
            picture.crop((DENSITY * box[0], DENSITY * box[1], DENSITY * box[2], DENSITY * box[3]))
            if crop
            else window
        )
        if still.width > MOST_WIDTH:
            size = (MOST_WIDTH, round(still.height * MOST_WIDTH / still.width))
            still = still.resize(size, Image.Resampling.LANCZOS)
        path = PICTURES / f"{name}-{self.theme}.webp"
        still.save(path, quality=86, method=6)
        self.made[path.name] = described(
            path, {"caption": caption, "views": views, "theme": self.theme, "box": box}
        )


def around(boxes: list[list[int]]) -> list[int]:
    """Return the smallest box around several, with a margin."""
    left, top, right, bottom = zip(*boxes)
    return [min(left) - 4, min(top) - 4, max(right) + 4, max(bottom) + 4]


def described(path: Path, more: dict[str, Any]) -> dict[str, Any]:
    """Return facts about a picture, which tests compare with the file."""
    with Image.open(path) as picture:
        size, frames = list(picture.size), getattr(picture, "n_frames", 1)
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": size, "frames": frames, **more}


def with_pointer(picture: Image.Image, at: tuple[float, float] | None) -> Image.Image:
    """Return a copy of the picture with an arrow at the position of the mouse."""
    if at is None:
        return picture
    arrow = [(0, 0), (0, 22), (5, 17), (9, 26), (13, 24), (9, 16), (16, 16)]
    shifted = [(at[0] + x, at[1] + y) for x, y in arrow]
    marked = picture.copy()
    ImageDraw.Draw(marked).polygon(shifted, fill="black", outline="white", width=2)
    return marked


def parts(page: Page, name: str) -> Any:
    """Return the data of a part of a view."""
    return page.evaluate("(n) => window.inficond.store.state.parts[n]", name)


def water_bird(page: Page) -> dict[str, Any]:
    """Return the row of the class `water bird`."""
    return next(c for c in parts(page, "performance.table")["classes"] if c["name"] == "water bird")


def thumb(page: Page, concept: str) -> tuple[float, float, float, float]:
    """Return the middle of a slider's thumb, and left end and width of its track."""
    slider = page.get_by_role("slider", name=f"weight of {concept}", exact=True)
    slider.scroll_into_view_if_needed()
    knob, box = slider.locator(".thumb").bounding_box(), slider.bounding_box()
    if knob is None or box is None:
        raise RuntimeError(f"no slider for {concept}")
    return knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2, box["x"], box["width"]


def first_scene(page: Page) -> None:
    """Select the class of the story, as the first picture shows it."""
    wait_for_slow_parts(page)
    select_class(page, "water bird")
    wait_for_slow_parts(page)


def scenario(walk: Walk) -> dict[str, Any]:
    """Run the guided scenario, from the wrong predictions to the exported student."""
    page = walk.page
    first_scene(page)
    row = '#view-performance [data-class="water bird"]'
    worst = min(parts(page, "performance.table")["classes"], key=lambda c: c["ap"]["value"])
    if worst["name"] != "water bird":
        raise RuntimeError(f"the caption says that water bird is worst, but {worst['name']} is")
    walk.point_at(f"{row} .perf-name")
    walk.keep("fails", "1  Where does the student fail? “water bird” follows its teacher worst", 3200)

    page.click(f'{row} [data-subset="extra"]')
    page.wait_for_function("() => window.inficond.store.state.selection.subset === 'extra'")
    page.wait_for_selector("#view-instances [data-image]")
    before = water_bird(page)["counts"]["extra"]
    page.click('#view-influence [data-concept="sea"] .inf-name')
    page.wait_for_timeout(800)
    page.locator("#view-instances [data-image]").first.click()
    page.wait_for_selector("#view-instances [data-open-image]")
    page.wait_for_timeout(1200)
    walk.point_at('#view-influence [data-concept="sea"] .inf-name')
    walk.keep(
        "why",
        "2  Why? It looks at the water, not at the bird: pick a word, see its evidence",
        3600,
        crop=("#view-influence", "#view-instances"),
    )

    page.keyboard.press("Escape")
    x, y, left, width = thumb(page, "sea")
    walk.point(x, y)
    page.mouse.down()
    walk.point(left + width * 0.5, y)
    page.wait_for_selector("#view-tuning .change")
    walk.keep("drag", "3  Pull a word down: every number is previewed while you drag", crop=("#view-tuning",))
    page.mouse.up()
    page.get_by_role("button", name="Reset", exact=True).click()
    page.wait_for_function("() => window.inficond.store.state.pending.length === 0")

    page.wait_for_selector("#view-tuning [data-suggestion]")
    walk.point_at("#view-tuning [data-suggestion]")
    page.locator("#view-tuning [data-suggestion]").first.click()
    page.wait_for_selector("#view-tuning .change")
    page.wait_for_function(
        "() => window.inficond.store.state.preview && window.inficond.store.state.preview.weights"
    )
    walk.point_at("#view-tuning button:has-text('Apply')")
    walk.keep(
        "preview",
        "4  Or take the first suggestion: mute the water. Before and after, with 95 % intervals",
        3600,
    )

    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector("#view-provenance [data-node] >> nth=1")
    page.wait_for_function("() => window.inficond.store.state.pending.length === 0")
    wait_for_slow_parts(page)
    after = water_bird(page)["counts"]["extra"]
    if not after < before:
        raise RuntimeError(f"the correction did not help: {before} images before, {after} after")
    walk.point_at('#view-provenance [aria-current="true"]')
    walk.keep(
        "improved",
        f"5  Better, and kept as a step to undo: {before} wrong “yes” became {after}",
        3600,
        crop=("#view-performance", "#view-provenance"),
    )

    page.get_by_role("button", name="Export").first.click()
    item = page.get_by_role("menuitem", name="Student (ONNX)")
    box = item.bounding_box()
    if box is None:
        raise RuntimeError("the export menu did not open")
    walk.point(box["x"] + 40, box["y"] + box["height"] / 2)
    walk.keep(
        "export",
        "6  Take the corrected student home as one ONNX file",
        3000,
        crop=("#shell .menu", "#shell .menu-list"),
        under_menu="instances",
    )
    return {"extra_before": before, "extra_after": after}


def animate(walk: Walk) -> None:
    """Write the frames with their captions as one animated WebP."""
    dark = walk.theme == "dark"
    scale = ANIMATION_WIDTH / WINDOW["width"]
    size = (ANIMATION_WIDTH, round(WINDOW["height"] * scale))
    font = ImageFont.load_default(26)
    frames = []
    for caption, picture, _ in walk.frames:
        frame = Image.new("RGB", (size[0], size[1] + CAPTION), "#11161d" if dark else "#ffffff")
        frame.paste(picture.resize(size, Image.Resampling.LANCZOS), (0, CAPTION))
        draw = ImageDraw.Draw(frame)
        draw.text((20, CAPTION / 2), caption, font=font, fill="#e8edf3" if dark else "#17202b", anchor="lm")
        frames.append(frame)
    path = PICTURES / f"scenario-{walk.theme}.webp"
    for quality in (84, 76, 66):
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=[m for _, _, m in walk.frames],
                       loop=0, quality=quality, method=6)  # fmt: skip
        if path.stat().st_size <= MOST_BYTES:
            break
    else:
        raise RuntimeError(f"{path.name} is {path.stat().st_size:,} bytes; {MOST_BYTES:,} are allowed")
    walk.made[path.name] = described(path, {
        "captions": [c for c, _, _ in walk.frames], "theme": walk.theme, "views": walk.views})  # fmt: skip


def commit() -> dict[str, str]:
    """Return the commit that the pictures were made from."""
    told = subprocess.run(
        ["git", "log", "-1", "--format=%H %cI"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    name, date = told.stdout.split()
    return {"commit": name, "commit_date": date}


def walk_in(theme: str, url: str, browser: Any, tell: Callable[[str], None]) -> tuple[Walk, dict[str, Any]]:
    """Run the scenario in one theme, as a separate visitor."""
    context = browser.new_context(viewport=WINDOW, device_scale_factor=DENSITY)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.add_init_script("try { localStorage.setItem('inficond.guided', 'yes'); } catch {}")
    page.goto(f"{url}?__theme={theme}")
    wait_until_drawn(page)
    walk = Walk(page, theme)
    story = scenario(walk)
    animate(walk)
    context.close()
    tell(f"{theme}: {len(walk.made)} pictures")
    return walk, story


def of_report(project: Path, folder: Path, browser: Any) -> dict[str, Any]:
    """Take a picture of the top of the page of `inficond report --html`."""
    page_file = folder / "report.html"
    command = ["-m", "inficond.core.cli.main", "report", str(project)]
    subprocess.run([sys.executable, *command, "--html", str(page_file)], check=True, capture_output=True)
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.goto(page_file.as_uri())
    page.wait_for_timeout(500)
    if "water bird" not in page.inner_text("body"):
        raise RuntimeError("the report does not show the demo's classes")
    path = PICTURES / "report-light.webp"
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, quality=86, method=6)
    page.close()
    return {path.name: described(path, {"caption": "The report of the demo", "theme": "light"})}


def main() -> int:
    """Make all pictures and record facts about them."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "made_by": "python -m tests.tools.make_pictures",
        "version": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **commit(),
        "pictures": {},
    }
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        project = copy_project(demo_project(), Path(folder))
        served = serve(Project.open(project))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            for theme in ("light", "dark"):
                walk, story = walk_in(theme, served.options["url"], browser, print)
                record["pictures"].update(walk.made)
                record["story"] = story
            record["pictures"].update(of_report(project, Path(folder), browser))
        finally:
            browser.close()
            served.close()
    (PICTURES / "pictures.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
