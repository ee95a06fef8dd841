"""Requests of web pages of other sites are not answered."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse

from inficond.core.serving.hosts import SameOrigin, host_name, is_loopback


def client(listens: str, *names: str) -> TestClient:
    return TestClient(SameOrigin(JSONResponse({}), listens, names))


@pytest.mark.parametrize(
    ("listens", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8080", 200),
        ("127.0.0.1", "localhost:8080", 200),
        ("127.0.0.1", "LOCALHOST.", 200),
        ("127.0.0.1", "[::1]:8080", 200),
        ("127.0.0.1", "127.0.0.2", 200),
        ("127.0.0.1", "evil.example:8080", 403),
        ("127.0.0.1", "localhost.evil.example", 403),
        ("127.0.0.1", "192.168.0.7:8080", 403),
        ("127.0.0.1", "127.0.0.1@evil.example", 403),
        ("127.0.0.1", "", 403),
        ("127.0.0.1", "student.example", 200),
        ("0.0.0.0", "192.168.0.7:8080", 200),
        ("0.0.0.0", "[fe80::1]:8080", 200),
        ("0.0.0.0", "localhost", 200),
        ("0.0.0.0", "evil.example", 403),
        ("0.0.0.0", "student.example", 200),
        ("box.example", "box.example:8080", 200),
    ],
)
def test_the_host_must_be_a_name_of_this_server(listens: str, host: str, status: int) -> None:
    answer = client(listens, "student.example").get("/", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert "--allow-host" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8080"}, 200),
        ({"Origin": "http://127.0.0.1:8081"}, 403),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_the_origin_must_be_this_server(headers: dict[str, str], status: int) -> None:
    answer = client("127.0.0.1").get("/", headers={"Host": "127.0.0.1:8080", **headers})
    assert answer.status_code == status


def test_two_host_headers_are_refused() -> None:
    headers = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    assert client("127.0.0.1").get("/", headers=headers).status_code == 403  # type: ignore[arg-type]


def test_names_and_addresses_are_recognized() -> None:
    assert [host_name(h) for h in ("A.b:1", "[::1]:2", "x", "[bad", "")] == ["a.b", "::1", "x", "", ""]
    assert is_loopback("127.9.9.9")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("example.org")


def test_a_served_student_refuses_foreign_hosts_and_origins(predictor: Any, serve: Callable) -> None:
    from inficond.core.serving.service import build_service

    with serve(build_service(predictor)) as port:
        url = f"http://127.0.0.1:{port}/"
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403
        for path in ("", "health", "predict"):
            answer = httpx.post(url + path, headers={"Origin": "http://evil.example"}, content=b"x")
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
