"""The map of the images on the page: its requests, and the area as a filter of all views."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inficond.core import Project
from inficond.core.project.image_map import STEPS, image_map
from inficond.core.sessions.map_area import format_area, images_in
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.image_map import COLOURS
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.queries import describe_filters, selected_rows
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.selection import Selection, resolve_selection
from inficond.gradio_app.views import view_parts
from inficond.gradio_app.visitor_registry import VisitorRegistry

AREA = format_area("pca", np.array([[0.1, 0.1], [0.55, 0.1], [0.55, 0.9], [0.1, 0.9]]))


@pytest.fixture
def make_rpc(make_project: Callable[..., Project], files: PageFiles) -> Iterator[Callable[..., RpcServer]]:
    """Function that serves a small project without a server; see `make_project` for the arguments."""
    made: list[RpcServer] = []

    def make(**options: Any) -> RpcServer:
        rpc = RpcServer(VisitorRegistry(make_project(**options), files), RequestQueue(), OwnerKey(False))
        rpc.visitors.disable_saving()
        made.append(rpc)
        return rpc

    yield make
    for rpc in made:
        rpc.queue.close()
        rpc.visitors.close()


def ask(rpc: RpcServer, name: str, **request: Any) -> dict[str, Any]:
    return json.loads(rpc.answer(name, request))


def test_positions_arrive_as_packed_numbers(make_rpc: Callable[..., RpcServer]) -> None:
    rpc = make_rpc()
    project = rpc.visitors.default_project
    positions = image_map(project).positions
    found = ask(rpc, "map")["map"]
    for name, column in zip("xy", positions.T):
        packed = np.frombuffer(base64.b64decode(found[name]), "<u2")
        assert np.array_equal(packed, column)
    assert found["n"] == len(project)
    assert found["layout"] == "pca"
    assert found["unavailable"] == ""


def test_a_map_that_is_not_computed_yet_is_a_job(make_rpc: Callable[..., RpcServer]) -> None:
    rpc = make_rpc()
    answer = ask(rpc, "map")
    assert rpc.jobs.get(answer["token"], answer["job"]).owner == answer["token"]
    rpc.visitors.default_project.context.image_map()
    assert ask(rpc, "map")["map"]["n"] == len(rpc.visitors.default_project)


def test_a_map_of_three_images_is_explained(make_rpc: Callable[..., RpcServer]) -> None:
    rpc = make_rpc(n=40)
    rpc.visitors.default_project.image_ids = rpc.visitors.default_project.image_ids[:3]
    found = ask(rpc, "map")["map"]
    assert found["unavailable"].startswith("A map needs at least 4 images, and this project has 3.")


@pytest.mark.parametrize("by", COLOURS)
def test_every_colouring_has_a_code_for_each_image(rpc: RpcServer, small_project: Project, by: str) -> None:
    found = ask(rpc, "map_colours", selection={"cls": "bird"}, by=by, concept="c2")["colours"]
    codes = np.frombuffer(base64.b64decode(found["codes"]), np.uint8)
    assert len(codes) == len(small_project)
    assert found["by"] == by
    if found["kind"] == "categories":
        assert set(codes.tolist()) - {255} <= set(range(len(found["names"])))
    if by == "concept":
        assert found["title"] == "c2"


@pytest.mark.parametrize(
    ("request_", "line"),
    [({"by": "mood"}, "colouring"), ({"by": "concept", "concept": "no such word"}, "no such word")],
)
def test_unknown_colours_are_refused(rpc: RpcServer, request_: dict[str, Any], line: str) -> None:
    assert line in ask(rpc, "map_colours", **request_)["error"]


def test_thumbnails_of_any_images_come_as_one_picture(rpc: RpcServer) -> None:
    found = ask(rpc, "map_tiles", rows=[5, 0, 17])["tiles"]
    data = base64.b64decode(found["url"].removeprefix("data:image/webp;base64,"))
    assert Image.open(io.BytesIO(data)).size == (8 * found["tile"], found["tile"])
    assert found["rows"] == [5, 0, 17]


@pytest.mark.parametrize("rows", [None, [], [0] * 65, [-1], [10**9], [True], ["0"], [0.5]])
def test_thumbnails_of_invalid_rows_are_refused(rpc: RpcServer, rows: Any) -> None:
    assert "row" in ask(rpc, "map_tiles", rows=rows)["error"]


def test_an_area_selects_its_images_in_all_views(rpc: RpcServer, small_project: Project) -> None:
    visitor, _ = rpc.visitors.get()
    inside = images_in(image_map(small_project), AREA)
    selection, note = resolve_selection({"cls": "bird", "area": AREA}, visitor)
    assert note is None
    assert selection.to_json()["area"] == AREA
    rows = selected_rows(visitor, selection)
    assert rows.tolist() == np.flatnonzero(inside & small_project.is_validation).tolist()
    assert 0 < len(rows) < small_project.is_validation.sum()
    gallery = view_parts()["instances.gallery"].read(visitor, selection)
    assert gallery["total"] == len(rows)
    assert gallery["filters"] == [{"field": "area", "text": "area of the map"}]
    assert "area of the map" in view_parts()["influence.rows"].read(visitor, selection)["part"]
    missed = selected_rows(visitor, Selection("bird", subset="missed", area=AREA, scope="all"))
    assert inside[missed].all()
    assert describe_filters(selection) == "area of the map"


def test_an_outdated_area_is_removed_with_a_note(rpc: RpcServer) -> None:
    visitor, _ = rpc.visitors.get()
    for area in ("umap.000000zzz000zzzzzz", "pca.!", "x" * 700):
        selection, note = resolve_selection({"area": area}, visitor)
        assert selection.area is None
        assert "draw it again" in (note or "")


def test_positions_are_steps_of_the_unit_square(rpc: RpcServer, small_project: Project) -> None:
    assert (image_map(small_project).positions <= STEPS).all()
