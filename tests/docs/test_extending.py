"""The example view of docs/extending.md works in a copy of the packages."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Error, sync_playwright
from tests.docs.documents import ROOT, blocks

from inficond.core.demo import demo_project
from inficond.gradio_app.bench.page_client import PageClient
from inficond.gradio_app.bench.page_process import page_process

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the files of the document."""
    place = tmp_path_factory.mktemp("extended")
    files = [b for b in blocks(ROOT / "docs" / "extending.md") if b.file is not None]
    assert {Path(b.file or "").name for b in files} == {"view.py", "view.js", "view.css"}
    (place / "inficond").mkdir()
    (place / "inficond" / "core").symlink_to(ROOT / "core")
    (place / "inficond" / "export").symlink_to(ROOT / "export")
    shutil.copytree(ROOT / "gradio_app", place / "inficond" / "gradio_app")
    for block in files:
        path = place / "inficond" / (block.file or "")
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(block.body, encoding="utf-8")
    shutil.copytree(demo_project(), place / "project", ignore=shutil.ignore_patterns("history.sqlite*"))
    return place


@pytest.mark.nightly
@pytest.mark.browser
def test_the_example_view_is_on_the_page_and_linked(
    extended: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(extended), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    with page_process(extended / "project") as page, sync_playwright() as playwright:
        client = PageClient(page.url)
        client.enter()
        answer = client.call("hello", {"selection": {}})
        assert answer["failed"] == {}
        nearest = answer["parts"]["doubt.images"]["images"]
        assert len(nearest) == 12
        client.close()
        try:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=FLAGS
            )
        except Error as error:
            pytest.skip(f"needs Chromium (apt install chromium): {str(error).splitlines()[0]}")
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.add_init_script("localStorage.setItem('inficond.guided', 'yes')")
        complaints: list[str] = []
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.url)
        tab.wait_for_selector("#view-doubt .doubt-list button >> nth=11")
        first = tab.locator("#view-doubt .doubt-list button").first
        assert nearest[0]["id"] in (first.text_content() or "")
        first.evaluate("button => button.click()")
        tab.wait_for_selector("#view-instances [data-open-image]")
        other = tab.locator('#view-performance [data-class]:not([aria-selected="true"])').first
        name = other.get_attribute("data-class")
        other.locator(".perf-name").click()
        tab.wait_for_function("(c) => window.inficond.store.state.parts['doubt.images'].cls === c", arg=name)
        assert complaints == []
        browser.close()
