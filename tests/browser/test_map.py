"""The map of the images, linked to the six views in both directions."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from tests.browser.page import (
    SMALL_TEXT,
    WINDOWS,
    Opener,
    check_accessibility,
    home_project,
    nightly,
    screenshot,
    select_class,
    serve,
)

from inficond.core import Project
from inficond.core.project.image_map import image_map
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.sessions.map_area import images_in
from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser

LEVELS = "(level) => inficond.map.scene.look.levels.reduce((n, v) => n + (v === level), 0)"
FRAMES = "async () => { for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame); }"


def open_map(page: Page) -> None:
    page.get_by_role("button", name="Map of the images", exact=True).click()
    page.wait_for_function("() => window.inficond.map?.scene.look?.levels.includes(2)", timeout=60_000)
    page.evaluate(FRAMES)  # the legend has changed the size of the canvas


def lasso(page: Page, corners: list[tuple[float, float]]) -> None:
    """Draw a lasso through points of the canvas, given as shares of its width and height."""
    page.get_by_role("radio", name="Lasso").click()
    box = page.locator(".map-canvas").bounding_box()
    assert box
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in [*at[1:], at[0]]:
        page.mouse.move(x, y, steps=6)
    page.mouse.up()


def test_a_lasso_selects_its_images_in_all_views(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_map(page)
    lasso(page, [(0.55, 0.05), (0.95, 0.05), (0.95, 0.55), (0.55, 0.55)])
    chip = page.locator("#view-instances .filters .chip")
    expect(chip).to_have_text("area of the map")
    project = home_project(served)
    area = parse_qs(urlsplit(page.url).fragment)["area"][0]
    inside = images_in(image_map(project), area) & project.is_validation
    assert 10 < inside.sum() < project.is_validation.sum()
    expect(page.locator('#view-instances [data-choose=""] b')).to_have_text(str(inside.sum()))
    shown = page.eval_on_selector_all("#view-instances [data-image]", "n => n.map((t) => t.dataset.image)")
    assert set(shown) <= {project.image_ids[r] for r in np.flatnonzero(inside)}
    expect(page.locator("#view-influence .chip")).to_contain_text("area of the map")
    page.wait_for_function(f"(n) => ({LEVELS})(2) === n", arg=int(inside.sum()))

    second = open_page(urlsplit(page.url).fragment)
    expect(second.locator(".image-map")).to_be_visible()
    expect(second.locator('#view-instances [data-choose=""] b')).to_have_text(str(inside.sum()))

    other = next(c for c in project.classes if c not in page.url)
    select_class(page, other)
    expect(chip).to_have_text("area of the map")
    page.get_by_role("button", name="Clear the area").click()
    expect(chip).to_have_count(0)


def test_the_selection_of_other_views_is_drawn_on_the_map(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_map(page)
    project = home_project(served)
    name = max(project.classes, key=lambda c: project.session().metrics(c).counts["missed"])
    select_class(page, name)
    missed = project.session().metrics(name).counts["missed"]
    page.click("#view-instances [data-choose='missed']")
    page.wait_for_function(f"(n) => ({LEVELS})(2) === n", arg=missed)
    assert page.evaluate(f"() => ({LEVELS})(1)") == int(project.is_validation.sum()) - missed
    page.click("#view-instances [data-choose='']")
    page.wait_for_function(f"(n) => ({LEVELS})(2) === n", arg=int(project.is_validation.sum()))

    page.wait_for_function("() => window.inficond.store.state.parts['instances.values'] !== undefined")
    page.hover("#view-influence [data-concept] >> nth=0")
    n = int(project.is_validation.sum())
    page.wait_for_function(f"(n) => ({LEVELS})(2) < n", arg=n, timeout=60_000)  # values arrive late
    page.mouse.move(5, 5)

    tile = page.locator("#view-instances [data-image]").nth(2)
    tile.hover()
    row = project.image_ids.index(tile.get_attribute("data-image") or "")
    page.wait_for_function("(row) => window.inficond.map.scene.hovered === row", arg=row)
    tile.click()
    page.wait_for_function("(row) => window.inficond.map.scene.opened === row", arg=row)

    page.select_option("#view-instances select >> nth=0", "all")
    page.wait_for_function(f"(n) => ({LEVELS})(2) === n", arg=len(project))


def test_an_image_of_the_map_opens(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_map(page)
    page.wait_for_function("() => window.inficond.store.state.parts['instances.ids'] !== undefined")
    row = int(home_project(served).validation_rows[7])
    n = len(home_project(served))
    places = page.evaluate("(n) => Array.from({ length: n }, (_, i) => window.inficond.map.pixelOf(i))", n)
    x, y = places[row]
    held_out = home_project(served).validation_rows
    page.locator(".map-canvas").click(position={"x": x, "y": y})
    expect(page.locator("#view-instances [data-open-image]")).to_be_visible()
    page.wait_for_function("() => window.inficond.map.scene.opened >= 0")
    opened = page.evaluate("() => window.inficond.map.scene.opened")
    assert opened in held_out
    assert np.hypot(*np.subtract(places[opened], (x, y))) <= 1


def test_thumbnails_appear_when_the_map_is_zoomed(open_page: Opener) -> None:
    page = open_page()
    open_map(page)
    assert page.evaluate("() => window.inficond.map.thumbnails().length") == 0
    with page.expect_response("**/rpc/map_tiles"):
        page.evaluate("() => window.inficond.map.zoom(6)")
    shown = page.evaluate("() => window.inficond.map.thumbnails()")
    assert len(shown) > 3
    screenshot(page, "map-thumbnails")


def test_colours_follow_the_choice_and_the_class(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_map(page)
    project = home_project(served)
    page.select_option(".map-tools select", "teacher-class")
    for name in project.classes:
        expect(page.locator(".map-legend").get_by_role("button", name=f"{name}: ")).to_be_visible()
    first = page.locator(".map-legend button").first
    n = int(first.locator("b").inner_text())
    first.click()
    page.wait_for_function(f"(n) => ({LEVELS})(2) === n", arg=n)
    page.select_option(".map-tools select", "concept")
    expect(page.locator(".map-scale")).to_be_visible()
    concept = page.locator("#view-influence [data-concept]").nth(3)
    concept.click()
    expect(page.locator(".map-title")).to_have_text(concept.get_attribute("data-concept") or "")


def test_the_map_is_usable_by_keyboard(open_page: Opener) -> None:
    page = open_page()
    open_map(page)
    canvas = page.locator(".map-canvas")
    canvas.focus()
    before = page.evaluate("() => window.inficond.map.pixelOf(0)")
    for key in ("ArrowRight", "+", "+", "+", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("() => window.inficond.map.pixelOf(0)") != before
    page.keyboard.press("Enter")
    expect(page.locator("#view-instances .filters .chip")).to_have_text("area of the map")
    page.keyboard.press("Escape")
    expect(page.locator("#view-instances .filters .chip")).to_have_count(0)
    page.keyboard.press("0")
    assert page.evaluate("() => window.inficond.map.pixelOf(0)") == pytest.approx(before)
    page.keyboard.press("l")
    expect(page.get_by_role("radio", name="Lasso")).to_have_attribute("aria-checked", "true")


@pytest.mark.parametrize(("theme", "width", "height"), WINDOWS)
def test_the_map_is_readable(open_page: Opener, theme: str, width: int, height: int) -> None:
    page = open_page(theme=theme, width=width, height=height)
    open_map(page)
    page.locator(".image-map").scroll_into_view_if_needed()
    assert_in_window(page, width, height if width > 1000 else 2 * height)
    assert page.evaluate(SMALL_TEXT) == []
    check_accessibility(page, f"map {theme} {width}")
    screenshot(page, f"map-{theme}-{width}")
    page.get_by_role("button", name="Enlarge the map").click()
    page.select_option(".map-tools select", "teacher-class")
    expect(page.locator(".map-legend button").nth(4)).to_be_visible()
    assert_in_window(page, width, height)
    assert page.evaluate(SMALL_TEXT) == []
    check_accessibility(page, f"large map {theme} {width}")
    screenshot(page, f"map-large-{theme}-{width}")
    page.keyboard.press("Escape")
    expect(page.locator(".image-map.enlarged")).to_have_count(0)
    page.get_by_role("button", name="Close the map").click()
    expect(page.locator(".image-map")).to_be_hidden()


def assert_in_window(page: Page, width: int, height: int) -> None:
    """Assert that the panel and its tools are not cut off."""
    boxes = page.evaluate(
        "() => [...document.querySelectorAll('.image-map, .map-tools > *')]"
        ".map((n) => n.getBoundingClientRect()).filter((r) => r.width)"
        ".map((r) => [r.left, r.right, r.bottom])"
    )
    for left, right, bottom in boxes:
        assert left >= 0
        assert right <= width + 0.5
        assert bottom <= height + 0.5


@pytest.fixture(scope="module")
def three_images(project_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of a project of three images."""
    whole = Project.open(project_folder)
    rows = np.array([*whole.training_rows[:1], *whole.validation_rows[:2]])
    folder = tmp_path_factory.mktemp("three") / "project"
    write_project(
        folder,
        ProjectContents(
            images=[ImageRow(id=whole.image_ids[r], path=whole.image_ids[r]) for r in rows],
            T=np.asarray(whole.T)[rows],
            concepts=whole.concepts,
            concept_groups=whole.concept_groups,
            concept_embeddings=np.asarray(whole.concept_embeddings),
            classes=whole.classes,
            is_validation=whole.is_validation[rows],
            students=whole.students,
            name="Three images",
        ),
        [
            ImageBlock(
                X=np.asarray(whole.X)[rows],
                regions=np.asarray(whole.region_embeddings)[rows],
                assignment=np.stack([whole.assignment(r).ravel() for r in rows]),
                thumbnails=[whole.thumbnail_bytes(r) for r in rows],
            )
        ],
        grid=whole.grid,
    )
    page = serve(Project.open(folder))
    yield page
    page.close()


@pytest.mark.parametrize("theme", ["light", nightly("dark")])
def test_a_map_of_three_images_says_what_is_missing(
    three_images: Served, open_page: Opener, theme: str
) -> None:
    page = open_page(url=three_images.options["url"], theme=theme, width=1280, height=720)
    page.get_by_role("button", name="Map of the images", exact=True).click()
    expect(page.locator(".map-cover")).to_contain_text(
        "A map needs at least 4 images, and this project has 3"
    )
    expect(page.locator(".map-legend")).to_be_hidden()
    check_accessibility(page, f"no map, {theme}")
    screenshot(page, f"map-none-{theme}")
