"""The example package of docs/extending.md adds a source, a command, a view and a teacher."""

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Error, sync_playwright
from tests.docs.documents import ROOT, blocks
from tests.tiny_models import write_encoder, write_teacher

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.gradio_app.bench.page_client import PageClient
from inficond.gradio_app.bench.page_process import page_process

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the example package of the document is installed."""
    place = tmp_path_factory.mktemp("example")
    for block in blocks(ROOT / "docs" / "extending.md"):
        if block.file is not None:
            path = place / "source" / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", place / "site", place / "source"], check=True, capture_output=True)
    return place / "site"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo's project."""
    copy = tmp_path_factory.mktemp("demo") / "project"
    shutil.copytree(demo_project(), copy, ignore=shutil.ignore_patterns("history.sqlite*"))
    return copy


@pytest.fixture
def environment(installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment in which new processes find the package."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inficond.core.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.usefixtures("environment")
def test_the_command_is_listed_and_prints_weights(demo: Path) -> None:
    assert "print the weights of all students as CSV" in run("--help").stdout
    rows = list(csv.DictReader(io.StringIO(run("weights", demo).stdout)))
    assert len(rows) > 50
    assert {row["class"] for row in rows} == set(Project.open(demo).classes)
    assert all(float(row["weight"]) for row in rows)
    wrong = run("weights", "missing")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("inficond weights: ")
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.usefixtures("environment")
def test_the_source_gives_its_frames_to_a_project(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    folder = tmp_path / "recordings"
    folder.mkdir()
    for n in range(12):
        shade = generator.integers(0, 200, (1, 1, 1, 3))
        np.save(folder / f"r{n}.npy", (shade + generator.integers(0, 50, (3, 40, 48, 3))).astype(np.uint8))
    (folder / "broken.npy").write_bytes(b"no array")
    encoder, teacher = write_encoder(tmp_path / "encoder"), write_teacher(tmp_path / "teacher")
    done = run(
        "distill",
        f"stacks:{folder}",
        "--out",
        "out",
        "--encoder",
        encoder,
        "--teacher",
        teacher,
        "--no-baseline",
    )
    assert done.returncode == 0, done.stderr
    assert "not an array of colour frames" in done.stdout + done.stderr
    project = Project.open(tmp_path / "out")
    assert project.image_ids[:4] == ["r0/00000", "r0/00001", "r0/00002", "r1/00000"]
    held = {project.image_ids[row].split("/")[0] for row in project.validation_rows}
    fitted = {
        id.split("/")[0] for id, held_out in zip(project.image_ids, project.is_validation) if not held_out
    }
    assert held
    assert not held & fitted, "frames of one recording stay in one part"
    empty = run("distill", f"stacks:{tmp_path}", "--out", "none")
    assert empty.returncode == 2
    assert "holds no .npy file" in empty.stderr


@pytest.mark.usefixtures("environment")
def test_the_teacher_gives_its_classes_to_a_project(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for n in range(24):
        colour = np.array([200, 90, 40] if n % 2 else [40, 90, 200])
        pixels = np.clip(colour + generator.normal(0, 25, (48, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{n:02}.png")
    encoder = write_encoder(tmp_path / "encoder")
    named = ("--teacher", "inficond_example.warmth:warmth", "--encoder", encoder, "--no-baseline")
    done = run("distill", "photos", "--out", "out", *named)
    assert done.returncode == 0, done.stderr
    project = Project.open(tmp_path / "out")
    assert sorted(project.classes) == ["cold", "warm"]
    warm = project.T[:, project.classes.index("warm")]
    assert (warm[1::2] > 0.9).all()
    assert (warm[::2] < 0.1).all()


@pytest.mark.usefixtures("environment")
def test_a_package_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    (other / "bad-2.0.dist-info").mkdir(parents=True)
    (other / "bad-2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 2.0\n")
    (other / "bad-2.0.dist-info" / "entry_points.txt").write_text(
        "[inficond.commands]\nbad = bad_command\nempty = inficond_example\n"
        "[inficond.sources]\nodd = builtins:dict\nother = builtins:max\n"
    )
    (other / "bad_command.py").write_text("import missing_dependency\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(other), os.environ["PYTHONPATH"]]))
    assert "No module named 'missing_dependency'): update or uninstall bad" in run("bad").stderr
    assert "is not a command: it lacks SUMMARY, configure, run" in run("empty").stderr
    assert "the extension 'odd' failed (TypeError: " in run("distill", "odd:", "--out", "x").stderr
    assert "the extension 'other' " in run("distill", "other:", "--out", "x").stderr
    assert "weights" in run("--help").stdout


@pytest.mark.nightly
@pytest.mark.browser
@pytest.mark.usefixtures("environment")
def test_the_example_view_is_on_the_page_and_linked(demo: Path) -> None:
    with page_process(demo) as page, sync_playwright() as playwright:
        client = PageClient(page.url)
        client.enter()
        answer = client.call("hello", {"selection": {}})
        assert answer["failed"] == {}
        nearest = answer["parts"]["doubt.images"]["images"]
        assert len(nearest) == 12
        client.close()
        try:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=FLAGS
            )
        except Error as error:
            pytest.skip(f"needs Chromium (apt install chromium): {str(error).splitlines()[0]}")
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.add_init_script("localStorage.setItem('inficond.guided', 'yes')")
        complaints: list[str] = []
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.url)
        tab.wait_for_selector("#view-doubt .doubt-list button >> nth=11")
        first = tab.locator("#view-doubt .doubt-list button").first
        assert nearest[0]["id"] in (first.text_content() or "")
        first.evaluate("button => button.click()")
        tab.wait_for_selector("#view-instances [data-open-image]")
        other = tab.locator('#view-performance [data-class]:not([aria-selected="true"])').first
        name = other.get_attribute("data-class")
        other.locator(".perf-name").click()
        tab.wait_for_function("(c) => window.inficond.store.state.parts['doubt.images'].cls === c", arg=name)
        assert complaints == []
        browser.close()
