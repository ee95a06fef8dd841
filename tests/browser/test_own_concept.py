"""A concept from regions of an own image: a box, clicks, the keyboard, a finger."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.browser.page import Opener, check_accessibility, screenshot, wait_until_drawn

from inficond.core import Project
from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser


@pytest.fixture
def mine(scratch: Path, project_folder: Path) -> Path:
    """A photograph that the visitor uploads."""
    path = scratch / "mine.jpg"
    path.write_bytes(Project.open(project_folder).thumbnail_bytes(5))
    return path


def start(page: Page, mine: Path) -> Locator:
    """Open an own image and begin to choose its regions."""
    page.locator("#view-configuration input[type=file]").set_input_files(mine)
    dialog = page.locator("dialog.inf-dialog")
    dialog.locator(".own-class").first.wait_for(timeout=60_000)
    dialog.get_by_role("button", name="Make a concept from regions…").click()
    dialog.locator(".own-picker").wait_for()
    return dialog


def numbers(dialog: Locator, state: str) -> int:
    return dialog.get_by_role("button", name=re.compile(rf"^Region \d+: {state}$")).count()


def drag(page: Page, picker: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    box = picker.bounding_box()
    assert box
    (x0, y0), (x1, y1) = (
        (box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]) for share in (start, end)
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1)
    page.mouse.up()


def test_a_box_over_an_own_image_becomes_a_concept(open_page: Opener, mine: Path, served: Served) -> None:
    page = open_page()
    dialog = start(page, mine)
    picker, status = dialog.locator(".own-picker"), dialog.locator(".own-concept [role=status]")
    add = dialog.get_by_role("button", name="Add", exact=True)
    expect(add).to_be_disabled()
    drag(page, picker, (0.02, 0.02), (0.98, 0.98))
    total = dialog.locator(".own-region").count()
    expect(status).to_have_text(f"{total} shown, 0 not shown")
    dialog.get_by_role("radio", name="does not show it").click()
    drag(page, picker, (0.98, 0.02), (0.6, 0.4))
    expect(status).not_to_contain_text(" 0 not shown")
    assert numbers(dialog, "does not show it") >= 1
    dialog.get_by_label("Name of the concept").fill("feathers I know")
    check_accessibility(page, "regions of an own image")
    screenshot(page, "own concept")
    add.click()
    expect(dialog).to_have_count(0, timeout=60_000)
    name = re.compile(r"feathers I know #\w{6} \(by example\)")
    expect(page.locator(".inf-messages")).to_contain_text(name)
    expect(page.locator("#view-influence")).to_contain_text(name)
    assert not list(served.files.folder.rglob("own-image.webp")), "closing the dialog must delete the image"
    page.reload()
    wait_until_drawn(page)
    expect(page.locator("#view-influence")).to_contain_text(name)
    page.locator("#view-provenance").get_by_role("button", name="Undo").click()
    expect(page.locator("#view-influence")).not_to_contain_text(name)


def test_regions_are_chosen_with_the_keyboard(open_page: Opener, mine: Path) -> None:
    page = open_page()
    dialog = start(page, mine)
    first = dialog.locator(".own-region").first
    expect(dialog.get_by_role("radio", name="shows it", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(first).to_have_attribute("aria-label", "Region 1: shows it")
    page.keyboard.press("Enter")
    expect(first).to_have_attribute("aria-label", "Region 1: not picked")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    for _ in range(dialog.locator(".own-region").count()):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the last region; its neighbours may be too alike to differ
    expect(dialog.locator(".own-concept [role=status]")).to_have_text("1 shown, 1 not shown")
    dialog.get_by_label("Name of the concept").focus()
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0, timeout=60_000)
    expect(page.locator(".inf-messages")).to_contain_text(
        re.compile(r"keys #\w{6} \(by example\): added from 1")
    )


def test_a_finger_drags_a_box(browser: Browser, served: Served, mine: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.add_init_script("try { localStorage.setItem('inficond.guided', 'yes'); } catch {}")
    page.goto(served.options["url"])
    wait_until_drawn(page)
    dialog = start(page, mine)
    picker = dialog.locator(".own-picker")
    picker.scroll_into_view_if_needed()
    box = picker.bounding_box()
    assert box
    touch = context.new_cdp_session(page)

    def send(kind: str, share: float) -> None:
        at = {"x": box["x"] + share * box["width"], "y": box["y"] + share * box["height"]}
        points = [] if kind == "touchEnd" else [at]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for kind, share in (("touchStart", 0.05), ("touchMove", 0.5), ("touchMove", 0.95), ("touchEnd", 0.95)):
        send(kind, share)
    expect(dialog.locator(".own-concept [role=status]")).not_to_have_text("0 shown, 0 not shown")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot(page, "own concept phone")
    with page.expect_response("**/rpc/discard_image*"):
        page.keyboard.press("Escape")
    context.close()


def test_a_name_in_use_is_said_and_nothing_is_lost(open_page: Opener, mine: Path) -> None:
    page = open_page()
    dialog = start(page, mine)
    region = dialog.locator(".own-region").first
    region.click()
    dialog.get_by_label("Name of the concept").fill("‮")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".message.bad")).to_contain_text("printable characters")
    expect(region).to_have_attribute("aria-label", "Region 1: shows it")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog.locator(".own-class").first).to_be_visible()
    expect(dialog.locator(".own-picker")).to_have_count(0)
    expect(dialog.get_by_role("button", name="Make a concept from regions…")).to_be_focused()
    with page.expect_response("**/rpc/discard_image*"):
        page.keyboard.press("Escape")
