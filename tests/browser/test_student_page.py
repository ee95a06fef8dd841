"""Pages of students in Chromium, opened as files, without a network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from inficond.core import Project
from inficond.core.models.predictor import Predictor, load_predictor
from inficond.core.onnx_student.export import export_student
from inficond.core.student_page import export_student_page

MAX_BYTES = 25 * 10**6
PROBABILITIES = "[...document.querySelectorAll('.class')].map((b) => Number(b.dataset.probability))"


@dataclass
class StudentPage:
    """A page of a student that is open in a browser."""

    page: Page
    predictor: Predictor
    requests: list[str]
    shown: int = 0

    def probabilities(self, picture: Path) -> list[float]:
        """Drop a picture on the page and return its probabilities, in the order of the student's classes."""
        self.shown += 1
        self.page.set_input_files("#file", picture)
        self.page.wait_for_selector(f"body[data-answered='{self.shown}']", state="attached")
        return self.page.evaluate(PROBABILITIES)


@pytest.fixture(scope="module")
def files(project_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The demo's students as a page and as an ONNX file."""
    folder = tmp_path_factory.mktemp("student")
    project = Project.open(project_folder)
    export_student_page(project, folder / "student.html")
    export_student(project, folder / "student.onnx")
    return folder / "student.html", folder / "student.onnx"


@pytest.fixture(scope="module")
def opened(browser: Browser, files: tuple[Path, Path]) -> Iterator[StudentPage]:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 720})
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(files[0].as_uri())
    yield StudentPage(page, load_predictor(files[1]), requests)
    context.close()


def photographs(shared_data: Path, count: int) -> list[Path]:
    found = sorted((shared_data / "coco").rglob("*.jpg")) + sorted((shared_data / "own").rglob("*.jpg"))
    return found[:: max(1, len(found) // count)][:count]


def largest_difference(opened: StudentPage, pictures: list[Path]) -> float:
    expected = [p.probabilities for p in opened.predictor.predict_files(pictures)]
    found = [opened.probabilities(picture) for picture in pictures]
    return float(np.abs(np.array(found) - np.array(expected)).max())


@pytest.mark.parametrize("count", [6, pytest.param(50, marks=pytest.mark.nightly)])
def test_probabilities_equal_those_of_predict(opened: StudentPage, shared_data: Path, count: int) -> None:
    assert largest_difference(opened, photographs(shared_data, count)) < 1e-3


def test_pictures_of_other_kinds_are_prepared_as_by_predict(opened: StudentPage, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((640, 480))
    kinds: dict[str, dict[str, Any]] = {
        "turned.jpg": {"exif": exif(6), "quality": 95},
        "tall.png": {},
        "see-through.png": {},
        "grey.png": {},
        "photo.webp": {"lossless": True},
    }
    for name, options in kinds.items():
        picture: Image.Image = smooth
        if name == "tall.png":
            picture = smooth.resize((230, 2300))
        elif name == "see-through.png":
            picture = smooth.convert("RGBA")
            picture.putalpha(Image.linear_gradient("L").resize(smooth.size))
        elif name == "grey.png":
            picture = smooth.convert("L")
        picture.save(tmp_path / name, **options)
    assert largest_difference(opened, [tmp_path / name for name in kinds]) < 1e-3


def exif(orientation: int) -> bytes:
    made = Image.Exif()
    made[0x0112] = orientation
    return made.tobytes()


def test_a_slider_changes_the_probability_as_its_weight_says(
    opened: StudentPage, files: tuple[Path, Path], tmp_path: Path
) -> None:
    Image.effect_noise((320, 240), 60).convert("RGB").save(tmp_path / "noise.png")
    before = opened.probabilities(tmp_path / "noise.png")
    page = opened.page
    pressed = page.locator(".class[aria-pressed='true']")
    row = page.locator(".word").first
    contribution = float(row.locator(".contribution").inner_text().split()[1].strip(",").replace("−", "-"))
    row.locator("input").fill("0")
    after = float(pressed.get_attribute("data-probability") or "nan")
    chosen = int(np.argmax(before))
    logit = np.log(before[chosen] / (1 - before[chosen]))
    assert after == pytest.approx(1 / (1 + np.exp(-(logit - contribution))), abs=0.005)
    page.click("#reset")
    assert page.evaluate(PROBABILITIES) == before


def test_the_answer_is_written_in_words(opened: StudentPage, tmp_path: Path) -> None:
    """The likeliest class, and words that the picture shows and whose contributions are positive."""
    Image.effect_noise((320, 240), 60).convert("RGB").save(tmp_path / "noise.png")
    found = opened.probabilities(tmp_path / "noise.png")
    page = opened.page
    likeliest = opened.predictor.classes[int(np.argmax(found))]
    before = page.inner_text("#answer")
    assert before.startswith(f"Likeliest class: {likeliest}, ")
    rows = page.locator(".word:not(.absent)")
    names, adds = rows.locator(".name").all_inner_texts(), rows.locator(".contribution").all_inner_texts()
    adding = [name for name, text in zip(names, adds) if "+" in text]
    said = before.partition("Words that add most: ")[2].rstrip(".").split(", ")
    assert set(filter(None, said)) <= set(adding)
    assert len(said) == min(3, max(1, len(adding)))
    for slider in page.locator(".word input").all():
        slider.fill("0")
    assert page.inner_text("#answer") != before
    page.click("#reset")
    assert page.inner_text("#answer") == before


def test_the_evidence_of_a_word_is_lit(opened: StudentPage, shared_data: Path) -> None:
    opened.probabilities(photographs(shared_data, 3)[0])
    page = opened.page
    page.locator(".word:not(.absent)").first.hover()
    shares = page.evaluate(
        """() => {
          const overlay = document.getElementById("evidence");
          const { data } = overlay.getContext("2d").getImageData(0, 0, overlay.width, overlay.height);
          const clear = data.filter((alpha, at) => at % 4 === 3 && alpha === 0).length;
          return clear / (overlay.width * overlay.height);
        }"""
    )
    assert 0 < shares < 0.9


def test_a_file_that_is_not_a_picture_is_refused(opened: StudentPage, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "teal.png")
    before = opened.probabilities(tmp_path / "teal.png")
    (tmp_path / "notes.jpg").write_text("no picture")
    opened.page.set_input_files("#file", tmp_path / "notes.jpg")
    opened.page.wait_for_selector("#status.bad")
    assert "notes.jpg cannot be read" in opened.page.inner_text("#status")
    assert opened.page.evaluate(PROBABILITIES) == before
    opened.shown += 1


def test_the_page_makes_no_request_and_is_small_enough(opened: StudentPage, files: tuple[Path, Path]) -> None:
    assert [url for url in opened.requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert files[0].stat().st_size < MAX_BYTES


def test_a_browser_without_simd_gets_a_reason(browser: Browser, files: tuple[Path, Path]) -> None:
    page = browser.new_page()
    page.add_init_script("WebAssembly.validate = () => false;")
    page.goto(files[0].as_uri())
    assert "does not run WebAssembly SIMD" in page.inner_text("#status")
    assert page.locator("#file").is_disabled()
    page.close()
