"""The form of a new project: what is found in a folder, the options it gives, uploads with sub-folders."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inficond.core.errors import InputError
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.new_project import project_options
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.visitor_registry import VisitorRegistry


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures in two class folders, and a file that is no image."""
    for name, count in (("rose", 3), ("tulip", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (32, 32), (200, 20 * i, 40 if name == "rose" else 90)).save(
                tmp_path / "photos" / name / f"{i}.png"
            )
    (tmp_path / "photos" / "photo.psd").write_bytes(b"8BPS" + bytes(100))
    return tmp_path / "photos"


@pytest.fixture
def ask(small_project: Any, files: PageFiles) -> Iterator[Callable[..., dict[str, Any]]]:
    """Calls a remote procedure of a page whose owner may name folders."""
    server = RpcServer(VisitorRegistry(small_project, files), RequestQueue(), OwnerKey(True))
    server.visitors.disable_saving()

    def call(name: str, owner: bool = True, **request: Any) -> dict[str, Any]:
        key = server.owner_key.value if owner else "guess"
        return json.loads(server.answer(name, {"owner_key": key, **request}))

    yield call
    server.queue.close()
    server.visitors.close()


def test_a_folder_is_described_before_the_start(
    ask: Callable[..., dict[str, Any]], photos: Path, tmp_path: Path
) -> None:
    found = ask("examine", folder=str(photos))["found"]
    assert found["images"] == 5
    assert found["classes"] == ["rose", "tulip"]
    assert found["lines"][:2] == ["5 images", "2 class folders: rose 3, tulip 2"]
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label\nrose/0.png,red\nrose/1.png,red\ngone.png,red\ntulip/0.png,white\n")
    found = ask("examine", folder=str(photos), labels=str(labels))["found"]
    assert found["classes"] == ["red", "white"]
    assert any("no labels for 2 image(s)" in line for line in found["lines"])
    labels.write_text("image,label\nother.jpg,red\n")
    assert "names none of the images" in ask("examine", folder=str(photos), labels=str(labels))["error"]
    assert "does not exist" in ask("examine", folder=str(tmp_path / "nowhere"))["error"]
    assert "error" in ask("examine", owner=False, folder=str(photos))


def test_the_fields_of_the_form_become_options(files: PageFiles, photos: Path) -> None:
    owner = OwnerKey(True)
    form = {
        "owner_key": owner.value, "folder": str(photos), "name": "Flowers", "teacher": "zero-shot",
        "words": "petal\n\nstem\n", "link": "sigmoid", "nec": "8",
    }  # fmt: skip
    options, temporary = project_options(form, "token", files, owner)
    assert temporary is None
    assert (options.images, options.teacher, options.link, options.nec) == (photos, "zero-shot", "sigmoid", 8)
    assert options.concepts == ["petal", "stem"]
    plain, _ = project_options({"owner_key": owner.value, "folder": str(photos)}, "token", files, owner)
    assert (plain.teacher, plain.link, plain.nec, plain.concepts, plain.labels) == ("auto",) + (None,) * 4
    assert plain.out != options.out
    for bad, message in (
        ({"nec": "many"}, "words per class must be a number, not 'many'"),
        ({"teacher": "os:system"}, "name a Python object on the command line"),
        ({"owner_key": "guess"}, "owner"),
    ):
        with pytest.raises(InputError, match=message):
            project_options({**form, **bad}, "token", files, owner)


def test_uploads_keep_their_sub_folders(files: PageFiles) -> None:
    names = (
        "mine/rose/a.png", "mine/tulip/a.png", "mine/tulip/a.png", "../../etc/x.png", "mine\\rose\\b.png",
        "mine/rose", "mine/rose/a.png/b.png",
    )  # fmt: skip
    sent = []
    for i, name in enumerate(names):
        path = files.new_upload("picture.png")
        Image.new("RGB", (16, 16), (i, 0, 0)).save(path)
        sent.append({"path": files.add_upload(path, "token"), "name": name})
    options, temporary = project_options({"files": sent}, "token", files, OwnerKey(False))
    assert temporary is not None
    folder = Path(options.images)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert len(found) == len(names)
    assert {"mine/rose/a.png", "mine/tulip/a.png", "mine/tulip/2-a.png", "mine/rose/b.png"} <= found
    assert all(p.resolve().is_relative_to(folder.resolve()) for p in folder.rglob("*"))
