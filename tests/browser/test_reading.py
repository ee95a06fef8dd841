# ruff: noqa: E501  (sentences and scripts are kept on their lines)
"""Reading the page: explained terms, order of the classes, charts, the summary."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect
from tests.browser.page import Opener, drag, home_project, serve, weights

from inficond.core import Project
from inficond.gradio_app.app import Page as Served
from inficond.gradio_app.glossary import TERMS

pytestmark = pytest.mark.browser


def test_terms_are_explained_on_hover_and_focus(open_page: Opener) -> None:
    page = open_page()
    terms = page.eval_on_selector_all("#board dfn", "nodes => nodes.map(n => n.dataset.term)")
    assert set(terms) <= set(TERMS)
    assert {"teacher", "NEC", "gap", "missed", "extra"} <= {*terms, "NEC"}
    term = page.locator('#board dfn[data-term="teacher"]').first
    term.hover()
    expect(page.locator(".inf-bubble.on")).to_have_text(TERMS["teacher"])
    page.mouse.move(5, 5)
    expect(page.locator(".inf-bubble.on")).to_have_count(0)
    term.focus()
    expect(page.locator(".inf-bubble.on")).to_have_text(TERMS["teacher"])


def test_class_names_and_controls_are_not_clipped(open_page: Opener, classes: list[str]) -> None:
    for width, height in ((1440, 900), (1920, 1080)):
        page = open_page(width=width, height=height)
        cut = page.eval_on_selector_all(
            "#view-performance .perf-name",
            "nodes => nodes.filter(n => n.scrollHeight > n.clientHeight + 2 || n.scrollWidth > n.clientWidth + 1)"
            ".map(n => n.textContent)",
        )
        assert cut == [], f"cut at {width} px"
        clipped = page.eval_on_selector_all(
            "#board input[placeholder]",
            "nodes => nodes.filter(n => n.offsetParent).filter(n => { const c = document.createElement('canvas').getContext('2d');"
            " c.font = getComputedStyle(n).font; const s = getComputedStyle(n);"
            " return c.measureText(n.placeholder).width > n.clientWidth - parseFloat(s.paddingLeft) - parseFloat(s.paddingRight) - 14; })"
            ".map(n => n.placeholder)",
        )
        assert clipped == []


def test_a_click_on_a_heading_orders_the_classes(open_page: Opener, classes: list[str]) -> None:
    page = open_page()

    def shown() -> list[str]:
        return page.eval_on_selector_all(
            "#view-performance [data-class]", "n => n.map((r) => r.dataset.class)"
        )

    lines = page.evaluate("() => window.inficond.store.state.parts['performance.table'].classes")
    assert shown() == classes
    for heading, key in (
        ("fidelity", lambda c: 2 if c["ap"]["value"] is None else c["ap"]["value"]),
        ("images", lambda c: -c["counts"]["missed"] - c["counts"]["extra"]),
        ("NEC", lambda c: -c["nec"]),
    ):
        page.get_by_role("button", name=f"Order by {heading}").click()
        expect(page.get_by_role("button", name=f"Order by {heading}")).to_have_attribute(
            "aria-pressed", "true"
        )
        assert shown() == [c["name"] for c in sorted(lines, key=key)]
    page.get_by_role("button", name="Order by class").click()
    assert shown() == classes


def test_weights_do_not_overlap_predicted_bars(open_page: Opener) -> None:
    page = open_page()
    before = weights(page)
    drag(page, max(before, key=lambda c: before[c]), 0.25)
    page.wait_for_selector("#view-influence .ghost:visible")
    crossed = page.evaluate(
        """() => [...document.querySelectorAll('#view-influence .inf-row .bar')].filter((bar) => {
          const g = bar.children[1].getBoundingClientRect(), t = bar.children[2].getBoundingClientRect();
          return !bar.children[1].hidden && g.left < t.right - 1 && t.left < g.right - 1; }).map((bar) => bar.parentElement.dataset.concept)"""
    )
    assert crossed == []


def test_an_outdated_preview_is_marked(open_page: Opener) -> None:
    page = open_page()
    slider = page.locator("#view-tuning [role=slider]").first
    slider.focus()
    page.keyboard.press("PageDown")
    page.wait_for_selector("#view-tuning .change")
    expect(page.locator("#view-tuning .effect[data-old]")).to_have_count(0)
    held: list[Route] = []
    page.route("**/rpc/*", lambda route: held.append(route))
    page.keyboard.press("PageDown")
    expect(page.locator("#view-tuning .effect[data-old]")).to_have_count(1)
    assert page.locator("#view-tuning .effect").get_attribute("aria-busy") == "true"
    for route in list(held):
        route.continue_()
    page.unroute("**/rpc/*")
    expect(page.locator("#view-tuning .effect[data-old]")).to_have_count(0)


def test_every_chart_is_exported_as_svg_and_png(open_page: Opener, scratch: Path) -> None:
    page = open_page()
    page.click("#view-instances [data-image] >> nth=0")
    page.wait_for_selector("#view-instances [data-open-image]")
    names = page.evaluate("() => window.inficond.chart.names()")
    assert set(names) == {
        "images per class", "student performance", "concept influence", "concept tuning", "contributions",
        "provenance",
    }  # fmt: skip
    for name in names:
        for kind in ("SVG", "PNG"):
            page.get_by_role("button", name="Export").first.click()
            with page.expect_download() as info:
                page.get_by_role("menuitem", name=f"Chart: {name} ({kind})").click()
            data = Path(info.value.path()).read_bytes()
            if kind == "PNG":
                assert data.startswith(b"\x89PNG")
                assert len(data) > 3000, name
            else:
                assert b"<svg" in data
                assert b"var(" not in data
                assert data.count(b"<text") > 1, f"{name} is empty"
                if name == "concept influence":
                    assert next(iter(weights(page))).encode() in data


def test_the_summary_ends_with_random_concepts(open_page: Opener, served: Served) -> None:
    page = open_page()
    page.get_by_role("button", name="How good is this student?").click()
    row = page.locator(".inf-dialog tr.strong").filter(has_text="random concepts")
    expect(row).to_be_visible(timeout=60_000)
    project = home_project(served)
    assert page.locator(".inf-dialog tbody tr").count() == len(project.classes) + 2
    assert 0 < float(row.locator("td").nth(1).inner_text()) <= 1


def test_projects_are_offered_and_isolated(
    project_folder: Path, make_project: Callable[..., Project], open_page: Opener
) -> None:
    small_project = make_project()
    page_served = serve(Project.open(project_folder), more=[small_project])
    try:
        page = open_page(url=page_served.options["url"])
        options = page.locator("#view-configuration .chooser option").all_inner_texts()
        assert small_project.name in options
        page.locator("#view-configuration .chooser").select_option(label=small_project.name)
        page.wait_for_selector(f'#view-performance [data-class="{small_project.classes[0]}"]')
        assert page.locator("#view-performance [data-class]").count() == len(small_project.classes)
        assert (
            json.loads(page.evaluate("() => JSON.stringify(window.inficond.store.state.selection.concepts)"))
            == []
        )
        page.goto("about:blank")
    finally:
        page_served.close()
