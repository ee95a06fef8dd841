"""The class × concept matrix, linked to all views."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from tests.browser.page import (
    SMALL_TEXT,
    WINDOWS,
    Opener,
    check_accessibility,
    home_project,
    screenshot,
    serve,
)

from inficond.core import Project
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.sessions.class_matrix import class_matrix
from inficond.core.sessions.confused_pairs import confused_pairs
from inficond.core.students import Students
from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser


def open_matrix(page: Page) -> None:
    page.get_by_role("button", name="All classes", exact=True).click()
    expect(page.locator(".matrix-scroll")).to_be_visible(timeout=30_000)


def test_a_cell_selects_its_class_and_its_concept(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_matrix(page)
    page.get_by_label("Order of the rows").select_option("project")
    page.get_by_label("Order of the columns").select_option("name")
    matrix = class_matrix(home_project(served).session())
    page.locator(".matrix-scroll").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    cls = matrix.classes[1]
    concept = sorted(matrix.concepts)[1]
    line = page.locator(".matrix-line")
    expect(line).to_contain_text(f"{cls} × {concept}: ")
    page.keyboard.press("Enter")
    expect(line).to_contain_text("Selected in all views.")
    expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", cls)
    expect(page.locator(f'#view-influence [data-concept="{concept}"]')).to_be_attached()
    assert parse_qs(urlsplit(page.url).fragment)["concept"] == [concept]


def test_hovering_names_class_concept_and_weight(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_matrix(page)
    matrix = class_matrix(home_project(served).session())
    weights = np.zeros((len(matrix.classes), len(matrix.concepts)))
    weights[matrix.rows, matrix.columns] = matrix.weights
    box = page.locator(".matrix-scroll").bounding_box()
    assert box
    page.mouse.move(box["x"] + 158, box["y"] + 118)
    first = matrix.classes[int(matrix.class_order[0])]
    line = page.locator(".matrix-line")
    expect(line).to_contain_text(f"{first} × ")
    name, value = (line.inner_text().split(" × ")[1]).split(";")[0].split(": ")
    weight = weights[matrix.classes.index(first), matrix.concepts.index(name)]
    assert value == (f"{weight:+.3f}".replace("-", "−") if weight else "no weight")


def test_confused_classes_are_listed_and_linked(open_page: Opener, served: Served) -> None:
    page = open_page()
    open_matrix(page)
    pairs = confused_pairs(home_project(served).session())
    items = page.locator(".matrix-pairs li")
    expect(items).to_have_count(len(pairs))
    expect(items.first).to_contain_text(f"{pairs[0].actual} → {pairs[0].predicted}")
    items.first.locator(".pair-name").click()
    page.keyboard.press("Escape")
    expect(page.locator(".gallery-caption")).to_contain_text(f"{pairs[0].images} images")


@pytest.mark.parametrize(("theme", "width", "height"), WINDOWS)
def test_the_matrix_is_readable(open_page: Opener, theme: str, width: int, height: int) -> None:
    page = open_page(theme=theme, width=width, height=height)
    open_matrix(page)
    box = page.get_by_role("dialog").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= height
    assert page.evaluate(SMALL_TEXT) == []
    check_accessibility(page, f"matrix {theme} {width}")
    screenshot(page, f"matrix-{theme}-{width}")


def with_classes(whole: Project, folder: object, n: int, used: bool = True) -> Project:
    """A project of n classes with weights on some concepts, or on none."""
    rng = np.random.default_rng(0)
    names = [f"class {i:04d}" for i in range(n)]
    old = whole.students
    weights = np.where(rng.random((n, len(old.concepts))) < 0.06, rng.normal(size=(n, len(old.concepts))), 0)
    rows = np.concatenate([whole.training_rows[:30], whole.validation_rows[:30]])
    students = Students(
        names,
        old.concepts,
        (weights if used else 0 * weights).astype(np.float32),
        np.full(n, -3, np.float32),
        old.mean,
        old.scale,
        link="sigmoid",
        lam=old.lam,
        thresholds=np.full(n, 0.5, np.float32),
    )
    responses = rng.random((len(rows), n)) ** 8 + 1e-6
    write_project(
        folder,  # type: ignore[arg-type]
        ProjectContents(
            images=[ImageRow(id=whole.image_ids[r], path=whole.image_ids[r]) for r in rows],
            T=(responses / responses.sum(axis=1, keepdims=True)).astype(np.float32),
            concepts=whole.concepts,
            concept_groups=whole.concept_groups,
            classes=names,
            is_validation=whole.is_validation[rows],
            students=students,
            name=f"{n} classes",
        ),
        [ImageBlock(X=np.asarray(whole.X)[rows], thumbnails=[whole.thumbnail_bytes(r) for r in rows])],
    )
    return Project.open(folder)  # type: ignore[arg-type]


@pytest.fixture(params=[(2, True), (60, True), (3, False)], ids=["two", "many", "none"])
def served_classes(
    request: pytest.FixtureRequest, project_folder: object, tmp_path: object
) -> Iterator[tuple[Served, int, bool]]:
    n, used = request.param
    folder = tmp_path / "classes"  # type: ignore[operator]
    page = serve(with_classes(Project.open(project_folder), folder, n, used))  # type: ignore[arg-type]
    yield page, n, used
    page.close()


def test_any_number_of_classes_has_a_matrix(
    served_classes: tuple[Served, int, bool], open_page: Opener
) -> None:
    served, n, used = served_classes
    page = open_page(url=served.options["url"], width=1280, height=720)
    page.get_by_role("button", name="All classes", exact=True).click()
    dialog = page.get_by_role("dialog")
    if not used:
        expect(dialog).to_contain_text("No student uses a concept: every weight is 0.", timeout=30_000)
        check_accessibility(page, "matrix without weights")
        return
    expect(page.locator(".matrix-line")).to_contain_text(f"{n} classes; ", timeout=30_000)
    page.get_by_label("Order of the rows").select_option("project")
    page.locator(".matrix-scroll").focus()
    page.keyboard.press("ArrowDown")
    for _ in range(-(-n // 12)):
        page.keyboard.press("PageDown")
    expect(page.locator(".matrix-line")).to_contain_text(f"class {n - 1:04d} × ")
    screenshot(page, f"matrix-{n}-classes")
