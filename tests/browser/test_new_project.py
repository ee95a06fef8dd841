"""A new project from the page, as a person makes one: choose images, watch, stop, go on, open it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Opener, ready, serve
from tests.browser.test_layout import shot

from inficond.core import Project
from inficond.gradio_app.app import Page as Served

pytestmark = [pytest.mark.browser, pytest.mark.data, pytest.mark.slow]

CLASSES = (
    "bird: hen, house finch, goldfinch, junco, peacock, toucan, pelican\nfish: tench, hammerhead, goldfish\n"
)
MANY = 60
WATCH = """async () => {
  const seen = new Set(), done = ".inf-dialog .button.primary:not([type=submit])";
  for (let i = 0; i < 1500 && !document.querySelector(done); i++) {
    const line = document.querySelector(".inf-dialog [role=status]");
    if (line) seen.add(line.textContent);
    await new Promise((r) => setTimeout(r, 40));
  }
  return [...seen];
}"""


@pytest.fixture
def photographs(shared_data: Path, tmp_path: Path) -> list[Path]:
    """Real photographs of a person: one of every fourth ImageNet class."""
    found = sorted((shared_data / "imagenet_sample").glob("*.jpg"))[:MANY]
    folder = tmp_path / "my photographs"
    folder.mkdir()
    return [Path(shutil.copy(file, folder)) for file in found]


@pytest.fixture
def guests(project_folder: Path) -> Iterator[Served]:
    """The page as strangers get it: no folder of its machine may be named."""
    page = serve(Project.open(project_folder), local_folders=False)
    yield page
    page.close()


def fill(page: Page, **fields: str) -> None:
    """Open the form and fill it in."""
    page.get_by_role("button", name="New project").click()
    for label, value in fields.items():
        page.get_by_role("textbox", name=re.compile(f"^{label}")).fill(value)


def made(projects: Path) -> list[Path]:
    """The projects in a folder and in its folders, finished or not."""
    inside = [p for p in projects.rglob("*") if p.is_dir()]
    return sorted(p for p in inside if (p / ".build").is_dir() or (p / "project.json").is_file())


def test_uploaded_images_become_a_project_after_a_stop(
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
        "a stranger names no folder of the machine"
    )
    dialog = page.locator(".inf-dialog")
    dialog.locator("input[type=file]").set_input_files(photographs)
    dialog.get_by_role("button", name="Distil").click()
    cancel = dialog.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible(timeout=60_000)
    expect(dialog.get_by_role("button", name="Distil")).to_have_count(0)  # the form makes room
    cancel.click()
    expect(dialog.locator("p.bad")).to_contain_text("Submit the form again to resume", timeout=30_000)
    stopped = made(guests.files.projects)
    assert len(stopped) == 1
    assert not (stopped[0] / "project.json").exists(), "stopped before it was whole"

    dialog.get_by_role("button", name="Distil").click()  # the same request again
    expect(dialog.locator(".progress")).to_be_visible(timeout=60_000)
    said = page.evaluate(WATCH)
    assert any(f"of {MANY}" in line for line in said), f"progress was never told: {said}"
    shot(page, "new_project_done")
    dialog.get_by_role("button", name="Open it").click(timeout=60_000)
    page.wait_for_function("() => document.querySelector('.topbar .where')?.textContent === 'My photographs'")
    ready(page)
    assert made(guests.files.projects) == stopped, "the second request went on where the first one stopped"
    project = Project.open(stopped[0])
    assert len(project) == MANY
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
    shot(page, "new_project_opened")

    # back to the sample project, as the chooser offers
    page.locator("#view-configuration .chooser").select_option(index=0)
    page.wait_for_function("() => document.querySelector('.topbar .where')?.textContent !== 'My photographs'")
    ready(page)
    assert not [f for f in guests.files.uploads.rglob("*") if f.is_file()], "no upload is left behind"


def test_a_folder_of_this_machine_becomes_a_project(
    open_page: Opener,
    served: Served,
    photographs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    page = open_page(f"owner={served.owner_key.value}")
    for bad, line in (
        ({"Folder": str(tmp_path / "nowhere")}, "does not exist"),
        ({"Folder": str(photographs[0].parent), "Classes": "bird: flying saucer"}, "flying saucer"),
        ({"Folder": str(photographs[0].parent), "Teacher": "no such teacher"}, "no such teacher"),
    ):
        fill(page, **bad)
        page.locator(".inf-dialog").get_by_role("button", name="Distil").click()
        told = page.locator(".message.bad, .inf-dialog p.bad").filter(has_text=line)
        expect(told.first).to_be_visible(timeout=30_000)
        assert "Traceback" not in told.first.inner_text()
        page.keyboard.press("Escape")
        page.wait_for_selector(".inf-dialog", state="detached")
    for photograph in photographs[24:]:
        photograph.unlink()
    (photographs[0].parent / "notes.jpg").write_text("no image, whatever its name says")
    fill(page, Folder=str(photographs[0].parent), Classes=CLASSES)
    page.locator(".inf-dialog").get_by_role("button", name="Distil").click()
    expect(page.locator(".inf-dialog")).to_contain_text("24 images, 2 classes", timeout=90_000)
    expect(page.locator(".inf-dialog .job-notes")).to_contain_text("notes.jpg")
    whole = [p for p in made(tmp_path / "cache" / "projects") if (p / "project.json").exists()]
    assert [len(Project.open(p)) for p in whole] == [24]


def test_other_classes_of_the_same_images_are_a_form_filled_in_already(
    open_page: Opener, photographs: list[Path], tmp_path: Path
) -> None:
    from inficond.core.pipeline.build import BuildOptions, build

    folder = build(
        BuildOptions(
            images=photographs[0].parent, out=tmp_path / "project", classes={"bird": ["hen", "junco"]}
        )
    )
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
