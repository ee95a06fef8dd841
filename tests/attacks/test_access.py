"""Who may reach the page: host names, origins, frames, and the owner key."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.attacks.conftest import SECRET, Arena

from inficond.core import Project
from inficond.gradio_app.access import AccessPolicy
from inficond.gradio_app.app import Page, build_page
from inficond.gradio_app.routes import ROUTES

Visit = Callable[[], tuple[str, str]]


@pytest.fixture(scope="module")
def owned(hostile_project: Path) -> Iterator[Page]:
    """A page on loopback whose owner may name folders of the machine."""
    page = build_page(Project.open(hostile_project), local_folders=True)
    page.start()
    yield page
    page.close()


def call(page: Page, name: str, **request: Any) -> dict[str, Any]:
    return dict(httpx.post(f"{page.url}rpc/{name}", json=request, timeout=60).json())


# -- host names


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "",
             "[::", "0.0.0.0", "192.168.1.5", "169.254.169.254", "127.0.0.1@evil.example", "localhost\tx"],
)  # fmt: skip
def test_a_foreign_host_name_that_resolves_to_this_machine_gets_nothing(host: str, arena: Arena) -> None:
    """DNS rebinding: a page of evil.example has the same origin as this one if the name means 127.0.0.1."""
    for target, method in (("/config", "GET"), ("/", "GET"), ("/rpc/hello", "POST")):
        status, text = arena.raw(target, method, Host=host)
        assert status in (400, 403), f"{host}: {target} -> {status}"
        assert "component" not in text


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "127.8.9.1", "LOCALHOST."])
def test_names_of_this_machine_are_accepted(host: str, arena: Arena) -> None:
    assert arena.raw("/config", Host=host)[0] == 200


@pytest.mark.parametrize(
    ("host", "accepted"),
    [("192.0.2.7:7860", True), ("[2001:db8::1]", True), ("localhost", True), ("demo.example", True),
     ("evil.example", False), ("192.0.2.7.evil.example", False), ("", False)],
)  # fmt: skip
def test_a_page_for_a_network_accepts_addresses_and_its_public_names(host: str, accepted: bool) -> None:
    policy = AccessPolicy("0.0.0.0", ["demo.example"])
    assert (policy.refusal({"host": host}, "GET", "/config") is None) == accepted


# -- origins

FOREIGN = [
    "null", "https://evil.example", "http://127.0.0.1.evil.example", "http://evil.example:7860", "file://",
    "http://localhost.evil.example", "http://127.0.0.1:1", "http://localhost:8888", "https://[::1]:3000",
]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_cannot_act_or_read(origin: str, arena: Arena) -> None:
    """Other ports of this machine are other origins: another user's server, or a notebook."""
    before = len(arena.page.visitors)
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        answer = arena.post(
            "start_project", {"folder": "~"}, **{"origin": origin, "content-type": content_type}
        )
        assert answer.status_code == 403
    for path in ("/config", "/", "/gradio_api/info", "/health", "/" + arena.ask("sheet", number=0)["url"]):
        answer = arena.client.get(path, headers={"origin": origin})
        assert answer.status_code == 403, path
        assert not [h for h in answer.headers if h.startswith("access-control")]
    asked = {"origin": origin, "access-control-request-method": "POST"}
    preflight = arena.client.options("/rpc/hello", headers=asked)
    assert preflight.status_code in (403, 405)
    assert not [h for h in preflight.headers if h.startswith("access-control")]
    assert len(arena.page.visitors) <= before + 1


def test_the_pages_own_origin_is_accepted_and_no_response_allows_others(arena: Arena) -> None:
    origin = arena.url.rstrip("/")
    assert arena.post("hello", {}, origin=origin).status_code == 200
    for route in ROUTES:
        if route.is_exact and not route.mcp:
            answer = arena.client.request(route.method, route.path, headers={"origin": origin})
            assert not [h for h in answer.headers if h.startswith("access-control")], route.path


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_an_embedded_request_of_another_site_is_refused_without_an_origin_too(
    site: str, arena: Arena
) -> None:
    """Images, scripts and forms of other pages carry no Origin, but Sec-Fetch-Site."""
    image = "/" + arena.ask("sheet", number=0)["url"]
    for path, mode in ((image, "no-cors"), ("/config", "no-cors"), (image, "navigate"), ("/", "no-cors")):
        answer = arena.client.get(path, headers={"sec-fetch-site": site, "sec-fetch-mode": mode})
        assert answer.status_code == 403, path
    followed = arena.client.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"})
    assert followed.status_code == 200, "a link may lead to the page"


def test_a_page_for_a_network_reflects_no_origin(hostile_project: Path) -> None:
    page = build_page(Project.open(hostile_project))
    page.start("0.0.0.0")
    try:
        url = page.url.replace("localhost", "127.0.0.1")
        evil = {"origin": "https://evil.example"}
        answer = httpx.get(url + "config", headers=evil)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        policy = httpx.get(url).headers["content-security-policy"]
        assert policy == "frame-ancestors 'self'"
        assert httpx.post(url + "rpc/hello", json={}, headers=evil).status_code == 403
        assert httpx.get(url + "config", headers={"host": "evil.example"}).status_code == 403
    finally:
        page.close()


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [("https://me-space.hf.space", True), ("https://huggingface.co", False), ("https://evil.example", False)],
)
def test_a_space_accepts_its_own_origin_only_and_may_be_framed_by_the_hub_only(
    origin: str, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "me/space")
    monkeypatch.setenv("SPACE_HOST", "me-space.hf.space")
    policy = AccessPolicy.from_environment("0.0.0.0")
    headers = {"host": "10.1.2.3:7860", "origin": origin}
    assert (policy.refusal(headers, "POST", "/rpc/hello") is None) == accepted
    assert policy.frame_ancestors == "'self' https://huggingface.co"


def test_only_the_page_itself_may_show_it_in_a_frame(arena: Arena) -> None:
    for path in ("/", "/config", "/rpc/ping"):
        policy = arena.client.get(path).headers["content-security-policy"]
        assert policy == "frame-ancestors 'self'"


# -- the owner key


def test_a_path_of_the_machine_needs_the_owner_key(owned: Page, hostile_project: Path) -> None:
    """Another account of the machine reaches the port, but does not have the key."""
    secret = hostile_project / "lines.txt"
    secret.write_text(f"{SECRET}\nline two\n")
    for key in (None, "", "x", owned.owner_key.value[:-1], owned.owner_key.value + "x", 7, ["x"]):
        for field in ("folder", "teacher", "encoder", "labels"):
            response = call(owned, "start_project", files=[], owner_key=key, **{field: str(secret)})
            assert "owner key" in response["error"]
            assert SECRET not in str(response)
        for teacher in ("os:system", "builtins:print", "timm/resnet18", "me/model"):
            assert "owner key" in call(owned, "start_project", owner_key=key, teacher=teacher)["error"]
        for field in ("folder", "labels"):
            response = call(owned, "examine", owner_key=key, **{field: str(secret)})
            assert "owner key" in response["error"]
        assert call(owned, "origin", owner_key=key)["origin"] is None
    text = httpx.post(
        owned.url + "gradio_api/call/distill", json={"data": [str(secret), "", "", "guessed", ""]}
    ).json()
    result = httpx.get(f"{owned.url}gradio_api/call/distill/{text['event_id']}").text
    assert "owner key" in result
    assert SECRET not in result


def test_the_owner_key_is_in_no_response(owned: Page) -> None:
    for path in ("", "config", "gradio_api/info", "health"):
        assert owned.owner_key.value not in httpx.get(owned.url + path).text
    assert owned.owner_key.value not in httpx.post(owned.url + "rpc/hello", json={}).text


def test_a_refusal_does_not_quote_a_file(owned: Page, hostile_project: Path) -> None:
    """The notes of a build quote the lines of a list of images, so the page takes no file for a list."""
    secret = hostile_project / "private.txt"
    secret.write_text(f"{SECRET}\n" * 3)
    key = owned.owner_key.value
    for field in ("folder", "teacher", "encoder"):
        request = {"folder": str(hostile_project.parent / "photos"), field: str(secret)}
        started = call(owned, "start_project", owner_key=key, **request)
        while "job" in started:
            response = call(owned, "job", token=started["token"], job=started["job"])
            assert SECRET not in str(response)
            if response["job"]["state"] != "running":
                assert response["job"]["state"] == "failed"
                break
        assert SECRET not in str(started)


def test_each_run_of_the_page_has_another_owner_key(hostile_project: Path) -> None:
    keys = set()
    for _ in range(2):
        page = build_page(Project.open(hostile_project), local_folders=True)
        keys.add(page.owner_key.value)
        page.close()
    assert len(keys) == 2
    assert all(len(key) >= 32 for key in keys)


def test_the_owner_key_appears_on_no_command_line(owned: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users of the machine can read command lines, so the browser gets a private file."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    owned.open_in_browser()
    [address] = opened
    assert owned.owner_key.value not in address
    redirect = Path(httpx.URL(address).path)
    assert owned.owner_key.value in redirect.read_text()
    assert redirect.stat().st_mode & 0o077 == 0
