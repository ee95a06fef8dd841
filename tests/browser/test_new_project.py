"""Creating a project from the page: upload, progress, cancellation, resuming, opening."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from tests.browser.page import Opener, screenshot, serve, wait_until_drawn

from inficond.core import Project
from inficond.gradio_app.app import Page as Served

pytestmark = [pytest.mark.browser, pytest.mark.data, pytest.mark.slow]

CLASSES = (
    "bird: hen, house finch, goldfinch, junco, peacock, toucan, pelican\nfish: tench, hammerhead, goldfish\n"
)
MANY = 150


@pytest.fixture
def photographs(shared_data: Path, tmp_path: Path) -> list[Path]:
    """Copies of the first photographs of the ImageNet sample, one per class."""
    found = sorted((shared_data / "imagenet_sample").glob("*.jpg"))[:MANY]
    folder = tmp_path / "my photographs"
    folder.mkdir()
    return [Path(shutil.copy(file, folder)) for file in found]


@pytest.fixture
def guests(project_folder: Path) -> Iterator[Served]:
    """The page for visitors, who cannot name a folder of the server."""
    page = serve(Project.open(project_folder), local_folders=False)
    yield page
    page.close()


def fill(page: Page, **fields: str) -> None:
    """Open the form and fill in fields by their labels."""
    page.get_by_role("button", name="New project").click()
    for label, value in fields.items():
        page.locator(".inf-dialog").get_by_label(re.compile(f"^{label}")).fill(value)


def made(folder: Path) -> list[Path]:
    """Return the projects in a folder, complete or not."""
    found = (p for p in folder.rglob("*") if (p / "project.json").exists() or (p / ".build").exists())
    return sorted(found)


def test_a_cancelled_upload_resumes_into_a_project(
    guests: Served,
    open_page: Opener,
    photographs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    page = open_page(url=guests.options["url"])
    fill(page, Name="My photographs", Classes=CLASSES)
    assert page.get_by_role("textbox", name="Folder").count() == 0, (
        "visitors must not name a folder of the server"
    )
    dialog = page.locator(".inf-dialog")
    dialog.locator("input[type=file]").set_input_files(photographs)
    dialog.get_by_role("button", name="Distil").click()
    cancel = dialog.get_by_role("button", name="Cancel")
    expect(dialog.locator(".progress + [role=status]")).to_contain_text(f"of {MANY}", timeout=60_000)
    expect(dialog.get_by_role("button", name="Distil")).to_have_count(0)  # the form is hidden
    cancel.click()
    expect(dialog.locator("p.bad")).to_contain_text("Submit the form again to resume", timeout=30_000)
    partial = made(guests.files.projects)
    assert len(partial) == 1
    assert not (partial[0] / "project.json").exists(), "the project must be incomplete after the cancellation"

    dialog.get_by_role("button", name="Distil").click()
    expect(dialog.locator(".progress")).to_be_visible(timeout=60_000)
    dialog.get_by_role("button", name="Open it").click(timeout=60_000)
    page.wait_for_function("() => document.querySelector('.topbar .where')?.textContent === 'My photographs'")
    wait_until_drawn(page)
    assert made(guests.files.projects) == partial, "the second request must resume the first"
    project = Project.open(partial[0])
    assert len(project) + len(project.exam) == MANY
    assert project.classes == ["bird", "fish"]
    expect(page.locator("#view-performance [data-class]")).to_have_count(2)
    names = {file.name for file in photographs}
    shown = page.eval_on_selector_all("#view-instances [data-image]", "n => n.map(x => x.dataset.image)")
    assert shown
    assert set(shown) <= names
    options = page.locator("#view-configuration .chooser option").all_inner_texts()
    assert "My photographs" in options
    other = open_page(url=guests.options["url"])
    assert "My photographs" not in other.locator("#view-configuration .chooser option").all_inner_texts()
    screenshot(page, "new_project_opened")

    page.locator("#view-configuration .chooser").select_option(index=0)
    page.wait_for_function("() => document.querySelector('.topbar .where')?.textContent !== 'My photographs'")
    wait_until_drawn(page)
    assert not [f for f in guests.files.uploads.rglob("*") if f.is_file()], "uploads must be deleted"


def test_a_folder_of_the_server_becomes_a_project(
    open_page: Opener,
    served: Served,
    photographs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    page = open_page(fragment=f"owner={served.owner_key.value}")
    for bad, line in (
        ({"Folder": str(tmp_path / "nowhere")}, "does not exist"),
        ({"Folder": str(photographs[0].parent), "Classes": "bird: flying saucer"}, "flying saucer"),
        ({"Folder": str(photographs[0].parent), "Teacher": "no such teacher"}, "no such teacher"),
    ):
        fill(page, **bad)
        page.locator(".inf-dialog").get_by_role("button", name="Distil").click()
        told = page.locator(".message.bad, .inf-dialog p.bad").filter(has_text=line)
        expect(told.first).to_be_in_viewport(timeout=30_000)
        assert "Traceback" not in told.first.inner_text()
        page.keyboard.press("Escape")
        page.wait_for_selector(".inf-dialog", state="detached")
    for photograph in photographs[24:]:
        photograph.unlink()
    (photographs[0].parent / "notes.jpg").write_text("this is not an image")
    fill(page, Folder=str(photographs[0].parent), Classes=CLASSES)
    page.locator(".inf-dialog").get_by_role("button", name="Distil").click()
    expect(page.locator(".inf-dialog")).to_contain_text("24 images, 2 classes", timeout=90_000)
    expect(page.locator(".inf-dialog .job-notes")).to_contain_text("notes.jpg")
    complete = [p for p in made(tmp_path / "cache" / "projects") if (p / "project.json").exists()]
    assert [len(Project.open(p)) for p in complete] == [24]


def test_what_was_found_is_shown_before_the_start(open_page: Opener, served: Served, tmp_path: Path) -> None:
    for i, name in enumerate(("rose", "rose", "tulip")):
        (tmp_path / "mine" / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (80 * i, 0, 0)).save(tmp_path / "mine" / name / f"{i}.png")
    page = open_page(fragment=f"owner={served.owner_key.value}")
    fill(page, Folder=str(tmp_path / "mine"))
    found = page.locator(".inf-dialog .found")
    page.keyboard.press("Tab")
    expect(found).to_contain_text("3 images\n2 class folders: rose 2, tulip 1")
    fields = page.locator(".inf-dialog")
    fields.get_by_label(re.compile("^Folder")).fill(str(tmp_path / "nowhere"))
    page.keyboard.press("Tab")
    expect(fields.locator("p.bad")).to_contain_text("does not exist")
    expect(fields.locator("p.bad")).to_be_in_viewport()
    assert fields.locator("#teachers option").count() == 5
    assert fields.get_by_label("Link").locator("option").count() == 3
    fields.get_by_label(re.compile("^Folder")).fill("")
    with page.expect_file_chooser() as chooser:
        fields.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(tmp_path / "mine")
    expect(found).to_contain_text("3 images in 2 folders: rose 2, tulip 1")
    screenshot(page, "new_project_folder")


def test_choosing_other_classes_fills_in_the_form(
    open_page: Opener, photographs: list[Path], tmp_path: Path
) -> None:
    from inficond.core.pipeline.build import BuildOptions, build

    for photograph in photographs[24:]:
        photograph.unlink()
    options = BuildOptions(
        images=photographs[0].parent,
        out=tmp_path / "project",
        classes={"bird": ["hen", "junco"]},
        baseline=False,
    )
    folder = build(options)
    page_served = serve(Project.open(folder), local_folders=True)
    try:
        page = open_page(f"owner={page_served.owner_key.value}", url=page_served.options["url"])
        page.get_by_role("button", name="Settings").click()
        page.get_by_role("button", name="Choose other classes").click()
        dialog = page.locator(".inf-dialog")
        expect(dialog.get_by_role("textbox", name=re.compile("^Folder"))).to_have_value(
            str(photographs[0].parent)
        )
        expect(dialog.get_by_role("textbox", name=re.compile("^Classes"))).to_have_value("bird: hen, junco")
        page.goto("about:blank")
    finally:
        page_served.close()
