"""Concepts on the page: the dialogs of words and of regions without a word, and regions that are clicked."""

import re

import pytest
from playwright.sync_api import expect
from tests.browser.page import Opener, check_accessibility, screenshot, select_class

pytestmark = pytest.mark.browser


def test_words_are_accepted_and_rejected_in_the_dialog(open_page: Opener) -> None:
    page = open_page()
    page.click("#view-configuration >> text=Words")
    dialog = page.locator("dialog.inf-dialog")
    boxes = dialog.locator(".word-row input[type=checkbox]")
    boxes.first.wait_for(timeout=120_000)
    dialog.locator(".word-row").first.locator("img").nth(3).wait_for(timeout=60_000)
    used = dialog.locator(".word-row input:checked").first
    word = (used.get_attribute("aria-label") or "").removeprefix("Use ")
    used.uncheck()
    dialog.get_by_label("Words of your own, separated by commas").fill("fluffy fur")
    screenshot(page, "which words")
    dialog.get_by_role("button", name="Use these words").click()
    expect(dialog).to_have_count(0, timeout=60_000)
    said = page.locator(".inf-messages")
    expect(said).to_contain_text(f"{word}: rejected")
    expect(said).to_contain_text("fluffy fur: accepted")


def test_a_word_is_renamed_in_the_dialog(open_page: Opener) -> None:
    page = open_page()
    page.click("#view-configuration >> text=Words")
    dialog = page.locator("dialog.inf-dialog")
    row = dialog.locator(".word-row", has=page.locator("input:checked")).first
    row.wait_for(timeout=120_000)
    word = row.locator("b").inner_text()
    rename, name = row.get_by_role("button", name="Rename"), row.get_by_label(f"New name of {word}")
    rename.click()
    expect(name).to_be_focused()
    name.press("Escape")
    expect(name).to_be_hidden()
    expect(rename).to_be_focused()
    rename.press("Enter")
    name.fill("x" * 80)
    row.locator("img").first.wait_for(timeout=60_000)
    check_accessibility(page, "rename a word")
    dialog.get_by_label("Words of your own, separated by commas").fill("word " * 60)
    dialog.get_by_role("button", name="Use these words").click()
    expect(page.locator(".inf-messages")).to_contain_text("1 to 100 printable characters")
    dialog.get_by_label("Words of your own, separated by commas").fill("")
    expect(name).to_have_value("x" * 80)  # nothing typed is lost
    name.fill("thing I know")
    screenshot(page, "rename a word")
    dialog.get_by_role("button", name="Use these words").click()
    expect(dialog).to_have_count(0, timeout=60_000)
    full = f"thing I know (was {word})"
    expect(page.locator(".inf-messages")).to_contain_text(f"it is called '{full}' now")
    expect(page.locator(f'#view-influence [data-concept="{full}"]').first).to_be_visible()
    expect(page.locator('#view-provenance [aria-current="true"]')).to_contain_text(
        f"rename {word} to thing I know"
    )
    page.locator("#view-provenance").get_by_role("button", name="Undo").click()
    expect(page.locator(f'#view-influence [data-concept="{full}"]')).to_have_count(0)


def test_a_group_of_regions_gets_a_name_and_becomes_a_concept(open_page: Opener) -> None:
    page = open_page()
    page.click("#view-configuration >> text=Words")
    page.locator("dialog .word-row").first.wait_for(timeout=120_000)
    page.get_by_role("button", name="Concepts without words…").click()
    dialog = page.locator("dialog.inf-dialog")
    expect(dialog.locator("h2")).to_have_text("Concepts without words")
    row = dialog.locator(".word-row").first
    row.wait_for(timeout=120_000)
    assert row.locator("img").count() >= 6
    suggestion = row.locator(".found-name .button").first
    word = suggestion.inner_text()
    suggestion.click()
    expect(row.locator("input")).to_have_value(word)
    row.locator("input").fill("a thing I know")
    check_accessibility(page, "concepts without words")
    screenshot(page, "concepts without words")
    dialog.get_by_role("button", name="Add the named concepts").click()
    expect(dialog).to_have_count(0, timeout=60_000)
    expect(page.locator(".inf-messages")).to_contain_text(
        re.compile(r"a thing I know #\w{6} \(by example\): added from")
    )


def test_clicked_regions_become_a_concept(open_page: Opener, classes: list[str]) -> None:
    page = open_page()
    select_class(page, classes[0])
    page.locator("#view-instances [data-image]").first.click()
    opened = page.locator("#view-instances [data-open-image]")
    picture = opened.locator(".stage img")
    picture.wait_for()
    opened.get_by_role("button", name="Pick regions…").click()
    add = opened.get_by_role("button", name="Add", exact=True)
    expect(add).to_be_disabled()
    box = picture.bounding_box()
    assert box
    picture.click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.25})
    expect(opened.locator(".picked-bar")).to_contain_text("1 shown, 0 not shown")
    picture.click(position={"x": box["width"] * 0.8, "y": box["height"] * 0.8}, modifiers=["Shift"])
    expect(opened.locator(".picked-bar")).to_contain_text("1 shown, 1 not shown")
    check_accessibility(page, "picked regions")
    screenshot(page, "picked regions")
    opened.get_by_label("Name of the concept").fill("corner")
    add.click()
    expect(opened.locator(".picked-bar")).to_be_hidden(timeout=30_000)
    expect(page.locator(".inf-messages")).to_contain_text(
        re.compile(r"corner #\w{6} \(by example\): added from 1 region")
    )
