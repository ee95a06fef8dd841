"""Hostile names, links and uploads are shown as text, and none of them runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from tests.browser.page import Opener, home_project, select_class, serve, wait_for_slow_parts
from tests.large_pictures import blank_png

from inficond.core import Project
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser

NAMES = [
    "<img src=x onerror=alert(1)>",
    "${7*7}",
    "{{x}}",
    "עברית abc",
    "very " * 60 + "long",
    "🦆 duck",
    '"><script>window.__pwned=1</script>',
    "a'b\"c\\d",
]


@pytest.fixture(scope="module")
def hostile(project_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The project under test with hostile names of classes, concepts and files."""
    source = Project.open(project_folder)
    C, K = len(source.classes), len(source.concepts)
    N = min(len(source), 400)
    classes = (NAMES + source.classes)[:C]
    students = source.students
    heavy = np.argsort(-np.abs(students.weights).max(axis=0))[: len(NAMES)]
    concepts = list(source.concepts)
    for name, k in zip(NAMES, heavy):
        concepts[int(k)] = name
    rows = [
        ImageRow(
            id=f"{i} {NAMES[i % len(NAMES)][:200]}.jpg",
            path=str(source.image_path(i)),
            group=source.image_groups[i],
        )
        for i in range(N)
    ]
    folder = tmp_path_factory.mktemp("hostile") / "project"
    write_project(
        folder,
        ProjectContents(
            images=rows,
            T=np.asarray(source.T[:N]),
            concepts=concepts,
            classes=classes,
            is_validation=source.is_validation[:N],
            students=replace(students, classes=tuple(classes), concepts=tuple(concepts)),
            concept_embeddings=source.concept_embeddings,
            name=NAMES[0],
            config={"encoder": source.config.get("encoder"), "teacher": {"name": NAMES[0]}},
        ),
        [
            ImageBlock(
                X=np.asarray(source.X[:N]),
                regions=np.asarray(source.region_embeddings[:N]),
                assignment=np.stack([source.assignment(i).ravel() for i in range(N)]),
                thumbnails=[source.thumbnail_bytes(i) for i in range(N)],
            )
        ],
        source.grid,
    )
    assert len(set(concepts)) == K
    page = serve(Project.open(folder))
    yield page
    page.close()


def test_hostile_names_are_shown_as_text(open_page: Opener, hostile: Served) -> None:
    project = home_project(hostile)
    page = open_page(url=hostile.options["url"])
    alerts: list[str] = []
    page.on("dialog", lambda d: (alerts.append(d.message), d.dismiss()))
    wait_for_slow_parts(page)
    for name in [n for n in NAMES if n in project.classes]:
        row = page.locator("#view-performance .perf-row").nth(project.classes.index(name))
        assert row.locator(".perf-name").text_content() == name
        assert row.get_attribute("data-class") == name
        row.locator(".perf-name").click()
        page.wait_for_function(
            "(c) => window.inficond.store.state.parts['influence.rows'].cls === c", arg=name
        )
        assert page.locator("#view-influence .chip").text_content() == name
    seen = page.eval_on_selector_all("#view-influence .inf-name", "nodes => nodes.map(n => n.textContent)")
    assert set(seen) & set(NAMES)
    shown = page.locator("#view-influence [data-concept]").filter(has_text="${7*7}")
    if shown.count():
        shown.first.click()
    page.locator("#view-instances [data-image]").nth(1).click()
    page.wait_for_selector("#view-instances [data-open-image]")
    page.locator("#view-tuning [role=slider]").first.focus()
    page.keyboard.press("m")
    page.wait_for_selector("#view-tuning .change")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector("#view-provenance [data-node] >> nth=1")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as info:
        page.get_by_role("menuitem", name="Chart: student performance (SVG)").click()
    assert "onerror" not in Path(info.value.path()).read_text(encoding="utf-8").replace(
        "&lt;img src=x onerror", ""
    )
    page.reload()
    wait_for_slow_parts(page)
    assert alerts == []
    assert page.evaluate("() => window.__pwned") is None
    assert page.evaluate("() => document.querySelectorAll('#board img[src=x], #board script').length") == 0
    page.log.errors = [c for c in page.log.errors if "404" not in c]  # type: ignore[attr-defined]


def test_a_hostile_link_and_a_hostile_word_are_shown_as_text(open_page: Opener) -> None:
    page = open_page(
        "class=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&concept=%7B%7Bx%7D%7D&image=..%2F..%2Fetc%2Fpasswd"
    )
    expect(page.locator(".message").first).to_contain_text("<img src=x onerror=alert(1)>")
    for word in ("<b>bold</b>", "${7*7}"):
        page.get_by_label("Add a concept by typing a word").fill(word)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator(".message").filter(has_text=word).first).to_be_visible(timeout=60_000)
    assert page.evaluate("() => document.querySelectorAll('#board b b, .message b').length") == 0


def test_uploads_are_removed_and_bad_ones_rejected(
    open_page: Opener, served: Served, scratch: Path, classes: list[str]
) -> None:
    project = home_project(served)
    page = open_page()
    good = scratch / "mine.jpg"
    good.write_bytes(project.thumbnail_bytes(0))
    chooser = page.locator("#view-configuration input[type=file]")
    chooser.set_input_files(good)
    page.wait_for_selector(".inf-dialog .own-class", timeout=60_000)
    assert page.locator(".inf-dialog .own-class").count() == len(classes)
    assert page.locator(".inf-dialog .contribution").count() > 1
    page.wait_for_function(
        "() => { const c = document.querySelector('.own-overlay'); return c && c.width > 10; }"
    )
    kept = list(served.files.folder.rglob("own-image.webp"))
    assert kept, "the image is served from the private folder of the visitor"
    with page.expect_response("**/rpc/*"):  # the page asks the server to delete the image
        page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('.inf-dialog')")
    assert not list(served.files.folder.rglob("own-image.webp")), "closing the dialog must delete the image"
    (scratch / "text.jpg").write_text("this is not an image\n" * 50)
    (scratch / "empty.png").write_bytes(b"")
    (scratch / "cut.jpg").write_bytes(good.read_bytes()[:700])
    (scratch / "bomb.png").write_bytes(blank_png(20_000, 20_000))
    for name in ("text.jpg", "empty.png", "cut.jpg", "bomb.png"):
        chooser.set_input_files(scratch / name)
        line = page.locator(".message.bad").filter(has_text=name)
        expect(line.first).to_be_visible(timeout=30_000)
        assert "Traceback" not in (line.first.text_content() or "")
    assert not [f for f in served.files.uploads.rglob("*") if f.is_file()], "uploads must be deleted"
    select_class(page, classes[1])


def test_the_server_denies_access_to_other_files(
    open_page: Opener, served: Served, project_folder: Path
) -> None:
    page = open_page()
    page.wait_for_function("() => window.inficond.store.state.parts['instances.index'] !== undefined")
    base = served.options["url"].rstrip("/") + "/gradio_api/file="
    for path in (
        project_folder / "project.json",
        project_folder / "history.sqlite",
        Path("/etc/passwd"),
        f"{served.files.folder}/../../etc/passwd",
        f"{served.files.folder}%2f..%2f..%2fetc%2fpasswd",
        Path(__file__),
    ):
        answer = page.request.get(f"{base}{path}")
        assert answer.status in (400, 403, 404), f"{path} -> {answer.status}"
