"""Use of the page by keyboard alone."""

import re

import pytest
from playwright.sync_api import Page, expect
from tests.browser.page import (
    CURRENT_STEP,
    SMALL_TEXT,
    Opener,
    check_accessibility,
    pending,
    screenshot,
    wait_for_slow_parts,
)

pytestmark = pytest.mark.browser


def tab_to(page: Page, wanted: str, most: int = 160) -> None:
    """Press Tab until the focused element matches a selector."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(s) => document.activeElement.matches(s)", wanted):
            return
    raise AssertionError(f"Tab never reached {wanted}")


def test_tuning_undo_focus_and_branch(open_page: Opener) -> None:
    page = open_page()
    tab_to(page, "#view-tuning [role=slider]")
    name = page.evaluate("() => document.activeElement.closest('[data-concept]').dataset.concept")
    for key, kind in (("m", "mute"), ("l", "lock"), ("+", "up"), ("Delete", None), ("-", "down")):
        page.keyboard.press(key)
        found = pending(page)
        assert [a["kind"] for a in found if a["concept"] == name] == ([kind] if kind else [])
    page.keyboard.press("+")  # removes the lowering
    page.keyboard.press("m")
    page.wait_for_selector("#view-tuning .change")
    page.keyboard.press("Enter")
    expect(page.locator(CURRENT_STEP)).to_contain_text(f"mute {name}")
    row = page.locator(f'#view-tuning [data-concept="{name}"]')
    expect(row.locator(".tune-bound")).to_have_text("muted")
    page.keyboard.press("Control+z")
    expect(page.locator(CURRENT_STEP)).to_contain_text("as it was fitted")
    page.keyboard.press("Control+Shift+z")
    expect(page.locator(CURRENT_STEP)).to_contain_text(f"mute {name}")

    # Choose a focus and remove the bound under it.
    tab_to(page, "#view-tuning select")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => window.inficond.store.state.focus !== null")
    tab_to(page, f'#view-tuning [data-concept="{name}"] [role=slider]')
    page.keyboard.press("f")
    assert [a["kind"] for a in pending(page)] == ["free"]
    page.wait_for_selector("#view-tuning .change")
    page.keyboard.press("Enter")
    expect(page.locator("#view-provenance [data-node]")).to_have_count(3)
    expect(page.locator(CURRENT_STEP)).to_contain_text("focus on")

    # Check out the first step, tune from there, and name the branch.
    tab_to(page, "#view-provenance .step-button")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator(CURRENT_STEP)).to_contain_text("as it was fitted")
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


def test_a_digit_focuses_the_view_of_that_number(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
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
    assert page.evaluate("() => document.activeElement.value") == "2", "a text field receives the digit"


def test_a_concept_row_accepts_the_keys_of_its_slider(open_page: Opener) -> None:
    page = open_page()
    page.keyboard.press("3")
    name = page.evaluate("() => document.activeElement.dataset.concept")
    for key, kind in (("m", "mute"), ("l", "lock"), ("+", "up"), ("Delete", None), ("-", "down")):
        page.keyboard.press(key)
        assert [a["kind"] for a in pending(page) if a["concept"] == name] == ([kind] if kind else [])
    page.wait_for_selector("#view-tuning .change")


def test_finding_a_concept_focuses_its_slider(open_page: Opener, classes: list[str]) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    idle = page.locator('#view-influence [data-concept][data-weight="0"]').last.get_attribute("data-concept")
    tab_to(page, "#view-tuning input[type=search]")
    page.keyboard.type(idle or "")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "(c) => document.activeElement.getAttribute('aria-label') === `weight of ${c}`", arg=idle
    )


def test_arrows_open_the_next_image_while_one_is_open(open_page: Opener) -> None:
    page = open_page()
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    first = page.locator("#view-instances [data-open-image]")
    first.wait_for()
    before = first.get_attribute("data-open-image")
    page.keyboard.press("ArrowRight")
    expect(first).not_to_have_attribute("data-open-image", before or "")
    tab_to(page, "#view-instances [data-contribution]")
    page.keyboard.press("Escape")  # works anywhere in the view
    expect(first).to_have_count(0)


def test_added_concept_suggestion_image_and_top_bar(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
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
    screenshot(page, "keyboard_light")
    assert page.evaluate(SMALL_TEXT) == []
    check_accessibility(page, "keyboard")
    page.keyboard.press("Escape")
    expect(page.locator(".inf-dialog")).to_have_count(0)

    tab_to(page, ".topbar .menu > button")
    page.keyboard.press("Enter")
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    with page.expect_download() as info:  # the first chart follows the five files
        page.keyboard.press("Enter")
    assert info.value.suggested_filename.endswith(".svg")
    tab_to(page, '.topbar [aria-label^="Copy a link"]')
    page.keyboard.press("Enter")
    expect(page.locator(".message").last).to_contain_text(re.compile("link|class="))
    dark = page.evaluate("() => window.inficond.ui.isDark()")
    tab_to(page, '.topbar [aria-label="Light or dark"]')
    page.keyboard.press("Enter")
    assert page.evaluate("() => window.inficond.ui.isDark()") is not dark


def test_enter_completes_the_guided_scenario(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    tab_to(page, '.topbar [aria-label="Guide"]')
    page.keyboard.press("Enter")
    for number in range(1, 9):
        expect(page.locator(".inf-guide")).to_have_attribute("data-step", str(number), timeout=30_000)
        if number == 6:
            page.wait_for_selector("#view-tuning [data-suggestion]")
        if number == 7:
            page.wait_for_selector("#view-tuning .change")
        page.keyboard.press("Enter")  # the card has the focus, so Enter presses Next
    expect(page.locator(".inf-guide")).to_have_attribute("data-step", "9", timeout=30_000)
    expect(page.locator("#view-provenance [data-node]")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator(".inf-guide")).to_have_count(0)
