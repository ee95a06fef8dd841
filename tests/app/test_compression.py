"""Compression of responses, and the cache of compressed files."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from inficond.gradio_app.compression import CompressionMiddleware

TEXT = "the same words over and over, " * 4000
FILE, PICTURE = "/assets/index-DphvyggB.js", "/gradio_api/file=/tmp/a.webp"


@pytest.fixture
def counting_app() -> list[str]:
    """Requests that reached the application behind the compression."""
    return []


@pytest.fixture
def client(counting_app: list[str]) -> Iterator[TestClient]:
    async def serve(request: Request) -> Response:
        counting_app.append(request.url.path)
        if "missing" in request.url.path:
            return PlainTextResponse("no", 404)
        return PlainTextResponse(TEXT, headers={"etag": '"1"'})

    app = Starlette(routes=[Route("/{path:path}", serve, methods=["GET", "POST"])])
    with TestClient(CompressionMiddleware(app)) as client:
        yield client


@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
def test_a_file_is_compressed_once_for_each_encoding(
    client: TestClient, counting_app: list[str], encoding: str
) -> None:
    answers = [client.get(FILE, headers={"accept-encoding": encoding}) for _ in range(3)]
    assert counting_app == [FILE]
    assert {a.text for a in answers} == {TEXT}
    assert all("immutable" in a.headers["cache-control"] for a in answers)
    assert all(a.headers["etag"] == '"1"' for a in answers)


def test_partial_and_conditional_responses_and_errors_are_not_cached(
    client: TestClient, counting_app: list[str]
) -> None:
    for headers in ({"range": "bytes=0-9"}, {"if-none-match": '"1"'}):
        client.get(FILE, headers=headers)
        client.get(FILE, headers=headers)
    missing = "/assets/missing-DphvyggB.js"
    for _ in range(2):
        answer = client.get(missing)
        assert answer.status_code == 404
        assert "cache-control" not in answer.headers, "what is missing now may come"
    client.get("/assets/no-hash.js")
    client.get("/assets/no-hash.js")
    assert counting_app == [FILE] * 4 + [missing] * 2 + ["/assets/no-hash.js"] * 2


@pytest.mark.parametrize("path", ["/", "/rpc/hello"])
@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_the_page_and_its_answers_are_compressed(client: TestClient, path: str, encoding: str) -> None:
    answer = client.get(path, headers={"accept-encoding": encoding})
    assert answer.headers["content-encoding"] == encoding
    assert int(answer.headers["content-length"]) < len(TEXT) / 10
    assert answer.text == TEXT
    assert "content-encoding" not in client.get(path, headers={"accept-encoding": "identity"}).headers


def test_images_are_not_compressed_again(client: TestClient) -> None:
    answer = client.get(PICTURE, headers={"accept-encoding": "br, gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.text == TEXT
