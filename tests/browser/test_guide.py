"""The guided scenario with real clicks and drags, from the first step to the exported student."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser.page import Opener, home_project, screenshot, wait_for_slow_parts

from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser


def step(page: Page, number: int) -> None:
    """Wait until the guide shows a step."""
    expect(page.locator(".inf-guide")).to_have_attribute("data-step", str(number), timeout=30_000)


def test_the_exported_student_of_the_guided_scenario_predicts(
    open_page: Opener, served: Served, scratch: Path
) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    page.get_by_role("button", name="Guide").click()
    step(page, 1)
    screenshot(page, "guide_1")
    page.locator(".inf-guide").get_by_role("button", name="Next").click()

    step(page, 2)
    name = page.locator(".inf-guide .guide-task").inner_text().split("“")[1].split("”")[0]
    page.locator(f'#view-performance [data-class="{name}"] .perf-name').click()
    step(page, 3)
    extra = page.locator(f'#view-performance [data-class="{name}"] [data-subset="extra"]')
    before = int((extra.get_attribute("data-tip") or "0").split()[0])
    extra.click()
    step(page, 4)
    page.locator("#view-instances [data-image]").first.click()
    step(page, 5)
    screenshot(page, "guide_5")
    page.locator("#view-influence [data-concept]").nth(0).hover()
    step(page, 6)
    page.locator("#view-tuning [data-suggestion]").first.click()
    step(page, 7)
    page.wait_for_selector("#view-tuning .change")
    predicted = page.evaluate("() => window.inficond.store.state.preview")
    assert predicted["weights"]

    # A drag in addition to the suggestion.
    slider = page.locator("#view-tuning .tune-row:not(.changed) [role=slider]").first
    concept = (slider.get_attribute("aria-label") or "").removeprefix("weight of ")
    slider = page.get_by_role("slider", name=f"weight of {concept}", exact=True)
    slider.scroll_into_view_if_needed()
    thumb, box = slider.locator(".thumb").bounding_box(), slider.bounding_box()
    assert thumb
    assert box
    page.mouse.move(thumb["x"] + 6, thumb["y"] + 9)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 12, steps=6)
    page.mouse.up()
    page.wait_for_function(
        "(c) => window.inficond.store.state.pending.some((a) => a.concept === c)", arg=concept
    )
    screenshot(page, "guide_7")
    page.get_by_role("button", name="Apply", exact=True).click()
    step(page, 8)
    after = page.evaluate(
        "(c) => window.inficond.store.state.parts['performance.table'].classes.find((x) => x.name === c)",
        name,
    )
    assert after["counts"]["extra"] < before, "the suggestion must reduce the extra images"
    expect(page.locator('#view-provenance [aria-current="true"] .step-gain')).to_contain_text("AP +")
    page.locator(".inf-guide").get_by_role("button", name="Next").click()
    step(page, 9)
    page.get_by_role("button", name="Export").first.click()
    with page.expect_download(timeout=90_000) as info:
        page.get_by_role("menuitem", name="Student (ONNX)").click()
    student = scratch / info.value.suggested_filename
    info.value.save_as(student)
    page.keyboard.press("Escape")
    expect(page.locator(".inf-guide")).to_contain_text("The guide is complete")
    page.locator(".inf-guide").get_by_role("button", name="Close").click()
    expect(page.locator(".inf-guide")).to_have_count(0)

    project = home_project(served)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "inficond.core.cli.main",
            "predict",
            str(student),
            str(project.image_path(0)),
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert name in json.dumps(json.loads(done.stdout), ensure_ascii=False)


def test_the_guide_can_be_skipped(open_page: Opener) -> None:
    page = open_page()
    page.get_by_role("button", name="Guide").click()
    page.locator(".inf-guide").get_by_role("button", name="Next").click()
    step(page, 2)
    page.get_by_role("button", name="Skip the guide").click()
    expect(page.locator(".inf-guide")).to_have_count(0)
    page.locator("#view-performance .perf-name").nth(1).click()


def test_next_does_the_task_of_each_step(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    page.get_by_role("button", name="Guide").click()
    for number in range(1, 9):
        step(page, number)
        if number == 7:
            page.wait_for_selector("#view-tuning .change")
        page.locator(".inf-guide").get_by_role("button", name="Next").click()
    step(page, 9)
    expect(page.locator("#view-provenance [data-node]")).to_have_count(2)
