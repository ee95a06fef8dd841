# ruff: noqa: E501  (sentences and scripts are kept on their lines)
"""Layout at four window sizes in light and dark: no clipped panel, readable text, axe without findings."""

import pytest
from playwright.sync_api import expect
from tests.browser.page import (
    SMALL_TEXT,
    Opener,
    check_accessibility,
    nightly,
    screenshot,
    wait_for_slow_parts,
)

pytestmark = pytest.mark.browser

SIZES = [
    (1280, 720, "light"), (1440, 900, "dark"), (1920, 1080, "light"), (390, 844, "dark"),
    nightly(1280, 720, "dark"), nightly(1440, 900, "light"), nightly(1920, 1080, "dark"),
    nightly(390, 844, "light"),
]  # fmt: skip

EDGES = """() => [...document.querySelectorAll('#shell .topbar, #board .view')].map((v) => {
  const r = v.getBoundingClientRect(), body = v.querySelector('.view-body');
  return { name: v.closest('[id^=view-], #shell').id, left: r.left, right: r.right, top: r.top, bottom: r.bottom,
           wide: v.scrollWidth - v.clientWidth, height: body ? body.clientHeight : 99 };
})"""

CUT = """() => {
  // Controls that leave their view, and headings that overlap tools.
  const bad = [];
  for (const view of document.querySelectorAll('#board .view')) {
    const v = view.getBoundingClientRect();
    for (const node of view.querySelectorAll('button, select, input, h2, .view-about, .perf-head span, .inf-head > *')) {
      const r = node.getBoundingClientRect();
      if (!r.width || node.closest('.visually-hidden') || node.matches('.visually-hidden')) continue;
      if (r.right > v.right + 1 || r.left < v.left - 1) bad.push(`${view.parentElement.id} ${node.className} ${node.textContent.slice(0, 30)} leaves its view`);
    }
    const head = [...view.querySelectorAll('.view-head > h2, .view-tools > *')].map((n) => n.getBoundingClientRect()).filter((r) => r.width);
    for (const a of head) for (const b of head)
      if (a !== b && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) bad.push(`heading and tools overlap in ${view.closest('.block').id}`);
  }
  return [...new Set(bad)];
}"""


@pytest.mark.parametrize(("width", "height", "theme"), SIZES)
def test_views_fit_the_window_and_text_is_readable(
    open_page: Opener, width: int, height: int, theme: str
) -> None:
    page = open_page(width=width, height=height, theme=theme)
    wait_for_slow_parts(page)
    page.locator("#view-instances [data-image]").nth(3).click()
    page.wait_for_selector("#view-instances [data-open-image]")
    page.locator("#view-tuning [role=slider]").first.focus()
    page.keyboard.press("PageDown")
    page.wait_for_selector("#view-tuning .change")
    screenshot(page, f"page_{width}x{height}_{theme}")
    for view in page.evaluate(EDGES):
        assert view["left"] >= 0, view
        assert view["right"] <= width, view
        assert view["wide"] <= 0, view
        if width >= 1000:
            assert view["height"] >= 60, view
            assert view["bottom"] <= height, view
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    if width >= 1000:
        assert page.evaluate("() => document.documentElement.scrollHeight") <= height, (
            "the page itself scrolls"
        )
    assert page.evaluate(SMALL_TEXT) == []
    assert page.evaluate(CUT) == []
    check_accessibility(page, f"{width}x{height} {theme}")


SPILLS = """() => [...document.querySelectorAll('.inf-dialog, .inf-dialog .dialog-body > *, .menu-list:not([hidden]) *')]
  .filter((n) => n.getClientRects().length && !n.closest('.table-box table'))
  .filter((n) => { const r = n.getBoundingClientRect(); return r.left < -0.5 || r.right > innerWidth + 0.5; })
  .map((n) => `${n.className} ${n.textContent.slice(0, 40)}`)"""


def test_dialogs_and_menus_fit_a_phone(open_page: Opener) -> None:
    page = open_page(width=390, height=844)
    page.get_by_role("button", name="Export").click()
    page.wait_for_selector(".menu-list:not([hidden])")
    screenshot(page, "phone_export")
    assert page.evaluate(SPILLS) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="How good is this student?").click()
    page.wait_for_selector(".inf-dialog table tr.strong >> nth=0", timeout=60_000)
    screenshot(page, "phone_summary")
    assert page.evaluate(SPILLS) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="New project").click()
    page.wait_for_selector(".inf-dialog .two")
    columns = page.evaluate(
        "() => getComputedStyle(document.querySelector('.inf-dialog .two')).gridTemplateColumns"
    )
    assert len(columns.split()) == 1, "the rules for small windows must apply to dialogs"
    assert page.evaluate(SPILLS) == []


def test_a_message_lies_over_a_dialog_and_stays_when_it_closes(open_page: Opener) -> None:
    page = open_page()
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("textbox", name="λ").fill("no number")
    page.get_by_role("button", name="Refit").click()
    line = page.locator(".message.bad")
    expect(line).to_be_visible()
    over = page.evaluate(
        "() => { const r = document.querySelector('.message.bad').getBoundingClientRect();"
        " return document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2).closest('.message') !== null; }"
    )
    assert over, "the message lies behind the dialog"
    page.keyboard.press("Escape")
    expect(line).to_be_visible()


PLACEHOLDER_FITS = """() => {
  const input = document.querySelector('#view-configuration .add-word input'), style = getComputedStyle(input);
  const brush = document.createElement('canvas').getContext('2d');
  brush.font = style.font;
  const room = input.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return brush.measureText(input.placeholder).width <= room;
}"""


@pytest.mark.parametrize("size", [(1280, 720), nightly((1440, 900))])
def test_nothing_is_cut_or_covered_in_a_small_window(open_page: Opener, size: tuple[int, int]) -> None:
    page = open_page(width=size[0], height=size[1])
    assert page.evaluate(PLACEHOLDER_FITS)
    names = page.locator(".suggestion:not(.add) [data-name]")
    names.first.wait_for(timeout=60_000)
    assert names.evaluate_all("(all) => all.every((name) => name.scrollWidth <= name.clientWidth)")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("textbox", name="λ").fill("no number")
    page.get_by_role("button", name="Refit").click()
    message, bar = page.locator(".message.bad").bounding_box(), page.locator(".topbar").bounding_box()
    assert message
    assert bar
    assert message["y"] > bar["y"] + bar["height"]


@pytest.mark.parametrize("theme", ["light", nightly("dark")])
def test_dialogs_are_readable(open_page: Opener, theme: str) -> None:
    page = open_page(width=1280, height=720, theme=theme)
    for name, opener in (
        ("summary", "How good is this student?"),
        ("new_project", "New project"),
        ("settings", "Settings"),
    ):
        page.get_by_role("button", name=opener).click()
        page.wait_for_selector(".inf-dialog[open]")
        if name == "summary":
            page.wait_for_selector(".inf-dialog table tr.strong >> nth=0", timeout=60_000)
        screenshot(page, f"dialog_{name}_{theme}")
        assert page.evaluate(SMALL_TEXT) == []
        check_accessibility(page, name)
        page.keyboard.press("Escape")
        page.wait_for_selector(".inf-dialog", state="detached")
    page.get_by_role("button", name="Export").click()
    screenshot(page, f"menu_export_{theme}")
    check_accessibility(page, "export menu")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Guide").click()
    page.wait_for_selector(".inf-guide")
    screenshot(page, f"guide_{theme}")
    check_accessibility(page, "guide")
