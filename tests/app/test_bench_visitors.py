"""Load test of the page: wrong responses are found, failed ones counted, only loopback is accepted."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.gradio_app.bench.exchange import Exchange
from inficond.gradio_app.bench.load_scenarios import ACTIONS, MIXES, Mix
from inficond.gradio_app.bench.page_client import PageClient, UnexpectedResponse
from inficond.gradio_app.bench.page_process import (
    MemorySampler,
    PageProcess,
    page_process,
    resident_memory,
)
from inficond.gradio_app.bench.response_checks import check_against_core, differences, extract_facts
from inficond.gradio_app.bench.visitors import copy_without_history, sample_images, visit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_without_history(None, tmp_path_factory.mktemp("visited"))


@pytest.fixture(scope="module")
def project(folder: Path) -> Project:
    return Project.open(folder)


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[PageProcess]:
    with page_process(folder) as running:
        yield running


def test_a_correct_response_passes_and_a_changed_one_fails(project: Project) -> None:
    session = project.session()
    cls = project.classes[0]
    held = session.influence(cls)
    k = int(np.abs(held.weights).argmax())
    rows = project.validation_rows[:50]
    scores = session.scores()[rows, session.class_index(cls)]
    m = session.metrics(cls)

    def said(weight: float, scores: np.ndarray, extra: int) -> list[str]:
        facts = {
            "table": {cls: [m.ap, m.counts["missed"], extra, m.nec]},
            "weights": (cls, {held.concepts[k]: weight}),
            "gallery": (
                cls,
                base64.b64encode(rows.astype("<i4").tobytes()).decode(),
                base64.b64encode(np.round(scores * 65535).astype("<u2").tobytes()).decode(),
            ),
            "opened": (cls, int(rows[0]), float(session.targets(cls)[rows[0]]), float(scores[0])),
        }
        return differences(session, Exchange("look", 0, 0, facts=facts))

    weight, extra = float(held.weights[k]), m.counts["extra"]
    assert said(weight, scores, extra) == []
    assert len(said(weight * 1.01, scores, extra)) == 1
    assert len(said(weight, scores, extra + 1)) == 1
    assert len(said(weight, np.roll(scores, 1), extra)) == 2, "the gallery, and the opened image"


def test_a_response_with_another_visitors_step_fails(project: Project) -> None:
    cls = project.classes[0]
    mine, theirs = project.session(), project.session()
    word = str(theirs.influence(cls).concepts[int(np.abs(theirs.influence(cls).weights).argmax())])
    theirs.apply(cls, [{"kind": "mute", "concept": word}])

    def table(session: object) -> dict:
        m = session.metrics(cls)  # type: ignore[attr-defined]
        return {cls: [m.ap, m.counts["missed"], m.counts["extra"], m.nec]}

    assert check_against_core(project, [Exchange("look", 0, 0, facts={"table": table(mine)})]) == []
    assert len(check_against_core(project, [Exchange("look", 0, 0, facts={"table": table(theirs)})])) == 1
    request = {"cls": cls, "actions": [{"kind": "mute", "concept": word}], "focus": None}
    step = Exchange("apply", 0, 0, name="apply", request=request, facts={"table": table(theirs)})
    assert check_against_core(project, [step]) == []
    failed = Exchange("apply", 0, 0, "timeout", "apply", request)
    assert check_against_core(project, [failed, Exchange("look", 0, 0, facts={"table": table(theirs)})]) == []


def test_facts_are_extracted_from_the_parts_that_have_them() -> None:
    assert extract_facts({"error": "no"}) == {}
    assert set(extract_facts({"preview": {"weights": {"sea": 0.1}}})) == {"preview"}


@pytest.mark.parametrize(
    "url", ["http://192.0.2.7:7860", "https://127.0.0.1:7860", "http://example.test", "ftp://127.0.0.1"]
)
def test_only_loopback_addresses_are_accepted(url: str) -> None:
    with pytest.raises(InputError, match="only pages on 127.0.0.1"):
        PageClient(url)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--visitors", "0"], "--visitors must be from 1"),
        (["--visitors", "10000"], "--visitors must be from 1"),
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--minutes", "1e9"], "--minutes must be above 0"),
        (["--mix", "shopping"], "tuning"),
        (["--check", "2"], "--check"),
    ],
)
def test_bad_options_are_one_line(options: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "visitors", *options]) == 2
    said = capsys.readouterr().err.strip()
    assert line in said
    assert "\n" not in said


def test_mixes_name_actions_that_exist() -> None:
    assert all(set(mix.actions) <= set(ACTIONS) and mix.think[0] <= mix.think[1] for mix in MIXES.values())


def test_growth_of_memory_is_measured() -> None:
    sampler = MemorySampler(os.getpid())
    sampler.samples = [(float(t), (400 + t) * 2**20) for t in range(120)]
    summary = sampler.summary()
    assert summary is not None
    assert summary["slope_per_minute"] == pytest.approx(60)
    assert summary["end"] > summary["middle"] > summary["start"]
    assert resident_memory(os.getpid()) or not Path("/proc/self/statm").exists()


@pytest.mark.slow
def test_visitors_at_the_same_time_get_correct_responses(page: PageProcess, folder: Path) -> None:
    mix = Mix({**MIXES["tuning"].actions, "upload": 2, "export": 1}, (0.1, 0.3))
    found = visit(page.url, page.pid, folder, mix, visitors=4, seconds=8, pictures=sample_images(folder, 3))
    assert found["problems"] == {}
    assert found["wrong_answers"] == []
    assert found["checked"] > found["requests"] / 4
    assert {"class switch", "preview", "apply", "first view"} <= set(found["waits"])
    json.dumps(found)


@pytest.mark.slow
def test_an_error_status_raises_unexpected_response(page: PageProcess) -> None:
    client = PageClient(page.url)
    client.enter()
    with pytest.raises(UnexpectedResponse, match="status 404"):
        client.call("no_such_function", {})
    assert "needs the text field" in client.call("preview", {"cls": ""})["error"]
    status, _ = client.upload("a.jpg", b"no picture")
    assert status == 200
    client.close()
