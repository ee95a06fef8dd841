"""Attacks through the MCP server: file arguments, which Gradio would read from the disk of this machine."""

import functools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.attacks import page_attacks as attacks
from tests.attacks.conftest import SECRET

from inficond.core import Project
from inficond.gradio_app.app import Page, build_page

pytest.importorskip("mcp", reason="needs the extra `mcp`")
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def page(hostile_project: Path) -> Iterator[Page]:
    page = build_page(Project.open(hostile_project))
    page.start(mcp=True)
    yield page
    page.close()


@pytest.fixture(scope="module")
def secret(hostile_project: Path) -> Path:
    path = hostile_project / "mcp secret.png"
    path.write_bytes(attacks.picture(40, 40))
    return path


def call_of(method: str, params: dict[str, Any]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


def rpc(page: Page, method: str, params: dict[str, Any]) -> httpx.Response:
    return raw(page, call_of(method, params))


def raw(page: Page, body: str) -> httpx.Response:
    return httpx.post(
        f"{page.url}gradio_api/mcp/",
        content=body,
        headers={**ACCEPT, "content-type": "application/json"},
        timeout=60,
    )


@functools.cache
def tools(url: str) -> list[str]:
    headers = {**ACCEPT, "content-type": "application/json"}
    found = httpx.post(
        f"{url}gradio_api/mcp/", content=call_of("tools/list", {}), headers=headers, timeout=60
    ).text
    data = json.loads(found.partition("data: ")[2] or found)
    return [t["name"] for t in data["result"]["tools"]]


def tool(page: Page, name: str) -> str:
    """Return the full name of a tool."""
    return next(t for t in tools(page.url) if t.endswith(name))


def copies(page: Page, secret: Path) -> list[Path]:
    """Files with the secret's name outside of its folder."""
    roots = {page.files.folder, Path(tempfile.gettempdir()) / "gradio"}
    return [p for root in roots for p in root.rglob("*secret*") if p != secret]


def test_tools_answer_without_files(page: Page) -> None:
    answer = rpc(page, "tools/call", {"name": tool(page, "classes"), "arguments": {}})
    assert answer.status_code == 200
    assert "fidelity" in answer.text or "ap" in answer.text


META = {"_type": "gradio.FileData"}


@pytest.mark.parametrize(
    "argument",
    [{"path": "{secret}", "meta": META}, {"path": "{secret}", "url": "file://{secret}"},
     {"path": "{secret}", "meta": META, "orig_name": "x.png"}, [[{"a": {"path": "{secret}", "meta": META}}]],
     {"path": "/etc/passwd", "meta": {}}, {"meta": META, "path": None},
     {"path": {"path": "{secret}", "meta": 1}}],
    ids=lambda a: json.dumps(a)[:50],
)  # fmt: skip
@pytest.mark.parametrize("name", ["predict", "apply", "instances"])
def test_an_argument_that_names_a_file_is_refused(name: str, argument: Any, page: Page, secret: Path) -> None:
    """Finding 2: the file was copied into the cache, and `classify` showed it."""
    given = json.loads(json.dumps(argument).replace("{secret}", str(secret)))
    known = {"predict": "image", "apply": "actions", "instances": "class_name"}[name]
    answer = rpc(
        page, "tools/call", {"name": tool(page, name), "arguments": {known: given, "session": given}}
    )
    assert answer.status_code == 400
    assert "files" in answer.text
    assert copies(page, secret) == []


@pytest.mark.parametrize("form", ["batch", "escaped", "twice", "text", "resource", "prompt"])
def test_no_other_form_of_a_file_argument_is_read(form: str, page: Page, secret: Path) -> None:
    name = tool(page, "predict")
    file = json.dumps({"path": str(secret), "meta": META})
    call = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":{"image":%s}}}'
    bodies = {
        "batch": f"[{call % (name, file)}, {call % (name, '{}')}]",
        "escaped": call % (name, file.replace('"path"', '"\\u0070ath"').replace('"meta"', '"m\\u0065ta"')),
        "twice": call % (name, '{"path":1,' + file[1:]),
        "text": call % (name, json.dumps(file)),
        "resource": call_of("resources/read", {"uri": secret.as_uri()}),
        "prompt": call_of("prompts/get", {"name": str(secret)}),
    }  # fmt: skip
    answer = raw(page, bodies[form])
    assert answer.status_code < 500
    assert copies(page, secret) == []
    assert "probab" not in answer.text
    assert SECRET not in answer.text


@pytest.mark.parametrize("path", ["{secret}", "mcp secret.png", "../mcp secret.png", "file://{secret}"])
def test_a_plain_path_is_not_an_upload(path: str, page: Page, secret: Path) -> None:
    given = {"path": path.replace("{secret}", str(secret))}
    answer = rpc(page, "tools/call", {"name": tool(page, "predict"), "arguments": {"image": given}})
    assert "upload" in answer.text
    assert copies(page, secret) == []


def test_a_folder_of_the_machine_needs_the_owner_key_here_too(page: Page, secret: Path) -> None:
    arguments = {"images": str(secret.parent), "owner_key": "guessed"}
    answer = rpc(page, "tools/call", {"name": tool(page, "distill"), "arguments": arguments})
    assert "does not open folders" in answer.text
    assert "classes" not in answer.text.replace("classes.", "")
