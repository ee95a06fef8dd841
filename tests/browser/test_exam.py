"""The exam on locked images, and what a step costs elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from tests.browser.page import (
    WINDOWS,
    Opener,
    check_accessibility,
    drag,
    home_project,
    nightly,
    screenshot,
    select_class,
    serve,
    wait_for_slow_parts,
)

from inficond.core import Project
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def locked(project_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project under test with half of its validation images as exam images."""
    whole = Project.open(project_folder)
    exam = np.zeros(len(whole), bool)
    exam[whole.validation_rows[::2]] = True
    order = np.argsort(exam, kind="stable")
    folder = tmp_path_factory.mktemp("exam") / "project"
    write_project(
        folder,
        ProjectContents(
            images=[
                ImageRow(id=whole.image_ids[r], path=whole.image_ids[r], group=whole.image_groups[r])
                for r in order.tolist()
            ],
            T=np.asarray(whole.T)[order],
            labels=None if whole.labels is None else np.asarray(whole.labels)[order],
            concepts=whole.concepts,
            concept_groups=whole.concept_groups,
            concept_embeddings=np.asarray(whole.concept_embeddings),
            classes=whole.classes,
            is_validation=(whole.is_validation & ~exam)[order],
            n_exam=int(exam.sum()),
            students=whole.students,
            name="Photo collages with locked images",
        ),
        [
            ImageBlock(
                X=np.asarray(whole.X)[order],
                regions=np.asarray(whole.region_embeddings)[order],
                assignment=np.stack([whole.assignment(r).ravel() for r in order.tolist()]),
                thumbnails=[whole.thumbnail_bytes(r) for r in order.tolist()],
            )
        ],
        grid=whole.grid,
    )
    return Project.open(folder)


@pytest.fixture(scope="module")
def served_exam(locked: Project) -> Iterator[Served]:
    page = serve(locked)
    yield page
    page.close()


def open_exam(page: Page) -> None:
    page.get_by_role("button", name="Exam", exact=True).click()
    expect(page.get_by_role("dialog", name="Exam on locked images")).to_be_visible()


@pytest.mark.parametrize(("theme", "width", "height"), WINDOWS)
def test_an_exam_is_opened_by_a_person_and_becomes_a_step(
    open_page: Opener, served_exam: Served, locked: Project, theme: str, width: int, height: int
) -> None:
    page = open_page(url=served_exam.options["url"], theme=theme, width=width, height=height)
    assert locked.exam is not None
    expect(page.locator("#view-configuration")).to_contain_text(f"{len(locked.exam)} locked")
    wait_for_slow_parts(page)
    page.locator("[data-suggestion='0']").click()
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator("#view-provenance [data-node]")).to_have_count(2)
    open_exam(page)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{len(locked.exam)} images are locked")
    expect(dialog.get_by_role("table")).to_have_count(0)
    check_accessibility(page, f"exam before, {theme}")
    screenshot(page, f"exam-before-{theme}-{width}")
    dialog.get_by_role("button", name="Open the exam").click()
    expect(dialog.get_by_role("table")).to_have_count(2)
    expect(page.locator(".message").filter(has_text="Recorded: exam")).to_be_visible()
    expect(page.get_by_role("button", name="Undo it")).to_have_count(0)
    expect(dialog).to_contain_text(re.compile(r"(First|Second|Third) exam of the project"))
    for column in ("as fitted", "promised", "optimism"):
        expect(dialog.get_by_role("columnheader", name=column).first).to_be_visible()
    for name in locked.classes:
        expect(dialog.get_by_role("cell", name=name, exact=True).first).to_be_attached()
    expect(dialog.get_by_role("button", name="Open the exam")).to_have_count(0)
    check_accessibility(page, f"exam, {theme}")
    screenshot(page, f"exam-{theme}-{width}")
    page.keyboard.press("Escape")
    step = page.locator('#view-provenance [aria-current="true"]')
    expect(step).to_contain_text(re.compile(rf"exam [123] on {len(locked.exam)} locked images"))
    open_exam(page)
    expect(page.get_by_role("dialog").get_by_role("table")).to_have_count(2)


def test_a_project_of_two_parts_says_how_to_get_an_exam(open_page: Opener) -> None:
    page = open_page(width=1280, height=720)
    open_exam(page)
    expect(page.get_by_role("dialog")).to_contain_text("This project has two parts")
    expect(page.get_by_role("dialog")).to_contain_text("build it again with")
    screenshot(page, "exam-none")


@pytest.mark.parametrize(("theme", "width", "height"), [("light", 1280, 720), nightly("dark", 1440, 900)])
def test_a_preview_lists_what_it_costs_before_it_is_applied(
    open_page: Opener, served: Served, theme: str, width: int, height: int
) -> None:
    project = home_project(served)
    session = project.session()
    cls = next(
        name for name in project.classes
        if session.preview(name, [{"kind": "mute", "concept": largest(project, name)}]).costs
    )  # fmt: skip
    page = open_page(theme=theme, width=width, height=height)
    select_class(page, cls)
    drag(page, largest(project, cls), 0.05)
    chip = page.locator("#view-tuning button.costs")
    expect(chip).to_be_visible()
    screenshot(page, f"costs-{theme}-{width}")
    check_accessibility(page, f"costs, {theme}")
    n = int(chip.get_attribute("data-costs") or 0)
    chip.click()
    dialog = page.get_by_role("dialog", name="What this step costs elsewhere")
    expect(dialog.locator("tbody tr")).to_have_count(n)
    screenshot(page, f"costs-list-{theme}-{width}")
    check_accessibility(page, f"list of costs, {theme}")


def test_the_filter_keeps_suggestions_that_harm_nobody(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    box = page.get_by_role("checkbox", name="Only suggestions that harm nobody clearly")
    box.check()
    lists = page.evaluate("() => window.inficond.store.state.parts['tuning.suggestions']")
    assert all(not one["costs"] for one in lists["harmless"])
    expect(page.locator("[data-suggestion]")).to_have_count(len(lists["harmless"]))
    page.get_by_role("checkbox", name="Only suggestions that harm nobody clearly").uncheck()
    expect(page.locator("[data-suggestion]")).to_have_count(len(lists["suggestions"]))


def largest(project: Project, cls: str) -> str:
    """Return the concept with the largest positive weight of a class."""
    c = project.classes.index(cls)
    return project.concepts[int(project.students.weights[c].argmax())]
