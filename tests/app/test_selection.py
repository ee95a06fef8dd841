"""Selections are corrected to valid ones, visits are separate, and payloads are exact."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.gradio_app.new_project import parse_class_lines
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.rpc import RPC_METHODS, RpcServer
from inficond.gradio_app.selection import Selection, resolve_selection
from inficond.gradio_app.serialization import encode_probabilities, quantize_rows, to_plain
from inficond.gradio_app.views import ViewPart, all_views, view_parts
from inficond.gradio_app.visitor import Visitor
from inficond.gradio_app.visitor_registry import VisitorRegistry


@pytest.fixture
def visitors(make_project: Callable[..., Project], files: PageFiles) -> Iterator[VisitorRegistry]:
    registry = VisitorRegistry(make_project(), files)
    yield registry
    registry.close()


def mute_largest(visitor: Visitor) -> str:
    """Apply a step: mute the concept with the largest weight of the first class. Return its node."""
    cls, session = visitor.project.classes[0], visitor.own_session()
    concept = session.concepts[int(np.abs(session.influence(cls).weights).argmax())]
    return session.apply(cls, [{"kind": "mute", "concept": concept}]).id


def test_there_are_six_views_in_reading_order_and_part_names_begin_with_the_view() -> None:
    views = all_views()
    assert [v.name for v in views] == [
        "configuration", "performance", "influence", "tuning", "instances", "provenance",
    ]  # fmt: skip
    for view in views:
        assert view.about.endswith(".")
        assert all(part.name.startswith(f"{view.name}.") for part in view.parts)
        assert view.css


FIELD = st.sampled_from(["cls", "subset", "slice", "concepts", "image", "scope", "x"])
VALUE = st.one_of(st.none(), st.text(max_size=40), st.integers(), st.lists(st.text(max_size=9), max_size=4))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requested=st.one_of(st.none(), st.text(), st.dictionaries(FIELD, VALUE)))
def test_any_requested_selection_becomes_a_valid_one(rpc: RpcServer, requested: object) -> None:
    visitor, _ = rpc.visitors.get()
    selection, _ = resolve_selection(requested, visitor)
    project = visitor.project
    assert selection.cls in project.classes
    assert selection.subset in (None, "agree-pos", "agree-neg", "missed", "extra")
    assert not (selection.slice and selection.subset)
    assert set(selection.concepts) <= set(visitor.session.concepts)
    assert selection.image is None or selection.image in project.image_ids


def test_a_misspelt_class_is_corrected_with_a_note(rpc: RpcServer) -> None:
    visitor, _ = rpc.visitors.get()
    name = visitor.project.classes[0]
    selection, note = resolve_selection({"cls": name + "s"}, visitor)
    assert selection.cls == name
    assert note is not None
    assert name in note


def test_a_token_finds_its_visit_only(visitors: VisitorRegistry) -> None:
    one, lost = visitors.get()
    assert not lost
    assert visitors.get(one.token) == (one, False)
    other, _ = visitors.get()
    assert other.token != one.token
    for invalid in ("main", "x" * 5000, "../../etc", 7, None, {"a": 1}, "a" * 16):
        stranger, _ = visitors.get(invalid)
        assert stranger.token not in ("main", one.token, other.token)


def test_steps_of_a_visit_are_not_seen_by_others_and_survive_a_restart(visitors: VisitorRegistry) -> None:
    one, _ = visitors.get()
    other, _ = visitors.get()
    cls = one.project.classes[0]
    before = other.session.influence(cls).weights.copy()
    node = mute_largest(one)
    assert (other.session.influence(cls).weights == before).all()
    # a second registry on the same files is what a killed page leaves behind: nothing was closed
    again = VisitorRegistry(Project.open(one.project.path), visitors.files)
    found, lost = again.get(one.token)
    assert not lost
    assert found.session.node == node
    again.close()


def test_the_session_that_visits_without_steps_share_takes_none(visitors: VisitorRegistry) -> None:
    visitor, _ = visitors.get()
    cls = visitor.project.classes[0]
    action = {"kind": "mute", "concept": visitor.session.concepts[0]}
    for step in (
        lambda: visitor.session.apply(cls, [action]),
        lambda: visitor.session.history.name(visitor.session.node, "mine"),
        lambda: visitor.session.checkout(visitor.session.node),
    ):
        with pytest.raises(RuntimeError, match="several visitors"):
            step()
    assert not visitor.has_session


def test_a_private_project_is_available_to_its_owner_only(
    visitors: VisitorRegistry, make_project: Callable[..., Project]
) -> None:
    owner, _ = visitors.get()
    guest, _ = visitors.get()
    key = visitors.add(make_project(), owner.token)
    assert key in owner.available_projects
    assert key not in guest.available_projects
    with pytest.raises(InputError, match="choose another"):
        visitors.open_project(guest, key)
    assert visitors.open_project(owner, key).project.path == visitors.projects[key].project.path


def test_a_project_with_a_damaged_history_is_not_offered(
    visitors: VisitorRegistry, make_project: Callable[..., Project]
) -> None:
    damaged = make_project()
    (damaged.path / "history.sqlite").write_bytes(b"not a database" * 100)
    visitor, _ = visitors.get()
    with pytest.raises(InputError, match="history"):
        visitors.add(damaged)
    assert list(visitor.available_projects) == [visitors.default_key]


def test_every_part_of_every_view_is_json_and_bad_requests_are_one_line(rpc: RpcServer) -> None:
    hello = json.loads(rpc.answer("hello", {"selection": {}}))
    assert set(hello["parts"]) == {name for name, part in view_parts().items() if not part.slow}
    assert hello["failed"] == {}
    for name, request in (
        ("preview", {"cls": "no such class", "actions": [{"kind": "mute", "concept": "x"}]}),
        ("preview", {"cls": hello["selection"]["cls"], "actions": "x"}),
        ("apply", {}),
        ("undo", {}),
        ("sheet", {"number": 10**9}),
        ("similar", {"image": "../../etc/passwd"}),
        ("job", {"job": "x"}),
        ("start_project", {"folder": "/etc"}),
        ("classify", {"path": "/etc/passwd", "name": "x"}),
        ("open_project", {"project": "p9"}),
    ):
        response = json.loads(rpc.answer(name, {"token": hello["token"], **request}))
        assert response["error"], name
        assert "Traceback" not in response["error"]
        assert "Internal error" not in response["error"], f"{name}: {response['error']}"


def test_visits_without_steps_share_parts_and_a_step_changes_only_its_own_visit(
    rpc: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()

    def counted(part: ViewPart) -> ViewPart:
        def read(visitor: Visitor, selection: Selection) -> Any:
            reads[part.name] += 1
            return part.read(visitor, selection)

        return replace(part, read=read)

    parts = {name: counted(part) for name, part in view_parts().items()}
    monkeypatch.setattr("inficond.gradio_app.rpc.view_parts", lambda: parts)
    shared = sorted(name for name, part in parts.items() if part.shared and not part.slow)
    assert shared == ["influence.rows", "instances.gallery", "performance.table", "tuning.state"]
    for number in range(2):  # parts list the sheets that exist, and a thread makes them
        rpc.visitors.files.images.sheet(rpc.visitors.default_project, number)
    one, other = (json.loads(rpc.answer("hello", {})) for _ in range(2))
    assert one["token"] != other["token"]
    assert one["parts"] == other["parts"]
    assert [reads[name] for name in shared] == [1, 1, 1, 1]

    row = one["parts"]["influence.rows"]["rows"][0]["name"]
    step = {"cls": one["selection"]["cls"], "actions": [{"kind": "mute", "concept": row}]}
    rpc.answer("apply", {"token": one["token"], "selection": one["selection"], **step})
    after = json.loads(rpc.answer("hello", {"token": one["token"]}))
    assert after["parts"]["tuning.state"] != one["parts"]["tuning.state"]
    again = json.loads(rpc.answer("hello", {"token": other["token"]}))
    assert again["parts"] == other["parts"]
    filtered = json.loads(rpc.answer("hello", {"selection": {"subset": "missed"}}))
    assert filtered["parts"]["instances.gallery"] != other["parts"]["instances.gallery"]


def test_the_route_table_lists_the_remote_procedures_that_exist(rpc: RpcServer) -> None:
    assert all(callable(rpc.procedure(name)) for name in RPC_METHODS)


def test_classes_are_parsed_line_by_line() -> None:
    assert parse_class_lines("boat: canoe, gondola\ndog\n\n") == {
        "boat": ["canoe", "gondola"],
        "dog": ["dog"],
    }
    assert parse_class_lines("  \n") is None


def test_encoded_numbers_decode_to_their_values() -> None:
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
