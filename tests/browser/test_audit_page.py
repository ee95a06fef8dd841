"""The pages that `inficond audit` and `inficond compare` write, in a browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.audit.conftest import write_shortcut
from tests.browser.page import check_accessibility, nightly, screenshot

from inficond.core import Project
from inficond.core.audit.audit import audit
from inficond.core.audit.page import render_audit
from inficond.core.comparison.measure import side_by_side
from inficond.core.comparison.page import render_comparison
from inficond.core.comparison.sides import student_side, teacher_side

pytestmark = pytest.mark.browser
VARIANTS = [
    ("audit", "light", 1280, 720), ("audit", "dark", 390, 844),
    ("comparison", "dark", 1280, 720), ("comparison", "light", 390, 844),
    nightly("audit", "dark", 1280, 720), nightly("audit", "light", 390, 844),
    nightly("comparison", "light", 1280, 720), nightly("comparison", "dark", 390, 844),
]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose student follows a shortcut, with pictures."""
    return write_shortcut(tmp_path_factory.mktemp("shortcut") / "project", pictures=True)


@pytest.fixture(scope="module")
def pages(project: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    session = project.session()
    texts = {
        "audit": render_audit(audit(session), project),
        "comparison": render_comparison(side_by_side(student_side(session), teacher_side(project))),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.mark.parametrize(("name", "theme", "width", "height"), VARIANTS)
def test_the_page_fits_and_is_accessible(
    browser: Browser, pages: dict[str, Path], name: str, theme: str, width: int, height: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(pages[name].as_uri())
    if name == "audit":
        expect(page.locator(".finding").first).to_contain_text("Repair")
        group = page.locator("details").first
        expect(group.locator("img").first).not_to_be_visible()
        group.locator("summary").click()
        expect(group.locator("img").first).to_be_visible()
    else:
        link = page.locator("td.n a").first
        target = link.get_attribute("href") or ""
        link.click()
        expect(page.locator(f"{target} img").first).to_be_in_viewport()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    check_accessibility(page, f"{name}, {theme}")
    screenshot(page, f"{name}-page-{theme}-{width}")
    assert not errors
    context.close()
