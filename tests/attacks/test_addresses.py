"""Attacks: keys and paths in the addresses of images, which visitors and readers must not see."""

import json
from collections.abc import Callable, Iterator

import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.images import open_source
from inficond.core.images.sources.addresses import without_credentials, without_credentials_in
from inficond.core.pipeline.shard_files import open_place
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.comparison import PROJECT
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.visitor_registry import VisitorRegistry

CLOSED = "http://ann:secret@127.0.0.1:9/photos/?signature=secret"
"""Nothing listens at this port."""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ann:p@ss@host:8443/a/b.tar?X-Signature=k#x", "https://host:8443/a/b.tar"),
        ("https://token@host", "https://host"),
        ("s3://bucket/photos@2024/", "s3://bucket/photos@2024/"),
        ("simplecache::https://ann:secret@host/a?k=v", "simplecache::https://host/a"),
        ("C:\\photos@home?", "C:\\photos@home?"),
    ],
)
def test_an_address_is_shown_without_credentials(address: str, shown: str) -> None:
    assert without_credentials(address) == shown
    assert without_credentials_in(f"403, url='{address}'") == f"403, url='{shown}'"


def write_shard(url: str) -> None:
    with open_place(url).write("shard"):
        pass


@pytest.mark.parametrize("address", [CLOSED, CLOSED.replace("http:", "unknown:")])
@pytest.mark.parametrize("use", [open_source, write_shard], ids=["images", "store"])
def test_an_error_quotes_no_key_of_an_address(
    use: Callable[[str], object], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setattr("inficond.core.images.sources.remote.pause", lambda seconds: None)
    with pytest.raises(InputError) as caught:
        use(address)
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.fixture
def rpc(small_project: Project) -> Iterator[RpcServer]:
    files = PageFiles()
    made = RpcServer(VisitorRegistry(small_project, files), RequestQueue(), OwnerKey(True))
    made.visitors.disable_saving()
    yield made
    made.queue.close()
    made.visitors.close()
    files.close()


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/home/ann/private/photos", "photos"),
        ("C:\\Users\\ann\\photos", "photos"),
        ("https://ann:secret@host/private/photos/?signature=secret", "photos"),
    ],
)
def test_visitors_see_the_last_part_of_the_address_of_the_images(
    source: str, shown: str, rpc: RpcServer, small_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(small_project.config, "source", {"images": source})
    seen = rpc.answer("hello", {})
    assert json.loads(seen)["parts"]["configuration.facts"]["note"] == f"Images: {shown}."
    assert not any(text in seen for text in ("/home/ann", "private", "secret"))
    owner = json.loads(rpc.answer("hello", {"owner_key": rpc.owner_key.value}))
    note = owner["parts"]["configuration.facts"]["note"]
    assert note == f"Images: {without_credentials(source)}."


@pytest.fixture
def private(rpc: RpcServer, make_project: Callable[..., Project]) -> tuple[str, str]:
    """The token of a visitor, and the key of a project that only this visitor may open."""
    token = json.loads(rpc.answer("hello", {}))["token"]
    return token, rpc.visitors.add(make_project(seed=7), owner=token)


@pytest.mark.parametrize("side", ["{key}", "{key}:teacher"])
def test_nobody_compares_with_the_project_of_another_visitor(
    side: str, rpc: RpcServer, private: tuple[str, str]
) -> None:
    token, key = private
    name = PROJECT + side.format(key=key)
    for request in ({"a": name}, {"b": name}, {"a": name, "b": name}):
        stranger = json.loads(rpc.answer("compare", request))["compare"]
        assert stranger["problem"]
        assert not stranger["changed"]
        assert not any(key in one["id"] for one in stranger["sides"])
    offered = json.loads(rpc.answer("compare", {"token": token}))["compare"]["sides"]
    assert name in {one["id"] for one in offered}


def test_a_link_shows_no_comparison_with_the_project_of_another_visitor(
    rpc: RpcServer, private: tuple[str, str]
) -> None:
    selection = {"moved": f"teacher~{PROJECT}{private[1]}~yes-no"}
    read = json.loads(rpc.answer("read", {"selection": selection, "parts": ["instances.gallery"]}))
    assert read["selection"].get("moved") is None
    assert not read["failed"]


@pytest.mark.parametrize(
    "side",
    ["/etc/passwd", "../../etc", "file:///etc/passwd", "https://collector.example/", "demo#teacher", "s.onnx",
     "pickle.csv", "project:", "project:p9:teacher", "\x00", "9" * 5000],
)  # fmt: skip
def test_a_visitor_compares_with_no_file_and_no_address(side: str, rpc: RpcServer) -> None:
    """The command line takes paths of projects, students and tables; the page takes none."""
    for request in ({"a": side}, {"b": side}):
        answer = json.loads(rpc.answer("compare", request))
        line = answer.get("error") or answer["compare"]["problem"]
        assert line
        assert len(line.splitlines()) == 1
        assert "root:" not in line
