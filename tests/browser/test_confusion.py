"""The confusion table and the filters by class, linked to all views."""

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from tests.browser.page import (
    SMALL_TEXT,
    Opener,
    check_accessibility,
    home_project,
    nightly,
    screenshot,
    wait_for_slow_parts,
)

from inficond.core.sessions.class_confusion import actual_classes, confusion_table, predicted_classes
from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser


def open_table(page: Page) -> None:
    """Show the confusion table in view 2."""
    wait_for_slow_parts(page)
    page.get_by_role("button", name="Confusion", exact=True).click()
    expect(page.get_by_role("table", name="Confusion table")).to_be_visible()


def shown_images(page: Page) -> set[str]:
    """Return the ids of the thumbnails in the document."""
    return set(
        page.eval_on_selector_all("#view-instances [data-image]", "n => n.map((t) => t.dataset.image)")
    )


def test_cells_show_the_counts_of_the_held_out_images(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_table(page)
    project = home_project(served)
    table = confusion_table(project.session(), "label")
    for a, actual in enumerate(project.classes):
        for p, predicted in enumerate(project.classes):
            cell = page.locator(f'.confusion td [data-actual="{actual}"][data-predicted="{predicted}"]')
            if table.counts[a, p]:
                expect(cell).to_have_text(str(table.counts[a, p]))
            else:
                expect(cell).to_have_count(0)
    expect(page.locator(".confusion")).to_contain_text(f"{100 * table.accuracy:.0f} % of {table.n} images")


def test_a_cell_selects_its_images_in_all_views(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_table(page)
    project = home_project(served)
    session = project.session()
    counts = confusion_table(session, "label").counts.copy()
    np.fill_diagonal(counts, 0)
    a, p = (int(i) for i in np.unravel_index(counts.argmax(), counts.shape))
    actual, predicted = project.classes[a], project.classes[p]
    page.click(f'.confusion [data-actual="{actual}"][data-predicted="{predicted}"]')
    expect(page.locator(".gallery-caption")).to_contain_text(f"{counts[a, p]} images")
    rows = project.validation_rows
    matches = (actual_classes(session, "label")[rows] == a) & (predicted_classes(session)[rows] == p)
    wanted = {project.image_ids[r] for r in rows[matches]}
    page.wait_for_function(
        "(n) => document.querySelectorAll('#view-instances .tile').length <= n", arg=len(wanted)
    )
    assert shown_images(page) <= wanted
    expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", actual)
    expect(page.locator("#view-influence .chip")).to_have_text(f"{actual} · called {predicted}")
    expect(page.locator("#view-tuning")).to_contain_text("fidelity")
    assert parse_qs(urlsplit(page.url).fragment) == {
        "class": [actual],
        "actual": [actual],
        "predicted": [predicted],
    }
    second = open_page(urlsplit(page.url).fragment)
    expect(second.locator(".gallery-caption")).to_contain_text(f"{counts[a, p]} images")

    page.get_by_role("button", name=f"Remove the filter student: {predicted}").click()
    total = int((actual_classes(session, "label")[rows] == a).sum())
    expect(page.locator(".gallery-caption")).to_contain_text(f"{total} images")
    page.locator("#view-performance").get_by_role("button", name="Confusion", exact=True).click()
    page.locator(f'#view-performance [data-class="{project.classes[0]}"] .perf-name').click()
    expect(page.locator("#view-instances .filters .chip")).to_have_count(0)


def test_images_are_filtered_by_their_label(open_page: Opener, served: Served) -> None:
    page = open_page()
    project = home_project(served)
    assert project.labels is not None
    name = project.classes[-1]
    page.get_by_label("True label").select_option(name)
    rows = project.validation_rows
    wanted = {project.image_ids[r] for r in rows[project.labels[rows, len(project.classes) - 1] >= 0.5]}
    expect(page.locator(".gallery-caption")).to_contain_text(f"{len(wanted)} images")
    expect(page.locator('#view-instances [data-choose=""] b')).to_have_text(str(len(wanted)))
    assert shown_images(page) <= wanted
    page.get_by_role("button", name=f"Remove the filter label: {name}").click()
    expect(page.locator(".gallery-caption")).to_contain_text(f"all {len(rows)} held-out images")


def test_the_table_can_compare_with_the_teacher(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_table(page)
    page.get_by_role("radio", name="teacher", exact=True).click()
    table = confusion_table(home_project(served).session(), "teacher")
    expect(page.locator(".confusion")).to_contain_text(f"{100 * table.accuracy:.0f} % of {table.n} images")
    expect(page.locator(".confusion")).to_contain_text("teacher \\ student")


@pytest.mark.parametrize(
    ("width", "height", "theme"),
    [(1280, 720, "light"), (1440, 900, "dark"), nightly(1280, 720, "dark"), nightly(1440, 900, "light")],
)
def test_the_table_is_readable(open_page: Opener, width: int, height: int, theme: str) -> None:
    page = open_page(width=width, height=height, theme=theme)
    open_table(page)
    page.locator(".confusion td.confused button").first.click()
    expect(page.locator("#view-instances .filters .chip")).to_have_count(2)
    screenshot(page, f"confusion_{width}x{height}_{theme}")
    overlaps = page.evaluate(
        """() => { const parts = [...document.querySelector('.gallery-caption').children]
             .map((n) => n.getBoundingClientRect()).filter((r) => r.width);
             return parts.some((a, i) => parts.some((b, j) => i < j && a.right > b.left + 1)); }"""
    )
    assert not overlaps
    assert page.evaluate(SMALL_TEXT) == []
    check_accessibility(page, f"confusion {width}x{height} {theme}")
