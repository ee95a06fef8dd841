"""Signals end a page at random moments: at most the step under way is missing afterwards."""

import shutil
import signal
import sys
from pathlib import Path

import httpx
import pytest
from tests.attacks.page_attacks import start_page
from tests.faults import signals

from inficond.core import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.mark.parametrize(
    ("count", "isolated"),
    [(5, True), (5, False), pytest.param(200, True, marks=pytest.mark.nightly)],
    ids=["5 kills", "5 kills, own history", "200 kills"],
)
def test_at_most_the_step_under_way_is_lost(
    count: int, isolated: bool, small_project: Project, tmp_path: Path
) -> None:
    """Finding 12: at SIGHUP, SIGQUIT and SIGKILL all steps of the page were lost, and uploads stayed."""
    folder = shutil.copytree(small_project.path, tmp_path / "project")
    found = list(signals.kills(folder, count, isolated=isolated))
    assert [kill for kill in found if kill["faults"]] == []
    assert sum(kill["steps"] for kill in found) > count


@pytest.mark.slow
def test_a_page_that_is_interrupted_after_its_first_answer_ends_in_order(
    small_project: Project, tmp_path: Path
) -> None:
    """Threads that compute the first view could abort the process while the interpreter ended."""
    folder = shutil.copytree(small_project.path, tmp_path / "project")
    target = start_page(folder, "--isolated")
    assert httpx.get(target.url, timeout=60).status_code == 200
    assert target.end(2) == 0


@pytest.mark.slow
def test_a_page_ends_in_order_when_signals_arrive_at_once(small_project: Project, tmp_path: Path) -> None:
    """`make` passes on its own; the terminal sends another to every process."""
    folder = shutil.copytree(small_project.path, tmp_path / "project")
    target = start_page(folder, "--isolated")
    assert httpx.get(target.url, timeout=60).status_code == 200
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) * 100:
        target.process.send_signal(number)
    assert target.end(signal.SIGTERM) == 0
