"""Helpers of the page tests: serving a project, waiting for the page, reading and tuning it, checking it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from inficond.core import Project
from inficond.gradio_app.app import Page as Served
from inficond.gradio_app.app import build_page

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-features="
    "InitialWebUI,WebUIReloadButton,WebUIToolbarWebView,WebUIHomeButton,WebUISplitTabsButton,WebUITabStrip,"
    "WebUIOmniboxPopup,WebUIOmniboxAimPopup,PreloadTopChromeWebUI,PreloadTopChromeWebUILessNavigations,"
    "TopChromeWebUIUsesSpareRenderer,SpareRendererForSitePerProcess,"
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,"
    "HttpsFirstBalancedModeAutoEnable,LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,"
    "AvoidCorsURLLoaderRestartOnRedirect,OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,"
    "PreconnectToSearch",
]  # fmt: skip
"""Command-line flags of Chromium.

The new headless mode draws the bars of a window, as pages of their own in renderers of their own; without
them a tab opens in two thirds of the processor time. The other features are those that Playwright disables,
since the last list of a command line counts.
"""
SCREENSHOTS = Path(__file__).resolve().parents[2] / "artifacts" / "screenshots"
CURRENT_STEP = '#view-provenance [aria-current="true"]'
"""Selector of the current step."""

Opener = Callable[..., Page]

SMALL_TEXT = """() => {
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !node.closest('.inf, .inf-dialog, .inf-messages, .inf-guide')) continue;
    if (!node.getClientRects().length) continue;
    const size = parseFloat(getComputedStyle(node).fontSize);
    if (size < 11) bad.push(`${size}px: ${walk.currentNode.textContent.slice(0, 40)}`);
  }
  return bad;
}"""  # noqa: E501
"""Script that returns the visible texts below 11 pixels."""


class TabLog:
    """The requests and the console errors of a tab."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._on_request(request.url))

    def _on_console(self, message: object) -> None:
        if message.type == "error":  # type: ignore[attr-defined]
            self.errors.append(message.text)  # type: ignore[attr-defined]

    def _on_request(self, url: str) -> None:
        if url.startswith(("data:", "blob:")):
            return
        self.requests.append(url)
        if "//127.0.0.1" not in url:
            self.outside.append(url)

    def calls(self) -> list[str]:
        """Return the calls of server functions so far."""
        return [url for url in self.requests if "/rpc/" in url]


@contextmanager
def temporary_files() -> Iterator[None]:
    """Let Playwright and Chromium write where Python does, which may be another folder than `TMPDIR`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", tempfile.gettempdir())
        yield


def nightly(*values: object) -> object:
    """Return parameters of a variant that runs at night; the daily ones cover each value of each."""
    return pytest.param(*values, marks=pytest.mark.nightly)


WINDOWS = [
    ("light", 1280, 720),
    ("dark", 390, 844),
    nightly("dark", 1440, 900),
    nightly("light", 390, 844),
]
"""Theme, width and height: daily the smallest window of a desk in light, and a phone in dark."""


def copy_project(source: Path, folder: Path) -> Path:
    """Copy a project without its history, so that a test can write to it."""
    target = folder / "project"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("history.sqlite*"))
    return target


def serve(project: Project, **options: object) -> Served:
    """Serve a project on a free loopback port; `options["url"]` of the result is its address."""
    page = build_page(project, **options)  # type: ignore[arg-type]
    page.options["url"] = page.start()
    return page


def home_project(served: Served) -> Project:
    """Return the project that a new visitor sees."""
    return served.visitors.default_project


def wait_until_drawn(page: Page) -> None:
    """Wait until all views are drawn."""
    page.wait_for_selector('#view-performance [data-class][aria-selected="true"]')
    page.wait_for_selector("#view-influence [data-concept]")
    page.wait_for_selector("#view-instances [data-image]")
    page.wait_for_selector(CURRENT_STEP)


def wait_for_slow_parts(page: Page) -> None:
    """Wait until slices, suggestions and missing words have arrived."""
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


def weights(page: Page) -> dict[str, float]:
    """Return the weights that view 3 shows, by concept."""
    return page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('#view-influence [data-concept]')]"
        ".map((n) => [n.dataset.concept, Number(n.dataset.weight)]))"
    )


def pending(page: Page) -> list[dict]:
    """Return the actions that are not applied yet."""
    return page.evaluate("() => window.inficond.store.state.pending")


def drag(page: Page, concept: str, share: float) -> None:
    """Drag the slider of a concept to a share of its width, in several moves.

    The rows below a part that arrives late move down, so the press is repeated until it meets the slider.
    """
    slider = page.get_by_role("slider", name=f"weight of {concept}", exact=True)
    for _ in range(5):
        slider.locator(".thumb").hover()
        page.mouse.down()
        if page.locator("[data-dragging]").filter(has=slider).count():
            break
        page.mouse.up()
    else:
        raise AssertionError(f"the slider of {concept} does not follow the pointer")
    box = slider.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()


def screenshot(page: Page, name: str) -> None:
    """Save a screenshot for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    narrow = (page.viewport_size or {}).get("width", 0) < 1000
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=narrow)


def check_accessibility(page: Page, state: str) -> None:
    """Assert that axe has no serious or critical finding, such as a contrast below 4.5 to 1."""
    found = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    lines = [
        f"{v['id']}: {node['target']} {node.get('failureSummary', '')[:160]}"
        for v in found
        for node in v["nodes"][:4]
    ]
    assert not lines, f"{state}:\n" + "\n".join(lines)
