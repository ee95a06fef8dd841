"""Explanations on the page: all classes of an image, absent concepts, the focus, whole numbers and labels."""

import re

import pytest
from playwright.sync_api import expect
from tests.browser.page import CURRENT_STEP, Opener, home_project, nightly, screenshot, wait_for_slow_parts

from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser

TRUNCATED = """(selector) => [...document.querySelectorAll(selector)]
  .filter((n) => n.getClientRects().length)
  .filter((n) => n.scrollWidth > n.clientWidth + 1 || n.scrollHeight > n.clientHeight + 1)
  .map((n) => n.textContent)"""
SIZES = [(1280, 720), nightly(1440, 900)]


def test_an_opened_image_shows_all_classes(open_page: Opener, served: Served) -> None:
    page = open_page()
    project = home_project(served)
    page.locator("#view-instances [data-image]").first.click()
    page.wait_for_selector("#view-instances [data-open-image]")
    row = project.image_ids.index(page.locator("[data-open-image]").get_attribute("data-open-image"))
    classes = page.locator("#view-instances .open-class")
    expect(classes).to_have_count(len(project.classes))
    scores = project.session().scores()[row]
    for c, name in enumerate(project.classes):
        line = page.get_by_role("button", name=re.compile(f"^{re.escape(name)}: teacher"))
        teacher, student = (f"{100 * float(v):.0f}" for v in (project.T[row, c], scores[c]))
        assert line.locator("span").all_inner_texts()[1:] == [teacher, student]
    other = next(c for c in project.classes if c != page.evaluate("inficond.store.state.selection.cls"))
    page.get_by_role("button", name=re.compile(f"^{re.escape(other)}: teacher")).click()
    expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", other)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_an_absent_concept_is_described_without_a_region(
    open_page: Opener, served: Served, width: int, height: int
) -> None:
    page = open_page(width=width, height=height)
    project = home_project(served)
    session = project.session()
    cls = page.evaluate("() => window.inficond.store.state.selection.cls")
    page.locator("#view-instances [data-image]").first.click()
    page.wait_for_selector("#view-instances [data-open-image]")
    row = project.image_ids.index(page.locator("[data-open-image]").get_attribute("data-open-image"))
    found = session.contributions(cls, row)
    absent = {project.concepts[int(k)] for k, is_absent in zip(found.columns, found.absent) if is_absent}
    shown = page.locator("#view-instances .contribution.absent")
    assert shown.count() > 0
    name = shown.first.get_attribute("data-contribution") or ""
    assert name in absent
    k = project.concepts.index(name)
    value, usual = float(session.X[row, k]), float(session.students.mean[k])
    shown.first.hover()
    line = page.locator("#view-instances .evidence-line")
    start = f"no {name} here" if value < usual / 2 else f"less {name} than usual"
    expect(line).to_have_text(f"{start}: {value:.2f}, usually {usual:.2f}")
    assert page.evaluate(TRUNCATED, "#view-instances .evidence-line") == []
    word = "no" if value < usual / 2 else "less"
    expect(shown.first.locator("[data-name]")).to_have_text(f"{word} {name}")
    expect(page.locator("#view-instances canvas.evidence[data-on]")).to_have_count(0)
    page.locator("#view-instances [data-contribution]:not(.absent, [data-unclear])").first.hover()
    expect(page.locator("#view-instances canvas.evidence[data-on]")).to_have_count(1)
    expect(line).to_contain_text("is strongest here")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_focus_and_preview_show_whole_numbers_and_labels(open_page: Opener, width: int, height: int) -> None:
    page = open_page(width=width, height=height)
    wait_for_slow_parts(page)
    focus = page.locator("#view-tuning select")
    focus.select_option(index=1)
    hint = page.locator("#view-tuning .focus-hint")
    expect(hint).to_contain_text("then press Apply")
    assert page.evaluate(TRUNCATED, "#view-tuning .focus-hint") == []
    page.locator("#view-tuning [data-suggestion]").first.click()
    page.wait_for_selector("#view-tuning .change")
    expect(page.locator("#view-tuning .change").filter(has_text="agr. in focus")).to_have_count(1)
    screenshot(page, f"focus_{width}x{height}")
    assert page.evaluate(TRUNCATED, "#view-tuning .change > *") == []
    page.get_by_role("button", name="Reset", exact=True).click()
    focus.select_option("")
    expect(page.locator("#view-tuning .now").first).to_be_visible()
    assert page.evaluate(TRUNCATED, "#view-tuning .now > *") == []


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_provenance_and_comparison_show_whole_numbers_and_labels(
    open_page: Opener, width: int, height: int
) -> None:
    page = open_page(width=width, height=height)
    concepts = page.eval_on_selector_all(
        "#view-influence [data-concept]", "n => n.slice(0, 7).map((r) => r.dataset.concept)"
    )
    for concept in concepts:
        page.get_by_role("slider", name=f"weight of {concept}", exact=True).focus()
        page.keyboard.press("m")
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator(CURRENT_STEP)).to_contain_text("mute")
    screenshot(page, f"provenance_{width}x{height}")
    assert page.evaluate(TRUNCATED, "#view-provenance .step-button, #view-provenance .step-text > *") == []
    page.get_by_role("button", name="Compare", exact=True).click()
    page.locator("#view-provenance .step-button").nth(0).click()
    page.locator("#view-provenance .step-button").nth(1).click()
    expect(page.locator(".inf-dialog")).to_contain_text("Side by side")
    assert page.evaluate(TRUNCATED, ".inf-dialog td, .inf-dialog th, .inf-dialog .table-box") == []


def test_provenance_shows_the_gain_of_thresholds(open_page: Opener) -> None:
    page = open_page()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Each class its own").check()
    page.get_by_role("button", name="Set thresholds").click()
    expect(page.locator(f"{CURRENT_STEP} .step-gain")).to_have_text(re.compile(r"^F1 [+−]0\.\d\d$|^F1 ±0$"))
    tip = page.locator(f"{CURRENT_STEP} .step-gain").get_attribute("data-tip") or ""
    assert re.fullmatch(r"mean F1 of \d+ classes: 0\.\d{3} → 0\.\d{3}", tip)
