"""A person's own page works on the project's own history: every tab and the command line see each step."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inficond.core import Project
from inficond.core.strict_json import parse_json
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.visitor_registry import VisitorRegistry

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(n=120, k=8)


@pytest.fixture
def start(files: PageFiles) -> Iterator[Callable[..., Call]]:
    """Starts the remote procedures of a page on some projects, without a server."""
    started: list[RpcServer] = []

    def begin(*projects: Project) -> Call:
        visitors = VisitorRegistry(projects[0], files, one_history=True)
        for other in projects[1:]:
            visitors.add(other)
        server = RpcServer(visitors, RequestQueue(), OwnerKey(True))
        started.append(server)

        def call(name: str, token: str | None = None, **request: Any) -> dict[str, Any]:
            given = {"token": token, "owner_key": server.owner_key.value, **request}
            response = parse_json(server.answer(name, given))
            assert "error" not in response, response
            return response

        return call

    yield begin
    for server in started:
        server.queue.close()
        server.visitors.close()


def mute(call: Call, token: str, concept: str = "c1") -> dict[str, Any]:
    return call("apply", token, cls="boat", actions=[{"kind": "mute", "concept": concept}])


def steps(project: Project) -> list[str]:
    """The titles of the steps that the command line sees."""
    return [node.title for node in Project.open(project.path).session("main").history.path()]


def test_a_step_is_in_the_projects_history_and_in_every_tab(
    project: Project, start: Callable[..., Call]
) -> None:
    call = start(project)
    one, other = call("hello")["token"], call("hello")["token"]
    assert one != other
    before = call("ping", other)["revision"]
    node = mute(call, one)["node"]
    assert call("ping", other)["revision"] != before
    assert call("undo", other)["node"] != node
    assert call("redo", one)["node"] == node
    assert len(steps(project)) == 1
    assert "c1" in steps(project)[0]


def test_steps_of_the_command_line_are_seen_and_kept(project: Project, start: Callable[..., Call]) -> None:
    call = start(project)
    token = call("hello")["token"]
    before = call("ping", token)["revision"]
    session = Project.open(project.path).session("main")
    with session.exclusive():
        session.apply("boat", {"kind": "mute", "concept": "c2"})
        session.history.name(session.node, "from the shell")
    assert call("ping", token)["revision"] != before
    mute(call, token)
    assert [("c2" in title, "c1" in title) for title in steps(project)] == [(True, False), (False, True)]
    call("rename", token, node=session.node, text="renamed")
    names = [n.name for n in Project.open(project.path).session("main").tree()]
    assert names == ["", "renamed", ""]


def test_switching_projects_and_a_restart_lose_nothing(
    project: Project, make_project: Callable[..., Project], start: Callable[..., Call]
) -> None:
    second = make_project(n=120, k=8, seed=1)
    call = start(project, second)
    token = call("hello")["token"]
    node = mute(call, token)["node"]
    away = call("open_project", token, project="p1")["token"]
    mute(call, away, "c2")
    back = call("open_project", away, project="p0")["token"]
    revision = call("hello", back)["revision"]
    again = start(Project.open(project.path))
    found = again("hello", back)
    assert found["revision"] == revision
    assert "note" not in found, "nothing has expired"
    assert again("undo", found["token"])["node"] != node
    assert len(steps(second)) == 1


@pytest.mark.parametrize("key", ["", "guessed", 7, None])
def test_steps_need_the_owner_key(project: Project, start: Callable[..., Call], key: Any) -> None:
    call = start(project)
    mute(call, call("hello")["token"])
    stranger = call("hello", owner_key=key)["token"]
    for name, request in (
        ("apply", {"cls": "boat", "actions": [{"kind": "mute", "concept": "c2"}]}),
        ("undo", {}),
        ("add_concept", {"word": "rope"}),
    ):
        with pytest.raises(AssertionError, match="steps need the owner key"):
            call(name, stranger, owner_key=key, **request)
    assert len(steps(project)) == 1


def test_visits_of_a_public_page_stay_isolated(rpc: RpcServer) -> None:
    def call(name: str, token: str | None = None, **request: Any) -> dict[str, Any]:
        return parse_json(rpc.answer(name, {"token": token, **request}))

    one, other = call("hello")["token"], call("hello")["token"]
    before = call("ping", other)["revision"]
    assert mute(call, one)["node"]
    assert call("ping", other)["revision"] == before
