"""Two sides compared on the page, and one click from a number to its images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from tests.browser.page import WINDOWS, Opener, check_accessibility, screenshot, serve
from tests.comparison.rewriting import rewritten

from inficond.core import Project
from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served_three(project_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of the project, of some of its images under other names, and of other images."""
    whole, folder = Project.open(project_folder), tmp_path_factory.mktemp("compare")
    rows = np.arange(0, len(whole), 2)
    some = rewritten(
        whole, folder / "half of them", rows, lambda r: f"renamed/{r}.jpg", whole.thumbnail_bytes
    )
    other = rewritten(whole, folder / "other images", rows[:60], lambda r: f"other/{r}.jpg", None)
    page = serve(whole)
    for project in (some, other):
        page.visitors.add(project)
    yield page
    page.close()


def mute(page: Page) -> None:
    """Take a step on the first class, and wait until the page shows it."""
    concept = page.locator("#view-influence [data-concept]").first.get_attribute("data-concept")
    page.get_by_role("slider", name=f"weight of {concept}", exact=True).focus()
    page.keyboard.press("m")
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator("#view-provenance [data-node]")).to_have_count(2)


def open_comparison(page: Page) -> None:
    page.get_by_role("button", name="Side by side").click()
    expect(page.get_by_role("dialog", name="Side by side").locator("select")).to_have_count(2)


def shown_rows(page: Page) -> int:
    return page.evaluate(
        "() => Uint8Array.from(atob(window.inficond.store.state.parts['instances.gallery'].rows), "
        "(c) => c.charCodeAt(0)).length / 4"
    )


@pytest.mark.parametrize(("theme", "width", "height"), WINDOWS)
def test_a_number_selects_its_images_in_all_views(
    open_page: Opener, served_three: Served, theme: str, width: int, height: int
) -> None:
    page = open_page(url=served_three.options["url"], theme=theme, width=width, height=height)
    mute(page)
    open_comparison(page)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("that neither was fitted on")
    for name in ("Metrics", "Images that changed", "Weights"):
        expect(dialog.get_by_role("group", name=name, exact=True).get_by_role("table")).to_be_visible()
    check_accessibility(page, f"comparison, {theme}")
    screenshot(page, f"compare-{theme}-{width}")
    box = dialog.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= height
    number = dialog.locator(".compared-count").first
    n = int(number.inner_text())
    number.click()
    expect(dialog).to_have_count(0)
    page.wait_for_function(
        "() => window.inficond.store.state.parts['instances.gallery'].filters.length === 1"
    )
    assert shown_rows(page) == n
    expect(page.locator("#view-instances")).to_contain_text("A to B: yes → no")
    expect(page.locator("#view-influence")).to_contain_text("A to B: yes → no")
    check_accessibility(page, f"images of a comparison, {theme}")
    page.reload()
    page.wait_for_function(
        "() => window.inficond?.store.state.parts['instances.gallery']?.filters.length === 1"
    )
    assert shown_rows(page) == n
    page.get_by_role("button", name="Remove the filter A to B").click()
    page.wait_for_function(
        "() => window.inficond.store.state.parts['instances.gallery'].filters.length === 0"
    )
    assert shown_rows(page) > n


def test_another_class_is_chosen_in_the_table(
    open_page: Opener, served_three: Served, classes: list[str]
) -> None:
    page = open_page(url=served_three.options["url"], width=1280, height=720)
    open_comparison(page)
    dialog = page.get_by_role("dialog")
    other = dialog.get_by_role("button", name=classes[-1], exact=True)
    other.click()
    expect(other).to_have_attribute("aria-pressed", "true")
    expect(dialog.get_by_role("rowheader", name=classes[-1])).to_have_count(2)
    expect(other).to_be_focused()


@pytest.mark.parametrize(("theme", "width", "height"), [("light", 1280, 720), ("dark", 390, 844)])
def test_projects_are_compared_on_their_common_images_or_have_none(
    open_page: Opener, served_three: Served, theme: str, width: int, height: int
) -> None:
    page = open_page(url=served_three.options["url"], theme=theme, width=width, height=height)
    open_comparison(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Side B").select_option(label="half of them: student")
    expect(dialog).to_contain_text("images with the same content in both projects")
    expect(dialog.get_by_role("group", name="Images that changed").get_by_role("table")).to_be_visible()
    dialog.get_by_label("Side B").select_option(label="other images: student")
    expect(dialog).to_contain_text("Nothing to compare")
    expect(dialog).to_contain_text("have no image in common")
    check_accessibility(page, f"nothing to compare, {theme}")
    screenshot(page, f"compare-none-{theme}-{width}")
    dialog.get_by_label("Side A").select_option(label="half of them: teacher")
    expect(dialog).to_contain_text("both sides are of other projects".capitalize())
    dialog.get_by_label("Side A").select_option(label="The teacher")
    dialog.get_by_label("Side B").select_option(label="half of them: teacher")
    expect(dialog).to_contain_text("A number selects its images in all views.")


def test_a_link_to_a_comparison_that_is_gone_shows_all_images(open_page: Opener) -> None:
    page = open_page("moved=nothing~teacher~yes-no")
    expect(page.locator("#view-instances")).to_contain_text("held-out images")
    assert "moved" not in page.evaluate("() => location.hash")
