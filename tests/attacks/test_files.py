"""Files of the machine: asked for by every form of path, in every parameter that reaches a file."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.attacks.conftest import SECRET, Arena

from inficond.core.errors import InputError
from inficond.gradio_app import actions

Visit = Callable[[], tuple[str, str]]
CLIMB = "../" * 12
FORMS = [
    "{secret}",
    "/{secret}",
    "{pictures}/" + CLIMB + "etc/passwd",
    "{pictures}/../{up}{secret_rest}",
    CLIMB + "etc/passwd",
    "..\\..\\..\\windows\\win.ini",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "\\\\evil.example\\share\\x",
    "//evil.example/share/x",
    "\\\\?\\C:\\Windows\\win.ini",
    "/proc/self/environ",
    "/dev/zero",
    "file:///etc/passwd",
    "{secret}\0.webp",
    "{secret}::$DATA",
    "~/.ssh/id_rsa",
    "{pictures}",
    "",
    ".",
]


def spelled(form: str, arena: Arena) -> str:
    secret = str(arena.secret)
    return form.format(
        secret=secret, pictures=arena.page.files.folder, up="../" * 8, secret_rest=secret.lstrip("/")
    )


def refused(status: int, text: str) -> bool:
    return status in (400, 403, 404, 422) and SECRET not in text and "root:" not in text


@pytest.mark.parametrize("form", FORMS)
def test_the_file_route_hands_out_nothing_by(form: str, arena: Arena) -> None:
    path = spelled(form, arena)
    once = quote(path, safe="")
    for target in (once, quote(once, safe=""), quote(path, safe="/:\\~"), once.replace("%2F", "%c0%af")):
        for route in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/gradio_api//file="):
            status, text = arena.raw(route + target)
            assert refused(status, text), f"{route + target} -> {status}"


@pytest.mark.parametrize(
    "route", ["/static/", "/assets/", "/svelte/", "/gradio_api/custom_component/x/client/"]
)
@pytest.mark.parametrize("form", ["../" * 12 + "etc/passwd", "/etc/passwd", "{secret}", "..\\..\\win.ini"])
def test_the_routes_of_gradios_own_files_lead_nowhere_else(route: str, form: str, arena: Arena) -> None:
    path = spelled(form, arena)
    for target in (
        path,
        quote(path, safe=""),
        quote(quote(path, safe=""), safe=""),
        path.replace("..", "%2e%2e"),
    ):
        status, text = arena.raw(route + target.replace(" ", "%20"))
        assert refused(status, text), f"{route + target} -> {status}"


@pytest.mark.parametrize(
    "name", ["project.json", "history.sqlite", "images.parquet", "concepts.npy", "secret.txt"]
)
def test_a_projects_own_files_are_not_served(name: str, arena: Arena) -> None:
    path = arena.project.path / name
    path.touch()
    assert arena.file(path).status_code == 403


def test_a_link_below_the_served_folder_leads_nowhere(arena: Arena) -> None:
    link = arena.page.files.folder / "link.webp"
    link.symlink_to(arena.secret)
    try:
        answer = arena.file(link)
    finally:
        link.unlink()
    assert refused(answer.status_code, answer.text)


def test_what_is_uploaded_cannot_be_fetched(arena: Arena) -> None:
    """A page that hands out what strangers put there is a place to spread malware from."""
    path = arena.upload("evil.html", b"<script>alert(document.domain)</script>")
    assert Path(path).is_file()
    assert refused(arena.file(path).status_code, arena.file(path).text)


@pytest.mark.parametrize(
    "name", ["../../evil.jpg", "..\\..\\evil.jpg", "/etc/cron.d/evil", "C:\\evil.jpg", "a\0b.jpg"]
)
def test_an_uploads_name_chooses_no_place(name: str, arena: Arena) -> None:
    answer = arena.client.post("/gradio_api/upload", files={"files": (name, b"x")})
    if answer.status_code == 200:
        lies = Path(answer.json()[0]).resolve()
        assert lies.is_relative_to(arena.page.files.uploads)
    assert not list(arena.page.files.uploads.parent.glob("evil*"))


def smuggled(path: Path) -> dict[str, Any]:
    """A dictionary that Gradio takes for a file, and copies to where it can be fetched."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def test_no_file_comes_out_by_way_of_a_focus(
    arena: Arena, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio hands out whatever file an answer names, from anywhere below the working folder: what a visitor
    said of a step must not come back in an answer as it was said."""
    monkeypatch.chdir(arena.secret.parent)
    token, cls = visit()
    concepts = arena.project.concepts
    arena.ask(
        "apply",
        token=token,
        cls=cls,
        actions=[{"kind": "mute", "concept": concepts[1], **smuggled(arena.secret)}],
        focus={
            "conditions": [{"concept": concepts[0], "level": "high", **smuggled(arena.secret)}],
            **smuggled(arena.secret),
        },
    )
    text = arena.call("recipe", token)
    assert "event: complete" in text
    assert '"conditions"' in text
    assert "secret.txt" not in text


def test_no_file_comes_out_by_way_of_a_recipe(
    arena: Arena, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, planted in a recipe that the owner replayed."""
    monkeypatch.chdir(arena.secret.parent)
    token, cls = visit()
    session = arena.page.visitors.get(token)[0].session
    step = {"kind": "add", "classes": [cls], "detail": {"concept": "yellow", **smuggled(arena.secret)}}
    tune = {
        "kind": "tune",
        "classes": [cls],
        "actions": [{"kind": "mute", "concept": arena.project.concepts[2]}],
        "focus": {"label": "x", "conditions": [{"concept": "red", "level": "low", **smuggled(arena.secret)}]},
    }
    session.replay({"format": "inficond-recipe", "version": 1, "steps": [step, tune]})
    assert "secret.txt" not in arena.call("recipe", token)


def test_no_file_comes_out_by_way_of_a_planted_history(
    arena: Arena, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a node holds (a project's history may come from anywhere), an answer names no file."""
    monkeypatch.chdir(arena.secret.parent)
    token, cls = visit()
    session = arena.page.visitors.get(token)[0].session
    node = session.apply(cls, {"kind": "mute", "concept": "green"})
    node.detail.update(smuggled(arena.secret))  # type: ignore[attr-defined]
    text = arena.call("recipe", token)
    assert "event: complete" in text
    assert "/file=" not in text


@pytest.mark.parametrize("form", FORMS)
def test_an_own_image_is_an_upload_and_nothing_else(form: str, arena: Arena, visit: Visit) -> None:
    token, _ = visit()
    path = spelled(form, arena)
    said = arena.ask("classify", token=token, path=path, name="x.jpg")
    assert "upload" in said["error"]
    assert "Traceback" not in said["error"]
    for image in ({"path": path}, smuggled(Path(path.replace("\0", "?")))):
        text = arena.call("predict", image, token)
        assert "event: error" in text
        assert SECRET not in text


@pytest.mark.parametrize(
    "request_", [{"folder": "{secret_folder}"}, {"files": [{"path": "{secret}", "name": "a.jpg"}]},
                 {"folder": "~"}, {"files": [], "teacher": "{secret_folder}"},
                 {"files": [], "encoder": "evil/model"}, {"files": [{"path": "../../etc/passwd"}]},
                 {"folder": {"path": "/etc"}}],
    ids=lambda r: json.dumps(r),
)  # fmt: skip
def test_strangers_name_no_folder_and_no_model_of_the_machine(
    request_: dict[str, Any], arena: Arena, visit: Visit
) -> None:
    token, _ = visit()
    text = json.dumps(request_).replace("{secret_folder}", str(arena.secret.parent))
    asked = json.loads(text.replace("{secret}", str(arena.secret)))
    said = arena.ask("start_project", token=token, name="x", **asked)
    assert said["error"]
    assert "job" not in said
    folder = asked.get("folder")
    assert "event: error" in arena.call(
        "distill", folder if isinstance(folder, str) else "/etc", "x", "", token
    )


@pytest.mark.parametrize(
    "name", ["../../../evil", "..", "/etc/evil", "C:\\evil", "a/../../evil", "nul\0", ".hidden", "CON"]
)
def test_a_new_projects_name_chooses_no_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    uploads = tmp_path / "in"
    uploads.mkdir()
    (uploads / "a.jpg").write_bytes(b"x")
    files = [{"path": str(uploads / "a.jpg"), "name": name}]
    options = actions.project_options({"files": files, "name": name}, uploads.resolve(), local_folders=False)
    home = (tmp_path / "cache").resolve()
    assert Path(options.out).resolve().is_relative_to(home)
    [kept] = [f for f in Path(options.images).rglob("*") if f.is_file()]
    assert kept.resolve().is_relative_to(home)
    assert not kept.name.startswith(".")


@pytest.mark.parametrize("kind", ["../../evil", "onnx/../../x", "", "project.json", "safetensors\0"])
def test_an_export_is_one_of_those_offered(kind: str, arena: Arena, visit: Visit) -> None:
    token, _ = visit()
    started = arena.ask("start_export", token=token, kind=kind)
    if "job" in started:
        while (job := arena.ask("job", token=token, job=started["job"])["job"])["state"] == "running":
            pass
        assert job["state"] == "failed"
        assert "export" in job["line"]
    else:
        assert started["error"]
    assert "event: error" in arena.call("export_student", kind, token)


def test_an_upload_that_is_a_link_is_no_upload(tmp_path: Path) -> None:
    uploads = tmp_path / "in"
    uploads.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"x")
    os.symlink(tmp_path / "secret.jpg", uploads / "a.jpg")
    os.symlink(tmp_path, uploads / "folder")
    for path in (uploads / "a.jpg", uploads / "folder" / "secret.jpg", uploads / "folder"):
        with pytest.raises(InputError):
            actions.uploaded_file(str(path), uploads.resolve())
