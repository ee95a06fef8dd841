"""A page served on loopback, and headless Chromium on it.

The project is the built-in demo, or the one that INFICOND_TEST_PROJECT names. Chromium is the system's if it
is installed, else Playwright's own.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright
from tests.browser.page import (
    FLAGS,
    Opener,
    TabLog,
    copy_project,
    serve,
    temporary_files,
    wait_until_drawn,
)

from inficond.core import Project
from inficond.gradio_app.app import Page as Served

TIMEOUT_MS = 30_000
"""Time in milliseconds that the page has to reach an expected state; machines under load are slow."""
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="package")
def project_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project under test, without its history."""
    named = os.environ.get("INFICOND_TEST_PROJECT")
    if named:
        source = Path(named)
    else:
        from inficond.core.demo import demo_project

        source = demo_project()
    return copy_project(source, tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium for all tests of this folder.

    An event loop runs in this thread while Playwright is open, so tests elsewhere cannot start theirs.
    """
    with temporary_files(), sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        try:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            pytest.skip(f"needs Chromium (apt install chromium): {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def served(project_folder: Path) -> Iterator[Served]:
    """The page of the project; each tab is a visitor of its own."""
    page = serve(Project.open(project_folder), local_folders=True)
    yield page
    page.close()


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Opener]:
    """Function that opens the page as a new visitor and waits until it is drawn.

    Afterwards, every tab must have sent requests to this machine only and logged no error.
    """
    contexts, logs = [], []

    def opener(
        fragment: str = "",
        width: int = 1440,
        height: int = 900,
        theme: str = "light",
        url: str | None = None,
        before: Callable[[Page], object] = lambda page: None,
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script("try { localStorage.setItem('inficond.guided', 'yes'); } catch {}")
        page.set_default_timeout(TIMEOUT_MS)
        page.log = TabLog(page)  # type: ignore[attr-defined]
        logs.append(page.log)  # type: ignore[attr-defined]
        before(page)
        page.goto(f"{url or served.options['url']}?__theme={theme}{'#' + fragment if fragment else ''}")
        wait_until_drawn(page)
        return page

    yield opener
    for context in contexts:
        context.close()
    for log in logs:
        assert not log.outside, f"requests to other machines: {log.outside}"
        assert not log.errors, f"console errors: {log.errors}"


@pytest.fixture
def classes(project_folder: Path) -> list[str]:
    """The classes of the project."""
    return list(Project.open(project_folder).classes)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for files that a test uploads or downloads."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
