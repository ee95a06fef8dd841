"""Files of the machine, requested by every form of path in every parameter that leads to a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.attacks.conftest import SECRET, Arena

from inficond.core.errors import InputError
from inficond.gradio_app import new_project
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.page_files import PageFiles

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
    return status in (400, 403, 404, 405, 422) and SECRET not in text and "root:" not in text


@pytest.mark.parametrize("form", FORMS)
def test_the_file_route_serves_no_path(form: str, arena: Arena) -> None:
    path = spelled(form, arena)
    once = quote(path, safe="")
    key = arena.ask("sheet", number=0)["url"].partition("file=")[2].partition("/")[0]
    for target in (once, quote(once, safe=""), quote(path, safe="/:\\~"), once.replace("%2F", "%c0%af")):
        for route in ("/gradio_api/file=", "/gradio_api/file/", "/file=", f"/gradio_api/file={key}/"):
            status, text = arena.raw(route + target)
            assert refused(status, text), f"{route + target} -> {status}"


@pytest.mark.parametrize(
    "route", ["/static/", "/assets/", "/svelte/", "/gradio_api/custom_component/x/client/"]
)
@pytest.mark.parametrize("form", ["../" * 12 + "etc/passwd", "/etc/passwd", "{secret}", "..\\..\\win.ini"])
def test_the_routes_of_gradios_own_files_serve_nothing_else(route: str, form: str, arena: Arena) -> None:
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
def test_the_files_of_a_project_are_not_served(name: str, arena: Arena) -> None:
    path = arena.project.path / name
    path.touch()
    assert arena.file(path).status_code == 404


def test_an_address_of_the_page_names_no_path(arena: Arena) -> None:
    url = arena.ask("sheet", number=0)["url"]
    assert arena.client.get("/" + url).status_code == 200
    assert str(arena.page.files.folder) not in url
    assert "tmp" not in url


def test_an_upload_cannot_be_downloaded(arena: Arena) -> None:
    """A page that serves what strangers upload could spread malware."""
    address = arena.upload("evil.html", b"<script>alert(document.domain)</script>")
    answer = arena.file(address)
    assert refused(answer.status_code, answer.text)


def smuggled(path: Path) -> dict[str, Any]:
    """Return a dictionary that Gradio takes for a file, copies to its cache and serves."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def test_a_focus_that_looks_like_a_file_is_not_returned(
    arena: Arena, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio serves every file below the working directory that a response names."""
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


def test_a_recipe_that_looks_like_a_file_is_not_returned(
    arena: Arena, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(arena.secret.parent)
    token, cls = visit()
    session = arena.page.visitors.get(token)[0].own_session()
    step = {"kind": "add", "classes": [cls], "detail": {"concept": "yellow", **smuggled(arena.secret)}}
    tune = {
        "kind": "tune",
        "classes": [cls],
        "actions": [{"kind": "mute", "concept": arena.project.concepts[2]}],
        "focus": {"label": "x", "conditions": [{"concept": "red", "level": "low", **smuggled(arena.secret)}]},
    }
    session.replay({"format": "inficond-recipe", "version": 1, "steps": [step, tune]})
    assert "secret.txt" not in arena.call("recipe", token)


def test_a_planted_history_that_looks_like_a_file_is_not_served(
    arena: Arena, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a node contains, a response names no file."""
    monkeypatch.chdir(arena.secret.parent)
    token, cls = visit()
    session = arena.page.visitors.get(token)[0].own_session()
    node = session.apply(cls, {"kind": "mute", "concept": "green"})
    node.detail.update(smuggled(arena.secret))  # type: ignore[attr-defined]
    text = arena.call("recipe", token)
    assert "event: complete" in text
    assert "/file=" not in text
    assert '"meta"' not in text


@pytest.mark.parametrize("form", FORMS)
def test_an_own_image_is_an_upload_and_nothing_else(form: str, arena: Arena, visit: Visit) -> None:
    token, _ = visit()
    path = spelled(form, arena)
    response = arena.ask("classify", token=token, path=path, name="x.jpg")
    assert "upload" in response["error"]
    assert "Traceback" not in response["error"]
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
def test_strangers_cannot_name_a_folder_or_a_model_of_the_machine(
    request_: dict[str, Any], arena: Arena, visit: Visit
) -> None:
    token, _ = visit()
    text = json.dumps(request_).replace("{secret_folder}", str(arena.secret.parent))
    request = json.loads(text.replace("{secret}", str(arena.secret)))
    for key in (None, "", "guessed", 7, arena.page.owner_key.value):
        response = arena.ask("start_project", token=token, name="x", owner_key=key, **request)
        assert response["error"]
        assert "job" not in response
        assert SECRET not in response["error"]
    folder = request.get("folder")
    assert "event: error" in arena.call(
        "distill", folder if isinstance(folder, str) else "/etc", "x", "", "", token
    )


@pytest.mark.parametrize(
    "name", ["../../../evil", "..", "/etc/evil", "C:\\evil", "a/../../evil", "nul\0", ".hidden", "CON"]
)
def test_the_name_of_a_new_project_does_not_choose_its_folder(name: str, tmp_path: Path) -> None:
    files = PageFiles()
    path = files.new_upload("a.jpg")
    path.write_bytes(b"x")
    uploads = [{"path": files.add_upload(path, "visit"), "name": name}]
    options, temporary = new_project.project_options(
        {"files": uploads, "name": name}, "visit", files, OwnerKey(False)
    )
    assert temporary is not None
    assert Path(options.out).resolve().is_relative_to(files.projects)
    [kept] = [f for f in Path(options.images).rglob("*") if f.is_file()]
    assert kept.resolve().is_relative_to(files.projects)
    assert not kept.name.startswith(".")
    files.close()


@pytest.mark.parametrize("kind", ["../../evil", "onnx/../../x", "", "project.json", "safetensors\0"])
def test_an_export_has_one_of_the_offered_kinds(kind: str, arena: Arena, visit: Visit) -> None:
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


def test_an_address_that_was_not_issued_is_no_upload(tmp_path: Path) -> None:
    files = PageFiles()
    secret = tmp_path / "secret.jpg"
    secret.write_text(SECRET)
    path = files.new_upload("a.jpg")
    path.write_bytes(b"x")
    address = files.add_upload(path, "visit")
    for forged in (f"{secret}", f"x/{secret}", f"{address}/../../../{secret}", str(path)):
        with pytest.raises(InputError, match="upload it again"):
            files.find_upload(forged, "visit")
    path.unlink()
    with pytest.raises(InputError, match="upload it again"):
        files.find_upload(address, "visit")
    files.close()
