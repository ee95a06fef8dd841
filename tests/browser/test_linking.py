"""One selection for six views: a click in one changes the others."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect
from tests.browser.page import CURRENT_STEP, Opener, home_project, select_class, wait_for_slow_parts

from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser

VIEWS = ("configuration", "performance", "influence", "tuning", "instances", "provenance")


def test_each_view_has_a_heading_and_a_description(open_page: Opener) -> None:
    page = open_page()
    for name in VIEWS:
        region = page.locator(f"#view-{name} [role=region]")
        expect(region).to_be_visible()
        assert region.get_attribute("aria-labelledby")
        expect(page.locator(f"#view-{name} h2")).to_be_visible()
        assert page.locator(f"#view-{name} .view-about").text_content()


def test_first_page_weighs_at_most_300_kilobytes(open_page: Opener) -> None:
    page = open_page()
    weight = page.evaluate(
        """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
             .filter((e) => e.startTime <= performance.getEntriesByName('inficond-drawn')[0].startTime)
             .filter((e) => !/\\.(webp|jpg|png)/.test(e.name)).reduce((sum, e) => sum + e.transferSize, 0)"""
    )
    assert weight <= 300_000, f"{weight} bytes beside images"


def test_all_views_show_the_selected_class(open_page: Opener, served: Served, classes: list[str]) -> None:
    page = open_page()
    session = home_project(served).session()
    for name in classes[:3]:
        select_class(page, name)
        expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", name)
        expect(page.locator("#view-influence .chip")).to_have_text(name)
        counts = session.metrics(name).counts
        expect(page.locator('#view-instances [data-choose="missed"] b')).to_have_text(str(counts["missed"]))
        found = session.influence(name)
        heaviest = found.concepts[int(abs(found.weights).argmax())]
        row = page.locator("#view-influence [data-concept]").first
        expect(row).to_have_attribute("data-concept", heaviest)
        assert float(row.get_attribute("data-weight") or 0) == pytest.approx(
            found.weights.flat[int(abs(found.weights).argmax())], abs=1e-5
        )
        expect(page.get_by_role("slider", name=f"weight of {heaviest}", exact=True)).to_be_visible()


def test_images_and_influence_show_the_selected_subset(
    open_page: Opener, served: Served, classes: list[str]
) -> None:
    page = open_page()
    session = home_project(served).session()
    name = max(classes, key=lambda c: session.metrics(c).counts["extra"])
    wanted = {home_project(served).image_ids[r] for r in session.subset(name, "extra")}
    page.click(f'#view-performance [data-class="{name}"] [data-subset="extra"]')
    expect(page.locator("#view-influence .chip")).to_have_text(f"{name} · extra")
    expect(page.locator(".gallery-caption")).to_contain_text(f"{len(wanted)} of the held-out")
    shown = page.eval_on_selector_all(
        "#view-instances [data-image]", "nodes => nodes.map(n => n.dataset.image)"
    )
    assert shown
    assert set(shown) <= wanted
    assert parse_qs(urlsplit(page.url).fragment) == {"class": [name], "subset": ["extra"]}


def test_a_slice_selects_its_images(open_page: Opener, served: Served, classes: list[str]) -> None:
    page = open_page()
    project = home_project(served)
    session = project.session()
    with_slices = [c for c in classes if session.slices(c)]
    if not with_slices:
        pytest.skip("no class of this project has a significant slice")
    select_class(page, with_slices[0])
    wait_for_slow_parts(page)
    page.click("#view-performance [data-slice] >> nth=0")
    found = session.slices(with_slices[0])[0]
    expect(page.locator(".gallery-caption")).to_contain_text(f"{len(found.misaligned)} misaligned")
    shown = page.eval_on_selector_all(
        "#view-instances [data-image]", "nodes => nodes.map(n => n.dataset.image)"
    )
    assert set(shown) <= {project.image_ids[r] for r in found.misaligned}


def test_hover_highlights_images_without_a_request(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    before = len(page.log.requests)  # type: ignore[attr-defined]
    page.hover("#view-influence [data-concept] >> nth=1")
    page.wait_for_selector("#view-instances .gallery.lighting")
    shades = page.eval_on_selector_all(
        "#view-instances .tile", "nodes => nodes.map(n => Number(n.style.opacity))"
    )
    assert len(set(shades)) > 3, "images must differ in opacity"
    assert all(0.1 <= s <= 1 for s in shades)
    page.mouse.move(5, 5)
    page.wait_for_function("() => !document.querySelector('#view-instances .gallery.lighting')")
    assert [u for u in page.log.requests[before:] if "/rpc/" in u] == []  # type: ignore[attr-defined]


def test_brush_highlights_images_and_dots_without_a_request(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    strip = page.locator("#view-influence .strip").first
    box = strip.bounding_box()
    assert box
    before = len(page.log.requests)  # type: ignore[attr-defined]
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.98, box["y"] + 12, steps=5)
    page.mouse.up()
    page.wait_for_selector("#view-instances .gallery.lighting")
    lit = page.evaluate("() => window.inficond.store.state.brush.rows.size")
    assert lit > 0
    paths = page.eval_on_selector_all(
        "#view-influence .lit", "nodes => nodes.filter(n => n.getAttribute('d')).length"
    )
    assert paths > 1, "the images must be marked at the other concepts too"
    assert page.get_attribute("#view-influence [data-concept] >> nth=0", "aria-selected") == "false"
    assert [u for u in page.log.requests[before:] if "/rpc/" in u] == []  # type: ignore[attr-defined]


def test_a_brush_is_described_and_kept_until_it_is_cleared(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    row = page.locator("#view-influence [data-concept]").first
    row.focus()
    page.keyboard.press("b")
    page.wait_for_selector("#view-instances .gallery.lighting")
    name = row.get_attribute("data-concept")
    foot = page.locator("#view-influence .inf-foot")
    expect(foot).to_contain_text(f"“{name}” from")
    page.locator("#view-instances [data-image]").first.click()
    page.wait_for_selector("#view-instances [data-open-image]")
    assert page.evaluate("() => window.inficond.store.state.brush !== null")
    expect(foot).to_contain_text(f"“{name}” from")
    page.get_by_role("button", name="Clear the brush").click()
    expect(foot).not_to_contain_text("from")
    assert page.evaluate("() => window.inficond.store.state.brush") is None
    row.focus()
    page.keyboard.press("b")
    expect(foot).to_contain_text("from")
    page.keyboard.press("Escape")
    expect(foot).not_to_contain_text("from")
    page.keyboard.press("b")
    expect(foot).to_contain_text("from")
    page.locator("#view-performance [data-subset=missed]").first.click()  # other images clear the brush
    expect(foot).not_to_contain_text("from")
    assert page.eval_on_selector_all(
        "#view-influence .strip .brush", "n => n.every((r) => r.getAttribute('width') === '0')"
    )


def test_a_brush_highlights_images_without_a_dot_too(open_page: Opener, served: Served) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    page.wait_for_function("() => window.inficond.store.state.parts['instances.values'] !== undefined")
    page.locator("#view-influence [data-concept]").first.focus()
    page.keyboard.press("b")
    page.wait_for_selector("#view-instances .gallery.lighting")
    brush = page.evaluate(
        "() => { const b = window.inficond.store.state.brush; return [b.concept, b.low, b.high]; }"
    )
    lit = page.eval_on_selector_all(
        "#view-instances [data-image]", "n => n.map((t) => [t.dataset.image, Number(t.style.opacity)])"
    )
    project = home_project(served)
    k = project.concepts.index(brush[0])
    slack = 0.01 * float(project.X[:, k].max())
    for image, opacity in lit:
        x = float(project.X[project.image_ids.index(image), k])
        if brush[1] + slack < x < brush[2] - slack:
            assert opacity == 1, image
        elif x < brush[1] - slack or x > brush[2] + slack:
            assert opacity < 0.5, image


def test_words_without_weight_are_listed_apart_and_highlight_images(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    page.wait_for_function("() => window.inficond.store.state.parts['instances.values'] !== undefined")
    idle = page.locator('#view-influence [data-concept][data-weight="0"]')
    expect(idle.first).to_have_attribute(
        "data-heading", "without weight: words that separate misaligned from agreeing images, by gap"
    )
    assert page.locator("#view-influence [data-heading]").count() == 1
    idle.first.scroll_into_view_if_needed()
    idle.first.hover()
    page.wait_for_selector("#view-instances .gallery.lighting")


def test_contributions_of_an_open_image_sum_to_its_logit(open_page: Opener, served: Served) -> None:
    page = open_page()
    page.click("#view-instances [data-image] >> nth=0")
    opened = page.wait_for_selector("#view-instances [data-open-image]")
    assert opened
    name = opened.get_attribute("data-open-image")
    data = page.evaluate("() => window.inficond.store.state.parts['instances.opened']")
    bars = {b["kind"]: 0.0 for b in data["bars"]}
    for bar in data["bars"]:
        bars[bar["kind"]] += bar["value"]
    assert bars["concept"] + bars.get("rest", 0) + bars["bias"] == pytest.approx(bars["sum"], abs=1e-3)
    project = home_project(served)
    cls = page.evaluate("() => window.inficond.store.state.selection.cls")
    row = project.image_ids.index(name)
    assert bars["sum"] == pytest.approx(project.session().contributions(cls, row).logit, abs=1e-3)
    sign = "−" if bars["sum"] < 0 else "+"
    expect(page.locator("#view-instances .logit-line")).to_contain_text(f"logit {sign}{abs(bars['sum']):.2f}")
    page.hover("#view-instances [data-contribution]:not(.absent, [data-unclear]) >> nth=0")
    page.wait_for_selector("#view-instances canvas.evidence[data-on]")
    inside = page.evaluate(
        """() => { const c = document.querySelector('#view-instances canvas.evidence');
             const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
             let clear = 0; for (let i = 3; i < d.length; i += 4) if (d[i] === 0) clear++;
             return clear / (d.length / 4); }"""
    )
    assert 0.003 < inside < 0.98, f"the evidence region covers {inside:.2%} of the picture"


def test_more_like_this_opens_a_similar_image(open_page: Opener) -> None:
    page = open_page()
    page.click("#view-instances [data-image] >> nth=2")
    page.get_by_role("button", name="More like this").click()
    page.wait_for_selector(".inf-dialog .tile")
    name = page.get_attribute(".inf-dialog .tile >> nth=0", "aria-label")
    page.click(".inf-dialog .tile >> nth=0")
    expect(page.locator("#view-instances [data-open-image]")).to_have_attribute("data-open-image", name or "")


def test_permalink_restores_the_selection(open_page: Opener, classes: list[str]) -> None:
    first = open_page()
    select_class(first, classes[1])
    first.click(f'#view-performance [data-class="{classes[1]}"] [data-subset] >> nth=1')
    first.click("#view-influence [data-concept] >> nth=2")
    first.click("#view-instances [data-image] >> nth=0")
    first.wait_for_selector("#view-instances [data-open-image]")
    link = first.evaluate("() => window.inficond.store.permalink()")
    second = open_page(link.split("#", 1)[1])
    second.wait_for_selector("#view-instances [data-open-image]")
    assert second.evaluate("() => window.inficond.store.state.selection") == first.evaluate(
        "() => window.inficond.store.state.selection"
    )


def test_an_outdated_permalink_is_corrected_with_a_message(open_page: Opener, classes: list[str]) -> None:
    page = open_page("class=" + classes[0] + "s&subset=gone&image=no/such.jpg&concept=qqqq&slice=x%3Ay")
    expect(page.locator(".message")).to_contain_text("does not exist")
    expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", classes[0])


def test_a_reload_keeps_selection_and_tuning(open_page: Opener, classes: list[str]) -> None:
    page = open_page()
    select_class(page, classes[1])
    page.locator("#view-tuning [role=slider]").first.focus()
    page.keyboard.press("PageDown")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector("#view-provenance [data-node] >> nth=1")
    node = page.get_attribute(CURRENT_STEP, "data-node")
    page.reload()
    expect(page.locator(f'#view-provenance [data-node="{node}"][aria-current="true"]')).to_be_visible()
    expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", classes[1])


def test_visitors_are_isolated(open_page: Opener, classes: list[str]) -> None:
    one, other = open_page(), open_page()
    select_class(one, classes[0])
    select_class(other, classes[0])
    before = other.eval_on_selector_all("#view-influence [data-concept]", "n => n.map(x => x.dataset.weight)")
    one.locator("#view-tuning [role=slider]").first.focus()
    one.keyboard.press("m")
    one.get_by_role("button", name="Apply", exact=True).click()
    one.wait_for_selector("#view-provenance [data-node] >> nth=1")
    select_class(other, classes[1])
    select_class(other, classes[0])
    after = other.eval_on_selector_all("#view-influence [data-concept]", "n => n.map(x => x.dataset.weight)")
    assert after == before
    assert other.locator("#view-provenance [data-node]").count() == 1


def test_a_late_response_does_not_restore_an_earlier_visit(open_page: Opener, served: Served) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    held: list[Route] = []
    page.route("**/rpc/*", lambda route: held.append(route) if not held else route.continue_())
    with page.expect_request("**/rpc/*"):
        page.evaluate(
            "() => { const s = window.inficond.store;"
            " window.late = s.call('read', { parts: ['tuning.words'], selection: s.state.selection }); }"
        )
    fresh = page.evaluate(
        "async (key) => (await window.inficond.store.call('open_project', { project: key })).token",
        served.visitors.default_key,
    )
    assert page.evaluate("() => window.inficond.store.state.token") == fresh
    held[0].continue_()
    page.evaluate("() => window.late")
    assert page.evaluate(
        "() => [window.inficond.store.state.token, sessionStorage.getItem('inficond.token')]"
    ) == [
        fresh,
        fresh,
    ]


def test_a_lost_connection_is_shown_and_recovers(open_page: Opener, classes: list[str]) -> None:
    page = open_page()
    page.context.set_offline(True)
    page.click(f'#view-performance [data-class="{classes[1]}"] .perf-name')
    expect(page.locator(".topbar .offline")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".topbar .offline")).to_be_hidden()
    expect(page.locator("#view-influence .chip")).to_have_text(classes[1])
    page.log.errors.clear()  # type: ignore[attr-defined]  # Chromium logs the failed requests


def test_a_postponed_search_is_announced_and_repeated(open_page: Opener) -> None:
    """A server with many searches postpones one: the page shows its line and asks again."""
    line = "Many people are searching; the search is repeated."
    postponed: list[Route] = []

    def postpone_once(route: Route) -> None:
        if not postponed and "tuning.suggestions" in (route.request.post_data or ""):
            postponed.append(route)
            route.fulfill(json={"later": line, "seconds": 1})
        else:
            route.continue_()

    page = open_page(before=lambda page: page.route("**/rpc/*", postpone_once))
    expect(page.locator("#view-tuning .suggestions")).to_contain_text(line)
    wait_for_slow_parts(page)
    expect(page.locator("#view-tuning [data-suggestion]").first).to_be_visible()
    expect(page.locator("#view-tuning .suggestions")).not_to_contain_text(line)
