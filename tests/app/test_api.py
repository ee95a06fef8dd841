"""Named endpoints, called with `gradio_client`, return core's results, or one line for invalid input."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from tests.large_pictures import blank_png

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.students import Students
from inficond.gradio_app.app import Page, build_page

CLASS = "water bird"
ENDPOINTS = (
    "/classes", "/influence", "/instances", "/preview", "/apply", "/undo", "/redo", "/suggest",
    "/add_concept", "/recipe", "/predict", "/export_student", "/distill",
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("api") / "project"
    shutil.copytree(demo_project(), folder, ignore=shutil.ignore_patterns("history.sqlite*"))
    return Project.open(folder)


@pytest.fixture(scope="module")
def page(project: Project) -> Iterator[Page]:
    page = build_page(project, local_folders=True)
    page.start()
    yield page
    page.close()


@pytest.fixture(scope="module")
def client(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(page.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))
    yield client
    client.close()


def heaviest(project: Project) -> str:
    weights = project.students.weights[project.classes.index(CLASS)]
    return project.concepts[int(np.abs(weights).argmax())]


def test_the_endpoints_are_those_of_the_documentation(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == set(ENDPOINTS)
    assert all(entry.get("description") for entry in named.values())
    assert not client.view_api(return_format="dict", print_info=False)["unnamed_endpoints"]


def test_classes(client: Client, project: Project) -> None:
    answer = client.predict(api_name="/classes")
    session = project.session()
    assert [c["name"] for c in answer["classes"]] == project.classes
    for said in answer["classes"]:
        metrics = session.metrics(said["name"])
        assert said["ap"] == pytest.approx(metrics.ap, rel=1e-5)
        assert said["counts"] == dict(metrics.counts)


def test_influence(client: Client, project: Project) -> None:
    rows = client.predict(class_name=CLASS, api_name="/influence")["concepts"]
    weights = project.students.weights[project.classes.index(CLASS)]
    assert {r["concept"]: r["weight"] for r in rows} == pytest.approx(
        {c: float(w) for c, w in zip(project.concepts, weights) if w}, rel=1e-5
    )
    assert [abs(r["weight"]) for r in rows] == sorted((abs(r["weight"]) for r in rows), reverse=True)


def test_instances(client: Client, project: Project) -> None:
    session = project.session()
    answer = client.predict(class_name=CLASS, subset="missed", limit=5, api_name="/instances")
    rows = session.subset(CLASS, "missed")
    assert answer["total"] == len(rows)
    assert len(answer["images"]) == min(5, len(rows))
    for image in answer["images"]:
        row = project.image_ids.index(image["image"])
        assert row in rows
        assert image["teacher"] == pytest.approx(float(session.targets(CLASS)[row]), rel=1e-5)
    everything = client.predict(class_name=CLASS, limit=-3, api_name="/instances")
    assert everything["total"] == int(project.is_validation.sum())
    assert everything["images"] == []


def test_preview_apply_undo_redo_and_recipe(client: Client, project: Project) -> None:
    word = heaviest(project)
    actions = [{"kind": "mute", "concept": word}]
    before = client.predict(api_name="/classes")
    session = before["session"]
    expected = client.predict(class_name=CLASS, actions=actions, session=session, api_name="/preview")
    assert expected["session"] == session
    assert expected["weights"][word] == 0
    assert client.predict(session=session, api_name="/classes")["classes"] == before["classes"]
    node = client.predict(
        class_name=CLASS, actions=actions, focus="extra", note="why", session=session, api_name="/apply"
    )
    assert word in node["title"]
    after = client.predict(session=session, api_name="/classes")["classes"]
    assert after != before["classes"]
    recipe = client.predict(session=session, api_name="/recipe")["recipe"]
    assert word in str(recipe)
    assert "extra" in str(recipe)
    back = client.predict(session=session, api_name="/undo")
    assert back["node"] == node["parent"]
    assert client.predict(session=session, api_name="/classes")["classes"] == before["classes"]
    assert client.predict(session=session, api_name="/redo")["node"] == node["node"]
    assert client.predict(session=session, api_name="/classes")["classes"] == after
    assert client.predict(api_name="/classes")["classes"] == before["classes"], "a session of one's own"


def test_suggest_and_add_concept(client: Client, project: Project) -> None:
    answer = client.predict(class_name=CLASS, subset="extra", api_name="/suggest")
    best = answer["suggestions"][0]
    assert best["actions"]
    assert client.predict(
        class_name=CLASS, actions=best["actions"], session=answer["session"], api_name="/preview"
    )["changes"]
    added = client.predict(word="gold leaf", session=answer["session"], api_name="/add_concept")
    assert "gold leaf" in added["title"]
    assert "gold leaf" not in project.concepts


def test_predict(client: Client, page: Page, project: Project) -> None:
    picture = project.image_path(0)
    answer = client.predict(image=handle_file(picture), api_name="/predict")
    said = {c["name"]: c for c in answer["classes"]}
    for c, name in enumerate(project.classes):
        assert said[name]["teacher"] == pytest.approx(float(project.T[0, c]), abs=0.02)
        assert said[name]["student"] == pytest.approx(float(project.session().scores()[0, c]), abs=0.02)
    kept = [
        f
        for f in page.files.folder.rglob("*")
        if f.is_file() and "shared" not in f.parts and f.name != "health.png"
    ]
    assert not [f for f in kept if f.suffix in (".jpg", ".webp", ".png")], "nothing of the image is kept"


def test_export_student(client: Client, project: Project) -> None:
    session = client.predict(
        class_name=CLASS, actions=[{"kind": "mute", "concept": heaviest(project)}], api_name="/apply"
    )["session"]
    answer = client.predict(kind="safetensors", session=session, api_name="/export_student")
    students = Students.load(Path(_path(answer["file"])))
    c, k = project.classes.index(CLASS), project.concepts.index(heaviest(project))
    assert students.weights[c, k] == 0
    assert project.students.weights[c, k] != 0


def _path(file: Any) -> str:
    return file if isinstance(file, str) else file["path"]


@pytest.mark.slow
@pytest.mark.data
def test_distill(
    client: Client, page: Page, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photographs"
    folder.mkdir()
    for file in sorted((shared_data / "imagenet_sample").glob("*.jpg"))[:16]:
        shutil.copy(file, folder)
    answer = client.predict(
        images=str(folder), name="mine", classes="bird: hen, house finch\nfish: tench, hammerhead",
        owner_key=page.owner_key.value,
        api_name="/distill",
    )  # fmt: skip
    assert answer["project"] == "mine"
    assert answer["classes"] == ["bird", "fish"]
    found = client.predict(session=answer["session"], api_name="/classes")["classes"]
    assert [c["name"] for c in found] == ["bird", "fish"]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("/influence", {"class_name": "water brid"}, "water bird"),
    ("/instances", {"class_name": CLASS, "subset": "mised"}, "missed"),
    ("/preview", {"class_name": CLASS, "actions": [{"kind": "mut", "concept": "water"}]}, "mute"),
    ("/preview", {"class_name": CLASS, "actions": [{"kind": "mute", "concept": "watr"}]}, "water"),
    ("/preview", {"class_name": CLASS, "actions": [], "focus": "nothing"}, ""),
    ("/apply", {"class_name": CLASS, "actions": [{"kind": "set", "concept": "water"}]}, "set"),
    ("/apply", {"class_name": CLASS, "actions": ["mute water"]}, ""),
    ("/undo", {}, "undo"),
    ("/redo", {}, "redo"),
    ("/suggest", {"class_name": "nobody"}, "nobody"),
    ("/add_concept", {"word": "   "}, "name"),
    ("/export_student", {"kind": "pickle"}, "safetensors"),
    ("/distill", {"images": "/nowhere/at/all"}, "owner key"),
    ("/predict", {"image": {}}, "file"),
]


@pytest.mark.parametrize(
    ("name", "request_", "hint"), BAD, ids=[f"{n} {h or i}" for i, (n, _, h) in enumerate(BAD)]
)
def test_invalid_input_gives_one_line(client: Client, name: str, request_: dict[str, Any], hint: str) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(**request_, api_name=name)
    line = str(caught.value)
    assert hint in line
    assert "\n" not in line.strip()
    assert "Traceback" not in line
    assert 8 < len(line) < 400


def test_a_file_that_is_not_an_image_is_refused(client: Client, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image at all\n" * 40)
    (tmp_path / "bomb.png").write_bytes(blank_png(20_000, 20_000))
    for name in ("text.jpg", "bomb.png"):
        with pytest.raises(AppError, match=name) as caught:
            client.predict(image=handle_file(tmp_path / name), api_name="/predict")
        assert "\n" not in str(caught.value).strip()
    assert client.predict(api_name="/classes")["classes"]
