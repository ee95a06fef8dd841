"""Six views, one selection: what is clicked in one is seen in the others."""

import threading
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect
from tests.browser.conftest import Opener, select_class, settle

from inficond.gradio_app import rpc
from inficond.gradio_app.app import Page as Served
from inficond.gradio_app.limits import NOBODY

pytestmark = pytest.mark.browser

VIEWS = ("configuration", "performance", "influence", "tuning", "instances", "provenance")


def test_six_views_are_there_with_their_headings(open_page: Opener) -> None:
    page = open_page()
    for name in VIEWS:
        region = page.locator(f"#view-{name} [role=region]")
        expect(region).to_be_visible()
        assert region.get_attribute("aria-labelledby")
        expect(page.locator(f"#view-{name} h2")).to_be_visible()
        assert page.locator(f"#view-{name} .view-about").text_content()


def test_first_page_is_light(open_page: Opener) -> None:
    page = open_page()
    weight = page.evaluate(
        """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
             .filter((e) => e.startTime <= performance.getEntriesByName('inficond-drawn')[0].startTime)
             .filter((e) => !/\\.(webp|jpg|png)/.test(e.name)).reduce((sum, e) => sum + e.transferSize, 0)"""
    )
    assert weight <= 300_000, f"{weight} bytes beside images"


def test_class_is_shown_by_every_view(open_page: Opener, served: Served, classes: list[str]) -> None:
    page = open_page()
    session = served.visitors.default_project.session()
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


def test_subset_is_followed_by_images_and_influence(
    open_page: Opener, served: Served, classes: list[str]
) -> None:
    page = open_page()
    session = served.visitors.default_project.session()
    name = max(classes, key=lambda c: session.metrics(c).counts["extra"])
    wanted = {served.visitors.default_project.image_ids[r] for r in session.subset(name, "extra")}
    page.click(f'#view-performance [data-class="{name}"] [data-subset="extra"]')
    expect(page.locator("#view-influence .chip")).to_have_text(f"{name} · extra")
    expect(page.locator(".gallery-caption")).to_contain_text(f"{len(wanted)} of the held-out")
    shown = page.eval_on_selector_all(
        "#view-instances [data-image]", "nodes => nodes.map(n => n.dataset.image)"
    )
    assert shown
    assert set(shown) <= wanted
    assert parse_qs(urlsplit(page.url).fragment) == {"class": [name], "subset": ["extra"]}


def test_slice_selects_its_images(open_page: Opener, served: Served, classes: list[str]) -> None:
    page = open_page()
    project = served.visitors.default_project
    session = project.session()
    with_slices = [c for c in classes if session.slices(c)]
    if not with_slices:
        pytest.skip("no class of this project has a significant slice")
    select_class(page, with_slices[0])
    settle(page)
    page.click("#view-performance [data-slice] >> nth=0")
    found = session.slices(with_slices[0])[0]
    expect(page.locator(".gallery-caption")).to_contain_text(f"{len(found.misaligned)} misaligned")
    shown = page.eval_on_selector_all(
        "#view-instances [data-image]", "nodes => nodes.map(n => n.dataset.image)"
    )
    assert set(shown) <= {project.image_ids[r] for r in found.misaligned}


def test_hover_lights_up_images_without_asking_the_server(open_page: Opener) -> None:
    page = open_page()
    settle(page)
    before = len(page.watched.requests)  # type: ignore[attr-defined]
    page.hover("#view-influence [data-concept] >> nth=1")
    page.wait_for_selector("#view-instances .gallery.lighting")
    shades = page.eval_on_selector_all(
        "#view-instances .tile", "nodes => nodes.map(n => Number(n.style.opacity))"
    )
    assert len(set(shades)) > 3, "all images look alike"
    assert all(0.1 <= s <= 1 for s in shades)
    page.mouse.move(5, 5)
    page.wait_for_function("() => !document.querySelector('#view-instances .gallery.lighting')")
    assert [u for u in page.watched.requests[before:] if "/rpc/" in u] == []  # type: ignore[attr-defined]


def test_brush_lights_up_images_and_dots_without_asking_the_server(open_page: Opener) -> None:
    page = open_page()
    settle(page)
    strip = page.locator("#view-influence .strip").first
    box = strip.bounding_box()
    assert box
    before = len(page.watched.requests)  # type: ignore[attr-defined]
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
    assert paths > 1, "the same images are marked in the other concepts"
    assert page.get_attribute("#view-influence [data-concept] >> nth=0", "aria-selected") == "false"
    assert [u for u in page.watched.requests[before:] if "/rpc/" in u] == []  # type: ignore[attr-defined]


def test_a_brush_tells_what_it_holds_outlives_an_opened_image_and_is_cleared(open_page: Opener) -> None:
    page = open_page()
    settle(page)
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
    page.locator("#view-performance [data-subset=missed]").first.click()  # other images: another brush
    expect(foot).not_to_contain_text("from")
    assert page.eval_on_selector_all(
        "#view-influence .strip .brush", "n => n.every((r) => r.getAttribute('width') === '0')"
    )


def test_a_brush_lights_every_image_in_its_range_drawn_as_a_dot_or_not(
    open_page: Opener, served: Served
) -> None:
    page = open_page()
    settle(page)
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
    project = served.visitors.default_project
    k = project.concepts.index(brush[0])
    slack = 0.01 * float(project.X[:, k].max())
    for image, opacity in lit:
        x = float(project.X[project.image_ids.index(image), k])
        if brush[1] + slack < x < brush[2] - slack:
            assert opacity == 1, image
        elif x < brush[1] - slack or x > brush[2] + slack:
            assert opacity < 0.5, image


def test_words_without_weight_stand_apart_and_light_up_images_too(open_page: Opener) -> None:
    page = open_page()
    settle(page)
    page.wait_for_function("() => window.inficond.store.state.parts['instances.values'] !== undefined")
    idle = page.locator('#view-influence [data-concept][data-weight="0"]')
    expect(idle.first).to_have_attribute(
        "data-heading", "without weight: words that separate misaligned from agreeing images, by gap"
    )
    assert page.locator("#view-influence [data-heading]").count() == 1
    idle.first.scroll_into_view_if_needed()
    idle.first.hover()
    page.wait_for_selector("#view-instances .gallery.lighting")


def test_open_image_shows_contributions_that_sum_and_evidence(open_page: Opener, served: Served) -> None:
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
    project = served.visitors.default_project
    cls = page.evaluate("() => window.inficond.store.state.selection.cls")
    row = project.image_ids.index(name)
    assert bars["sum"] == pytest.approx(project.session().contributions(cls, row).logit, abs=1e-3)
    sign = "−" if bars["sum"] < 0 else "+"
    expect(page.locator("#view-instances .logit-line")).to_contain_text(f"logit {sign}{abs(bars['sum']):.2f}")
    page.hover("#view-instances [data-contribution] >> nth=1")
    page.wait_for_selector("#view-instances canvas.evidence[data-on]")
    inside = page.evaluate(
        """() => { const c = document.querySelector('#view-instances canvas.evidence');
             const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
             let clear = 0; for (let i = 3; i < d.length; i += 4) if (d[i] === 0) clear++;
             return clear / (d.length / 4); }"""
    )
    assert 0.003 < inside < 0.98, f"the evidence region covers {inside:.2%} of the picture"


def test_more_like_this_opens_a_neighbour(open_page: Opener) -> None:
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


def test_stale_permalink_is_mended_and_said(open_page: Opener, classes: list[str]) -> None:
    page = open_page("class=" + classes[0] + "s&subset=gone&image=no/such.jpg&concept=qqqq&slice=x%3Ay")
    expect(page.locator(".message")).to_contain_text("does not exist")
    expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", classes[0])


def test_reload_keeps_selection_and_tuning(open_page: Opener, classes: list[str]) -> None:
    page = open_page()
    select_class(page, classes[1])
    page.locator("#view-tuning [role=slider]").first.focus()
    page.keyboard.press("PageDown")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector("#view-provenance [data-node] >> nth=1")
    node = page.get_attribute('#view-provenance [aria-current="true"]', "data-node")
    page.reload()
    expect(page.locator(f'#view-provenance [data-node="{node}"][aria-current="true"]')).to_be_visible()
    expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", classes[1])


def test_two_browsers_do_not_see_each_other(open_page: Opener, classes: list[str]) -> None:
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


def test_a_late_answer_to_an_earlier_visit_does_not_bring_it_back(open_page: Opener, served: Served) -> None:
    page = open_page()
    settle(page)
    held: list[Route] = []
    page.route("**/rpc/*", lambda route: held.append(route) if not held else route.continue_())
    page.evaluate(
        "() => { const s = window.inficond.store;"
        " window.late = s.call('read', { parts: ['tuning.words'], selection: s.state.selection }); }"
    )
    page.wait_for_timeout(50)
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


def test_lost_connection_is_said_and_recovers(open_page: Opener, classes: list[str]) -> None:
    page = open_page()
    page.context.set_offline(True)
    page.click(f'#view-performance [data-class="{classes[1]}"] .perf-name')
    expect(page.locator(".topbar .offline")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".topbar .offline")).to_be_hidden()
    expect(page.locator("#view-influence .chip")).to_have_text(classes[1])
    page.watched.complaints.clear()  # type: ignore[attr-defined]  # Chromium itself notes the failed requests


def test_a_search_that_must_wait_for_others_says_so_and_comes_by_itself(
    open_page: Opener, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many people search at once: the page tells it, asks again, and shows what it finds."""
    queue, gate = served.rpc.queue, threading.Event()
    monkeypatch.setattr(queue, "search_seconds", 0.2)
    monkeypatch.setattr(rpc, "RETRY_SECONDS", 0.5)
    others = [queue.submit("search", NOBODY, f"visit {i}", lambda: str(gate.wait(60))) for i in range(64)]
    try:
        page = open_page()
        page.get_by_text("Many searches are waiting").wait_for()
        gate.set()
        settle(page)
        assert page.get_by_text("Many searches are waiting").count() == 0
    finally:
        gate.set()
        for other in others:
            other.result(60)
