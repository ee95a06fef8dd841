"""Everything by keyboard alone: no mouse is touched in these tests."""

import re

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Opener, settle
from tests.browser.test_layout import SMALL, check_axe, shot

pytestmark = pytest.mark.browser


def tab_to(page: Page, wanted: str, most: int = 160) -> None:
    """Press Tab until the focused element matches, as a person without a mouse does."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(s) => document.activeElement.matches(s)", wanted):
            return
    raise AssertionError(f"Tab never reached {wanted}")


def pending(page: Page) -> list[dict]:
    return page.evaluate("() => window.inficond.store.state.pending")


def current(page: Page) -> str:
    return page.locator('#view-provenance [aria-current="true"]').inner_text()


def test_tuning_from_mute_to_branch(open_page: Opener) -> None:
    page = open_page()
    tab_to(page, "#view-tuning [role=slider]")
    name = page.evaluate("() => document.activeElement.closest('[data-concept]').dataset.concept")
    for key, kind in (("m", "mute"), ("l", "lock"), ("+", "up"), ("Delete", None), ("-", "down")):
        page.keyboard.press(key)
        found = pending(page)
        assert [a["kind"] for a in found if a["concept"] == name] == ([kind] if kind else [])
    page.keyboard.press("+")  # takes the lowering back
    page.keyboard.press("m")
    page.wait_for_selector("#view-tuning .change")
    page.keyboard.press("Enter")
    expect(page.locator('#view-provenance [aria-current="true"]')).to_contain_text(f"mute {name}")
    row = page.locator(f'#view-tuning [data-concept="{name}"]')
    expect(row.locator(".tune-bound")).to_have_text("muted")
    page.keyboard.press("Control+z")
    expect(page.locator('#view-provenance [aria-current="true"]')).to_contain_text("as it was fitted")
    page.keyboard.press("Control+Shift+z")
    expect(page.locator('#view-provenance [aria-current="true"]')).to_contain_text(f"mute {name}")

    # a focus is chosen, and the bound is lifted under it
    tab_to(page, "#view-tuning select")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => window.inficond.store.state.focus !== null")
    tab_to(page, f'#view-tuning [data-concept="{name}"] [role=slider]')
    page.keyboard.press("f")
    assert [a["kind"] for a in pending(page)] == ["free"]
    page.wait_for_selector("#view-tuning .change")
    page.keyboard.press("Enter")
    expect(page.locator("#view-provenance [data-node]")).to_have_count(3)
    expect(page.locator('#view-provenance [aria-current="true"]')).to_contain_text("focus on")

    # back to the first step, and on from there: a branch; it gets a name
    tab_to(page, "#view-provenance .step-button")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator('#view-provenance [aria-current="true"]')).to_contain_text("as it was fitted")
    tab_to(page, "#view-tuning [role=slider]")
    page.keyboard.press("l")
    page.wait_for_selector("#view-tuning .change")
    page.keyboard.press("Enter")
    expect(page.locator("#view-provenance [data-node]")).to_have_count(4)
    assert page.evaluate("() => window.inficond.store.state.parts['provenance.tree'].lanes") == 2
    tab_to(page, '#view-provenance [aria-current="true"] .step-button')
    tab_to(page, '#view-provenance [aria-label="Name this step"]')
    page.keyboard.press("Enter")
    page.keyboard.type("without the mouse")
    page.keyboard.press("Enter")
    expect(page.locator("#view-provenance")).to_contain_text("without the mouse")


def test_a_digit_goes_to_the_view_of_that_number(open_page: Opener) -> None:
    page = open_page()
    settle(page)
    for digit, wanted in (
        ("2", '#view-performance [role=row][aria-selected="true"]'),
        ("3", "#view-influence [role=option]"),
        ("4", "#view-tuning [role=slider]"),
        ("5", "#view-instances .tile"),
        ("6", '#view-provenance [aria-current="true"] .step-button'),
        ("1", "#view-configuration .add-word input"),
    ):
        page.keyboard.press(digit)
        assert page.evaluate("(s) => document.activeElement.matches(s)", wanted), digit
    page.keyboard.press("2")
    assert page.evaluate("() => document.activeElement.value") == "2", "in a text field a digit is a digit"


def test_a_word_is_tuned_at_its_row_as_at_its_slider(open_page: Opener) -> None:
    page = open_page()
    page.keyboard.press("3")
    name = page.evaluate("() => document.activeElement.dataset.concept")
    for key, kind in (("m", "mute"), ("l", "lock"), ("+", "up"), ("Delete", None), ("-", "down")):
        page.keyboard.press(key)
        assert [a["kind"] for a in pending(page) if a["concept"] == name] == ([kind] if kind else [])
    page.wait_for_selector("#view-tuning .change")


def test_a_word_is_found_by_typing_and_its_slider_is_next(open_page: Opener, classes: list[str]) -> None:
    page = open_page()
    settle(page)
    idle = page.locator('#view-influence [data-concept][data-weight="0"]').last.get_attribute("data-concept")
    tab_to(page, "#view-tuning input[type=search]")
    page.keyboard.type(idle or "")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "(c) => document.activeElement.getAttribute('aria-label') === `weight of ${c}`", arg=idle
    )


def test_with_an_image_open_the_arrows_open_the_next(open_page: Opener) -> None:
    page = open_page()
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    first = page.locator("#view-instances [data-open-image]")
    first.wait_for()
    before = first.get_attribute("data-open-image")
    page.keyboard.press("ArrowRight")
    expect(first).not_to_have_attribute("data-open-image", before or "")
    tab_to(page, "#view-instances [data-contribution]")
    page.keyboard.press("Escape")  # from anywhere in the view
    expect(first).to_have_count(0)


def test_a_slice_of_words_images_and_the_top_bar(open_page: Opener) -> None:
    page = open_page()
    settle(page)
    tab_to(page, "#view-configuration .add-word input")
    page.keyboard.type("gold leaf")
    page.keyboard.press("Enter")
    expect(page.locator("#view-configuration .added .chip")).to_have_text("gold leaf")
    page.wait_for_load_state("networkidle")
    tab_to(page, "#view-tuning [data-suggestion]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#view-tuning .change")
    tab_to(page, "#view-instances .tile")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#view-instances [data-open-image]")
    tab_to(page, "#view-instances [data-contribution]")
    page.wait_for_selector("#view-instances canvas.evidence[data-on]")
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("?")
    expect(page.locator(".inf-dialog")).to_contain_text("discard the change that is not applied yet")
    shot(page, "keyboard_light")
    assert page.evaluate(SMALL) == []
    check_axe(page, "keyboard")
    page.keyboard.press("Escape")
    expect(page.locator(".inf-dialog")).to_have_count(0)

    tab_to(page, ".topbar .menu > button")
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    with page.expect_download() as info:  # the first chart, behind the four files
        page.keyboard.press("Enter")
    assert info.value.suggested_filename.endswith(".svg")
    tab_to(page, '.topbar [aria-label^="Copy a link"]')
    page.keyboard.press("Enter")
    expect(page.locator(".message").last).to_contain_text(re.compile("link|class="))
    dark = page.evaluate("() => window.inficond.ui.isDark()")
    tab_to(page, '.topbar [aria-label="Light or dark"]')
    page.keyboard.press("Enter")
    assert page.evaluate("() => window.inficond.ui.isDark()") is not dark


def test_the_guided_scenario(open_page: Opener) -> None:
    page = open_page()
    settle(page)
    tab_to(page, '.topbar [aria-label="Guide"]')
    page.keyboard.press("Enter")
    for number in range(1, 9):
        expect(page.locator(".inf-guide")).to_have_attribute("data-step", str(number), timeout=30_000)
        if number == 6:
            page.wait_for_selector("#view-tuning [data-suggestion]")
        if number == 7:
            page.wait_for_selector("#view-tuning .change")
        page.keyboard.press("Enter")  # the card has the focus: Enter is "Next"
    expect(page.locator(".inf-guide")).to_have_attribute("data-step", "9", timeout=30_000)
    expect(page.locator("#view-provenance [data-node]")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator(".inf-guide")).to_have_count(0)
