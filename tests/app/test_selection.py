"""What a link or a script asks for is mended to what exists; visitors are kept apart."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.gradio_app import actions
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.selection import resolve_selection
from inficond.gradio_app.serialization import encode_probabilities, quantize_rows, to_plain
from inficond.gradio_app.views import all_views, view_parts
from inficond.gradio_app.visitor import VisitorRegistry


@pytest.fixture
def visitors(make_project: Callable[..., Project]) -> Iterator[VisitorRegistry]:
    """VisitorRegistry of a small project."""
    pictures = PageFiles()
    everybody = VisitorRegistry(make_project(), pictures)
    yield everybody
    everybody.close()
    pictures.close()


def test_six_views_in_reading_order_each_with_parts_of_its_own() -> None:
    views = all_views()
    assert [v.name for v in views] == [
        "configuration", "performance", "influence", "tuning", "instances", "provenance",
    ]  # fmt: skip
    for view in views:
        assert view.about.endswith(".")
        assert all(part.name.startswith(f"{view.name}.") for part in view.parts)
        assert view.css


@settings(deadline=None, max_examples=60)
@given(
    asked=st.one_of(
        st.none(),
        st.text(),
        st.dictionaries(
            st.sampled_from(["cls", "subset", "slice", "concepts", "image", "scope", "x"]),
            st.one_of(
                st.none(), st.text(max_size=40), st.integers(), st.lists(st.text(max_size=9), max_size=4)
            ),
        ),
    )
)
def test_any_selection_is_mended_to_a_valid_one(visitors_of_module: VisitorRegistry, asked: object) -> None:
    visitor, _ = visitors_of_module.get()
    selection, _ = resolve_selection(asked, visitor)
    project = visitor.project
    assert selection.cls in project.classes
    assert selection.subset in (None, "agree-pos", "agree-neg", "missed", "extra")
    assert not (selection.slice and selection.subset)
    assert set(selection.concepts) <= set(visitor.session.concepts)
    assert selection.image is None or selection.image in project.image_ids


@pytest.fixture(scope="session")
def visitors_of_module(small_project: Project) -> Iterator[VisitorRegistry]:
    """The same, for properties."""
    pictures = PageFiles()
    everybody = VisitorRegistry(small_project, pictures)
    yield everybody
    everybody.close()
    pictures.close()


def test_a_near_miss_is_mended_and_said(visitors: VisitorRegistry) -> None:
    visitor, _ = visitors.get()
    name = visitor.project.classes[0]
    selection, note = resolve_selection({"cls": name + "s"}, visitor)
    assert selection.cls == name
    assert note is not None
    assert name in note


def test_a_token_finds_its_visitor_and_nobody_else(visitors: VisitorRegistry) -> None:
    one, lost = visitors.get()
    assert not lost
    assert visitors.get(one.token) == (one, False)
    other, _ = visitors.get()
    assert other.token != one.token
    for odd in ("main", "x" * 5000, "../../etc", 7, None, {"a": 1}, "a" * 16):
        stranger, _ = visitors.get(odd)
        assert stranger.token not in ("main", one.token, other.token)


def test_tuning_of_one_is_not_seen_by_another_and_survives_a_restart(visitors: VisitorRegistry) -> None:
    one, _ = visitors.get()
    other, _ = visitors.get()
    cls = one.project.classes[0]
    concept = one.session.concepts[int(np.abs(one.session.influence(cls).weights).argmax())]
    before = other.session.influence(cls).weights.copy()
    one.session.apply(cls, [{"kind": "mute", "concept": concept}])
    assert (other.session.influence(cls).weights == before).all()
    visitors.close()  # as a page that stops does
    again = VisitorRegistry(Project.open(one.project.path), visitors.files)
    found, lost = again.get(one.token)
    assert not lost
    assert found.session.node == one.session.node
    again.close()


def test_a_private_project_is_on_its_owners_shelf_only(
    visitors: VisitorRegistry, make_project: Callable[..., Project]
) -> None:
    owner, _ = visitors.get()
    guest, _ = visitors.get()
    key = visitors.add(make_project(), owner.token)
    assert key in owner.available_projects
    assert key not in guest.available_projects
    with pytest.raises(InputError, match="choose another"):
        visitors.choose(guest.token, key)
    assert visitors.choose(owner.token, key).project.path == visitors.projects[key].path


def test_every_part_of_every_view_is_json_and_bad_requests_are_lines(
    visitors: VisitorRegistry, tmp_path: Path
) -> None:
    bridge = RpcServer(visitors, tmp_path)
    answer = json.loads(bridge.hello({"selection": {}}))
    quick = {name for name, part in view_parts().items() if not part.slow}
    assert set(answer["parts"]) == quick
    assert answer["failed"] == {}
    for name, request in (
        ("preview", {"cls": "no such class", "actions": [{"kind": "mute", "concept": "x"}]}),
        ("preview", {"cls": answer["selection"]["cls"], "actions": "x"}),
        ("apply", {}),
        ("undo", {}),
        ("sheet", {"number": 10**9}),
        ("similar", {"image": "../../etc/passwd"}),
        ("job", {"job": "x"}),
        ("start_project", {"folder": "/etc"}),
        ("classify", {"path": "/etc/passwd", "name": "x"}),
        ("open_project", {"project": "p9"}),
    ):
        said = json.loads(getattr(bridge, name)({"token": answer["token"], **request}))
        assert said["error"], name
        assert "Traceback" not in said["error"]
        assert "Internal error" not in said["error"], f"{name}: {said['error']}"


def test_only_plain_files_of_the_upload_folder_are_uploads(tmp_path: Path) -> None:
    uploads = tmp_path / "in"
    uploads.mkdir()
    (uploads / "a.jpg").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"y")
    (uploads / "link.jpg").symlink_to(tmp_path / "secret")
    assert actions.uploaded_file(str(uploads / "a.jpg"), uploads).name == "a.jpg"
    for path in (
        tmp_path / "secret",
        uploads / "link.jpg",
        uploads / ".." / "secret",
        uploads,
        "",
        None,
        "\0",
        3,
    ):
        with pytest.raises(InputError):
            actions.uploaded_file(path if path is None or isinstance(path, int) else str(path), uploads)


def test_classes_are_read_line_by_line() -> None:
    assert actions.parse_class_lines("boat: canoe, gondola\ndog\n\n") == {
        "boat": ["canoe", "gondola"],
        "dog": ["dog"],
    }
    assert actions.parse_class_lines("  \n") is None


def test_numbers_arrive_as_they_left() -> None:
    import base64

    values = np.array([[0.0, 0.25, 1.0], [3.0, 3.0, 3.0]], np.float32)
    packed = quantize_rows(values)
    back = np.frombuffer(base64.b64decode(packed["bytes"]), np.uint8).reshape(2, 3) / 255
    low, high = np.array(packed["low"])[:, None], np.array(packed["high"])[:, None]
    assert np.allclose(low + back * (high - low), values, atol=1 / 255)
    raw = np.frombuffer(base64.b64decode(encode_probabilities([0, 0.5, 1])), "<u2") / 65535
    assert np.allclose(raw, [0, 0.5, 1], atol=1e-4)
    assert to_plain({"a": float("nan"), "b": np.float32(0.5), "c": np.arange(2)}) == {
        "a": None,
        "b": 0.5,
        "c": [0, 1],
    }
