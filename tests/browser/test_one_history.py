"""The page of `inficond launch` works on the project: its steps are found everywhere, at any time."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page
from tests.browser.page import CURRENT_STEP, Opener, copy_project, wait_until_drawn

from inficond.core import Project
from inficond.core.cli.main import main

pytestmark = [pytest.mark.browser, pytest.mark.slow]
AT_STEP = "([at, node]) => document.querySelector(at)?.dataset.node === node"
WITH_ANOTHER_PROJECT = """
import json, sys, threading
from inficond.core import Project
from inficond.gradio_app.app import build_page
project, other = map(Project.open, sys.argv[1:])
page = build_page(project, more=[other], local_folders=True, one_history=True)
page.start()
print(json.dumps({"owner_url": page.owner_url}), flush=True)
threading.Event().wait()
"""
"""Serves the page as `inficond launch` does, with a second project that a person built on it."""


@contextmanager
def served_by(*command: str | Path) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """A page in a process of its own; yields its address and the owner key in its fragment."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url, _, fragment = json.loads(process.stdout.readline())["owner_url"].partition("#")
        yield url, fragment, process
    finally:
        process.kill()
        process.communicate()


def steps(page: Page) -> int:
    return page.locator("#view-provenance [data-node]").count()


def current_step(page: Page) -> str | None:
    return page.locator(CURRENT_STEP).get_attribute("data-node")


def mute_a_concept(page: Page) -> str:
    """Mute the first concept of view 3 and apply it; return the concept."""
    concept = page.locator("#view-influence [data-concept]").first.get_attribute("data-concept")
    assert concept
    before = current_step(page)
    page.evaluate(
        "(concept) => { const { act, state } = window.inficond.store;"
        " act('apply', { cls: state.selection.cls, actions: [{ kind: 'mute', concept }], focus: null }); }",
        concept,
    )
    page.wait_for_function(
        "([at, old]) => document.querySelector(at)?.dataset.node !== old", arg=[CURRENT_STEP, before]
    )
    return concept


def choose_project(page: Page, name: str) -> None:
    """Choose a project in the view Configuration and wait until it is drawn."""
    with page.expect_navigation():
        page.get_by_label("Project", exact=True).select_option(label=name)
    wait_until_drawn(page)


def test_a_step_is_in_every_place_at_any_time_until_the_student_is_exported(
    make_project: Callable[..., Project],
    open_page: Opener,
    project_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project, other = copy_project(project_folder, tmp_path / "copy"), make_project()
    name = Project.open(project).name

    def command(*arguments: str | Path) -> dict:
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    def history() -> list[dict]:
        return command("history", project)["nodes"]

    with ExitStack() as stack:
        url, fragment, process = stack.enter_context(
            served_by("-c", WITH_ANOTHER_PROJECT, project, other.path)
        )
        page = open_page(fragment, url=url)
        assert len(history()) == 1
        concept = mute_a_concept(page)
        step = current_step(page)
        assert [node["id"] for node in history() if node["current"]] == [step]
        assert concept in json.dumps(history()[1])

        choose_project(page, other.name)
        assert steps(page) == 1
        choose_project(page, name)
        assert current_step(page) == step

        second = open_page(fragment, url=url)
        assert (current_step(second), steps(second)) == (step, 2)
        mute_a_concept(second)
        page.wait_for_function(
            "(count) => document.querySelectorAll('#view-provenance [data-node]').length === count", arg=3
        )
        command("undo", project)
        page.wait_for_function(AT_STEP, arg=[CURRENT_STEP, step])

        second.close()
        page.goto("about:blank")  # a page without its server logs lost connections
        process.kill()
        process.wait()
        url, fragment, _ = stack.enter_context(
            served_by("-m", "inficond.core.cli.main", "launch", project, "--no-browser", "--json")
        )
        page.goto(f"{url}#{fragment}")
        wait_until_drawn(page)
        assert current_step(page) == step
        page.goto("about:blank")

    exported = command("export", "student", project, "--out", tmp_path / "student.onnx")
    assert exported["node"] == step
    students = Project.open(project).student()
    assert 0 in students.weights[:, students.concepts.index(concept)]
    assert [node["current"] for node in history()] == [False, True, False]
