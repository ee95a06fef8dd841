"""The page of `inficond launch` works on the project: its steps are found everywhere, at any time."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page
from tests.browser.page import CURRENT_STEP, Opener, wait_until_drawn

from inficond.core import Project
from inficond.core.cli.main import main

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHANGED = "(nodes) => document.querySelectorAll('#view-provenance [data-node]').length === nodes"


@contextmanager
def launched(project: Path) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """`inficond launch` in a process of its own; yields its address and the owner key in its fragment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "inficond.core.cli.main", "launch", project, "--no-browser", "--json"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url, _, fragment = json.loads(process.stdout.readline())["owner_url"].partition("#")
        yield url, fragment, process
    finally:
        process.kill()
        process.communicate()


def nodes(page: Page) -> int:
    return page.locator("#view-provenance [data-node]").count()


def mute_a_concept(page: Page) -> str:
    """Mute the first concept of view 3 and apply it; return the concept."""
    concept = page.locator("#view-influence [data-concept]").first.get_attribute("data-concept")
    assert concept
    before = page.locator(CURRENT_STEP).get_attribute("data-node")
    page.evaluate(
        "(concept) => { const { act, state } = window.inficond.store;"
        " act('apply', { cls: state.selection.cls, actions: [{ kind: 'mute', concept }], focus: null }); }",
        concept,
    )
    page.wait_for_function(
        "([at, old]) => document.querySelector(at)?.dataset.node !== old", arg=[CURRENT_STEP, before]
    )
    return concept


def test_a_step_is_seen_by_the_command_line_a_second_tab_and_after_a_kill(
    make_project: Callable[..., Project],
    open_page: Opener,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = make_project(n=160, k=10).path

    def history() -> list[dict]:
        capsys.readouterr()
        assert main(["history", str(project), "--json"]) == 0
        return json.loads(capsys.readouterr().out)["nodes"]

    with ExitStack() as stack:
        url, fragment, process = stack.enter_context(launched(project))
        page = open_page(fragment, url=url)
        assert len(history()) == 1
        concept = mute_a_concept(page)
        assert len(history()) == 2
        assert concept in json.dumps(history()[1])

        second = open_page(fragment, url=url)
        assert nodes(second) == nodes(page)
        step = page.locator(CURRENT_STEP).get_attribute("data-node")
        assert second.locator(CURRENT_STEP).get_attribute("data-node") == step
        mute_a_concept(second)
        page.wait_for_function(CHANGED, arg=nodes(second))
        assert main(["undo", str(project)]) == 0
        page.wait_for_function("([at, node]) => document.querySelector(at)?.dataset.node === node",
                               arg=[CURRENT_STEP, step])  # fmt: skip
        second.close()
        page.goto("about:blank")  # a page without its server logs lost connections
        process.kill()
        process.wait()
        url, fragment, _ = stack.enter_context(launched(project))
        page.goto(f"{url}#{fragment}")
        wait_until_drawn(page)
        assert page.locator(CURRENT_STEP).get_attribute("data-node") == step
        page.goto("about:blank")
    students = Project.open(project).student()
    assert students.weights[0, students.concepts.index(concept)] == 0
    assert [node["current"] for node in history()] == [False, True, False]
