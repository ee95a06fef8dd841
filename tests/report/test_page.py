"""The page: one file without requests, in which all names are escaped."""

import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inficond.core.cli.main import main
from inficond.core.report import render_html, report
from inficond.core.report.pictures import SIDE, ReportPictures

HOSTILE = ("<script", "onerror=alert(1)>", "<i>my</i>", "<b>'x'")


class Elements(HTMLParser):
    """Parser that collects elements and checks that they are closed in order."""

    VOID = frozenset({"meta", "input", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(project) -> str:
    session = project.session()
    return render_html(report(session), ReportPictures(project, session.context.words.embedding))


def test_the_page_is_complete_and_makes_no_requests(page: str) -> None:
    elements = Elements(page).found
    assert page.startswith("<!doctype html>")
    assert not [tag for tag, _ in elements if tag in ("script", "iframe", "object", "embed", "base", "form")]
    for tag, attributes in elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "action", "data", "srcset"):
                assert str(value).startswith(("data:image/webp;base64,", "#")), (tag, name, value)
    assert "url(" not in page
    policy = next(a["content"] for t, a in elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src-elem 'sha256-")


def test_every_name_is_escaped(page: str) -> None:
    for text in HOSTILE:
        assert text not in page
    elements = Elements(page).found
    assert "<script>alert('class')</script>" in [a.get("data-class") for _, a in elements]
    assert '"><img src=x onerror=alert(1)>' in [a.get("data-concept") for _, a in elements]


def test_the_page_has_all_classes_subsets_and_concepts(project, page: str) -> None:
    elements = Elements(page).found
    sections = [a for t, a in elements if t == "section" and "data-class" in a]
    assert [a["data-class"] for a in sections] == project.classes
    assert [a["data-subset"] for _, a in elements if "data-subset" in a] == ["missed", "extra"] * 3
    ids = [a["id"] for _, a in elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for t, a in elements if t == "a"} <= set(ids)
    for _, a in (x for x in elements if x[0] == "img"):
        assert a["alt"]


def test_evidence_is_in_colour_and_the_rest_grey(project) -> None:
    pictures = ReportPictures(project, project.session().context.words.embedding)
    row, concept = int(np.flatnonzero(project.is_validation)[3]), project.concepts[2]
    lit, plain = (decoded(uri) for uri in (pictures.evidence(row, concept), pictures.image(row)))
    assert lit.shape == plain.shape == (SIDE, SIDE, 3)
    colour = lit.max(axis=2).astype(int) - lit.min(axis=2)
    assert np.quantile(colour, 0.1) < 25
    assert np.quantile(colour, 0.98) > np.quantile(colour, 0.1) + 20
    assert pictures.image(row) is pictures.image(row)


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def test_a_page_without_regions_and_thumbnails(bare, tmp_path: Path) -> None:
    session = bare.session()
    data = report(session)
    Elements(render_html(data))
    text = render_html(data, ReportPictures(bare, session.context.words.embedding))
    Elements(text)
    assert "no random-concept baseline" in text
    assert len(re.findall("<img ", text)) > 0


def test_the_command_writes_the_page_and_prints_a_table(project, tmp_path: Path, capsys) -> None:
    file = tmp_path / "report.html"
    assert main(["report", str(project.path), "--html", str(file)]) == 0
    said = capsys.readouterr().out
    assert "random directions" in said
    assert "boat" in said
    assert str(file) in said
    Elements(file.read_text(encoding="utf-8"))


def test_the_command_prints_one_json_object(project, capsys) -> None:
    import json

    assert main(["report", str(project.path), "--json", "--class", "boat"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [c["name"] for c in data["classes"]] == ["boat"]
    assert data["html"] is None


@pytest.mark.parametrize("where", ["", "missing/report.html"])
def test_a_path_that_cannot_be_written_is_refused_first(project, tmp_path: Path, capsys, where: str) -> None:
    assert main(["report", str(project.path), "--html", str(tmp_path / where)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert main(["report", str(project.path), "--class", "boot"]) == 2
    assert "boat" in capsys.readouterr().err


@pytest.mark.browser
def test_a_browser_opens_the_file_without_requests_and_errors(page: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    import shutil

    from tests.browser.page import temporary_files

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")

    def look() -> None:
        with temporary_files(), playwright.sync_playwright() as p:
            browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for scheme, width in (("light", 1280), ("dark", 1280), ("light", 360)):
                tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
                asked: list[str] = []
                said: list[str] = []
                tab.on("request", lambda r, asked=asked: asked.append(r.url))
                tab.on("console", lambda m, said=said: said.append(m.text))
                tab.on("dialog", lambda d, said=said: said.append(d.message))
                tab.goto(file.as_uri())
                assert [u for u in asked if not u.startswith(("data:", file.as_uri()))] == []
                assert said == []
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                # The colours of the scheme, and of the switch over it.
                colour = "getComputedStyle(document.body).backgroundColor"
                system = tab.evaluate(colour)
                tab.locator("label[for=dark]").click()
                dark = tab.evaluate(colour)
                tab.locator("label[for=light]").click()
                assert dark != tab.evaluate(colour)
                assert system == (dark if scheme == "dark" else tab.evaluate(colour))
                assert tab.evaluate(
                    "[...document.images].every(i => i.loading === 'lazy' || i.naturalWidth > 0)"
                )
            browser.close()

    # In a thread of its own: the browser tests keep an event loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(look).result()
