"""A page served on loopback, and headless Chromium on it.

The project is the built-in demo, or the one that INFICOND_TEST_PROJECT names. Chromium is Debian's where
there is one, else Playwright's own.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from inficond.core import Project
from inficond.gradio_app.app import Page as Served
from inficond.gradio_app.app import build_page

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts" / "screenshots"


def copied(source: Path, folder: Path) -> Path:
    """A project of the tests' own: its history may be written to."""
    target = folder / "project"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("history.sqlite*"))
    return target


@pytest.fixture(scope="package")
def project_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project under test."""
    named = os.environ.get("INFICOND_TEST_PROJECT")
    if named:
        source = Path(named)
    else:
        from inficond.core.demo import demo_project

        source = demo_project()
    return copied(source, tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium, closed with the last of these tests.

    While Playwright is open an event loop runs in this thread: tests elsewhere could start none of theirs.
    """
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        try:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            pytest.skip(f"needs Chromium (apt install chromium): {str(error).splitlines()[0]}")
        yield browser
        browser.close()


def serve(project: Project, **options: object) -> Served:
    """Serve a project on a free port of loopback; `url` is where."""
    page = build_page(project, **options)  # type: ignore[arg-type]
    url = page.start()
    page.options["url"] = url
    return page


@pytest.fixture(scope="package")
def served(project_folder: Path) -> Iterator[Served]:
    """The page, served once for all tests; each tab is a visitor of its own."""
    page = serve(Project.open(project_folder), local_folders=True)
    yield page
    page.close()


class Watched:
    """A tab that remembers what it asked for and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.outside: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, message: object) -> None:
        if message.type == "error":  # type: ignore[attr-defined]
            self.complaints.append(message.text)  # type: ignore[attr-defined]

    def _asked(self, url: str) -> None:
        if url.startswith(("data:", "blob:")):
            return
        self.requests.append(url)
        if "//127.0.0.1" not in url:
            self.outside.append(url)


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Opener]:
    """`open_page(hash="", width=…, height=…, theme=…)` opens a fresh visitor's tab, ready and at rest.

    At the end, every tab must have stayed on this machine and complained of nothing.
    """
    contexts, tabs = [], []

    def opener(
        fragment: str = "", width: int = 1440, height: int = 900, theme: str = "light", url: str | None = None
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script("try { localStorage.setItem('inficond.guided', 'yes'); } catch {}")
        page.set_default_timeout(15_000)
        watched = Watched(page)
        page.watched = watched  # type: ignore[attr-defined]
        tabs.append(watched)
        page.goto(f"{url or served.options['url']}?__theme={theme}{'#' + fragment if fragment else ''}")
        ready(page)
        return page

    yield opener
    for context in contexts:
        context.close()
    for tab in tabs:
        assert not tab.outside, f"asked of another machine: {tab.outside}"
        assert not tab.complaints, f"console: {tab.complaints}"


def ready(page: Page) -> None:
    """Wait until all views are drawn."""
    page.wait_for_selector('#view-performance [data-class][aria-selected="true"]')
    page.wait_for_selector("#view-influence [data-concept]")
    page.wait_for_selector("#view-instances [data-image]")
    page.wait_for_selector('#view-provenance [aria-current="true"]')


def settle(page: Page) -> None:
    """Wait until the slow parts (slices, suggestions) came too."""
    page.wait_for_function(
        "() => window.inficond?.store?.state.parts['tuning.missing'] !== undefined", timeout=60_000
    )


def select_class(page: Page, name: str) -> None:
    """Click a class and wait until the views show it."""
    page.click(f'#view-performance [data-class="{name}"] .perf-name')
    page.wait_for_function(
        "(c) => window.inficond.store.state.parts['influence.rows'].cls === c && "
        "window.inficond.store.state.parts['tuning.state'].cls === c",
        arg=name,
    )


@pytest.fixture
def classes(project_folder: Path) -> list[str]:
    """The project's classes."""
    return list(Project.open(project_folder).classes)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for files that a test uploads or downloads."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
