# ruff: noqa: E501  (sentences and scripts are kept on their lines)
"""Every panel in the window, every word readable: four window sizes, light and dark, and axe on all of them."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from tests.browser.conftest import ARTIFACTS, Opener, settle

pytestmark = pytest.mark.browser

SIZES = [(1280, 720), (1440, 900), (1920, 1080), (390, 844)]
THEMES = ["light", "dark"]

EDGES = """() => [...document.querySelectorAll('#shell .topbar, #board .view')].map((v) => {
  const r = v.getBoundingClientRect(), body = v.querySelector('.view-body');
  return { name: v.closest('[id^=view-], #shell').id, left: r.left, right: r.right, top: r.top, bottom: r.bottom,
           wide: v.scrollWidth - v.clientWidth, height: body ? body.clientHeight : 99 };
})"""

SMALL = """() => {
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !node.closest('.inf, .inf-dialog, .inf-messages, .inf-guide')) continue;
    if (!node.getClientRects().length) continue;
    const size = parseFloat(getComputedStyle(node).fontSize);
    if (size < 11) bad.push(`${size}px: ${walk.currentNode.textContent.slice(0, 40)}`);
  }
  return bad;
}"""

CUT = """() => {
  // text that is wider than its box without an ellipsis, or a control that hangs out of its view
  const bad = [];
  for (const view of document.querySelectorAll('#board .view')) {
    const v = view.getBoundingClientRect();
    for (const node of view.querySelectorAll('button, select, input, h2, .view-about, .perf-head span, .inf-head > *')) {
      const r = node.getBoundingClientRect();
      if (!r.width || node.closest('.visually-hidden') || node.matches('.visually-hidden')) continue;
      if (r.right > v.right + 1 || r.left < v.left - 1) bad.push(`${view.parentElement.id} ${node.className} ${node.textContent.slice(0, 30)} hangs out`);
    }
    const head = [...view.querySelectorAll('.view-head > h2, .view-tools > *')].map((n) => n.getBoundingClientRect()).filter((r) => r.width);
    for (const a of head) for (const b of head)
      if (a !== b && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) bad.push(`heading and tools overlap in ${view.closest('.block').id}`);
  }
  return [...new Set(bad)];
}"""


def shot(page: Page, name: str) -> None:
    """Keep a picture of the state for people to look at."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(
        path=str(Path(ARTIFACTS) / f"{name}.png"), full_page=(page.viewport_size or {}).get("width", 0) < 1000
    )


def check_axe(page: Page, state: str) -> None:
    """No serious or critical finding, in particular contrast of at least 4.5 to 1."""
    found = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    told = [
        f"{v['id']}: {node['target']} {node.get('failureSummary', '')[:160]}"
        for v in found
        for node in v["nodes"][:4]
    ]
    assert not told, f"{state}:\n" + "\n".join(told)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_is_clipped_or_too_small(open_page: Opener, width: int, height: int, theme: str) -> None:
    page = open_page(width=width, height=height, theme=theme)
    settle(page)
    page.locator("#view-instances [data-image]").nth(3).click()
    page.wait_for_selector("#view-instances [data-open-image]")
    page.locator("#view-tuning [role=slider]").first.focus()
    page.keyboard.press("PageDown")
    page.wait_for_selector("#view-tuning .change")
    shot(page, f"page_{width}x{height}_{theme}")
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
    assert page.evaluate(SMALL) == []
    assert page.evaluate(CUT) == []
    check_axe(page, f"{width}x{height} {theme}")


SPILLS = """() => [...document.querySelectorAll('.inf-dialog, .inf-dialog .dialog-body > *, .menu-list:not([hidden]) *')]
  .filter((n) => n.getClientRects().length && !n.closest('.table-box table'))
  .filter((n) => { const r = n.getBoundingClientRect(); return r.left < -0.5 || r.right > innerWidth + 0.5; })
  .map((n) => `${n.className} ${n.textContent.slice(0, 40)}`)"""


def test_on_a_phone_dialogs_and_menus_stay_inside_the_window(open_page: Opener) -> None:
    page = open_page(width=390, height=844)
    page.get_by_role("button", name="Export").click()
    page.wait_for_selector(".menu-list:not([hidden])")
    shot(page, "phone_export")
    assert page.evaluate(SPILLS) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="How good is this student?").click()
    page.wait_for_selector(".inf-dialog table tr.strong >> nth=0", timeout=60_000)
    shot(page, "phone_summary")
    assert page.evaluate(SPILLS) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="New project").click()
    page.wait_for_selector(".inf-dialog .two")
    columns = page.evaluate(
        "() => getComputedStyle(document.querySelector('.inf-dialog .two')).gridTemplateColumns"
    )
    assert len(columns.split()) == 1, "the rules for small windows reach the dialogs"
    assert page.evaluate(SPILLS) == []


def test_what_is_said_is_seen_over_a_dialog_and_stays_when_it_closes(open_page: Opener) -> None:
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
    assert over, "the line lies behind the dialog"
    page.keyboard.press("Escape")
    expect(line).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
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
        shot(page, f"dialog_{name}_{theme}")
        assert page.evaluate(SMALL) == []
        check_axe(page, name)
        page.keyboard.press("Escape")
        page.wait_for_selector(".inf-dialog", state="detached")
    page.get_by_role("button", name="Export").click()
    shot(page, f"menu_export_{theme}")
    check_axe(page, "export menu")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Guide").click()
    page.wait_for_selector(".inf-guide")
    shot(page, f"guide_{theme}")
    check_axe(page, "guide")
