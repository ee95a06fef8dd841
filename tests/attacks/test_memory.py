"""Memory of a page process under attack, measured by the operating system."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.attacks import page_attacks as attacks
from tests.attacks.page_attacks import MB, Target, memory_growth

LITTLE = 120 * MB
"""Growth that repeated requests may cause; each attack took hundreds of megabytes or more."""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def target(hostile_project: Path) -> Iterator[Target]:
    """A page in a process of its own, after its first view was computed."""
    with attacks.running_page(hostile_project, "--isolated") as target:
        with httpx.Client(base_url=target.url, timeout=60) as client:
            client.post("/rpc/hello", json={})
            classify(client, upload(client, attacks.picture(64, 64)))
        attacks.wait_until_idle(target.pid)  # what newcomers see first is computed in the background
        yield target
        assert attacks.get(target, "/health") == 200, "the page is not healthy after the attacks"


def upload(client: httpx.Client, content: bytes) -> str:
    return client.post("/gradio_api/upload", files={"files": ("a.png", content)}).json()[0]


def classify(client: httpx.Client, address: str) -> str:
    answer = client.post("/rpc/classify", json={"path": address, "name": "a.png"}).json()
    return "answered" if "prediction" in answer else answer["error"]


def ping(target: Target) -> dict:
    return httpx.post(f"{target.url}/rpc/ping", json={}, timeout=60).json()


def test_only_the_upload_route_accepts_long_bodies(target: Target) -> None:
    """Finding 3: the limit was lifted for any address that ends in /upload."""
    with memory_growth(target.pid) as growth:
        statuses = attacks.long_json_at_look_alikes(target, 24)
    assert set(statuses) <= {0, 404, 405, 413}
    assert growth[0] < LITTLE


@pytest.mark.parametrize("name", ["text", "files", "upload_id", ""])
def test_a_form_field_is_not_held_in_memory(name: str, target: Target) -> None:
    """Finding 4: a plain field of the upload form was held in memory, whatever its length."""
    with memory_growth(target.pid) as growth:
        code = attacks.long_form_field(target, 100, name)
    assert code in (0, 400, 413)
    assert growth[0] < LITTLE


PARSED = ("/rpc/apply", "/gradio_api/queue/join", "/gradio_api/call/apply", "/rpc/start_project")


def test_nested_json_is_refused_before_it_is_parsed(target: Target) -> None:
    """Finding 5: 4 MiB of nested JSON occupied the event loop for seconds."""
    with memory_growth(target.pid) as growth:
        statuses = attacks.nested_json(target, PARSED, each=len(PARSED))
    assert set(statuses) <= {0, 413}
    assert growth[0] < LITTLE
    assert ping(target)["token"]


def test_wide_json_within_the_limit_of_bytes_is_refused(target: Target) -> None:
    """As deep nesting, many small values cost more than their bytes."""
    many = json.dumps({"files": [{}] * 15_000, "name": "x"}).encode()
    strings = json.dumps({"parts": [""] * 200_000}).encode()
    with memory_growth(target.pid) as growth, httpx.Client(base_url=target.url, timeout=60) as client:
        for body in (many, strings):
            for route in ("start_project", "apply", "preview", "rename"):
                assert client.post(f"/rpc/{route}", content=body).status_code in (413, 429)
    assert growth[0] < LITTLE


def test_pictures_of_many_pixels_are_decoded_one_at_a_time(target: Target) -> None:
    """Finding 15: sixteen files of 16 kB took 2.7 GB and delayed everybody."""
    honest = 0
    with memory_growth(target.pid) as growth, ThreadPoolExecutor(1) as pool:
        attack = pool.submit(attacks.large_pictures, target, 5, classify)
        while not attack.done():
            assert ping(target)["token"]
            honest += 1
            time.sleep(0.2)
        outcomes = attack.result()
    assert honest > 1
    assert len(outcomes) == 5
    assert growth[0] < 700 * MB


def test_names_of_sessions_are_not_kept(target: Target) -> None:
    """Finding 28: each session name of a client was kept, of any length."""
    with memory_growth(target.pid) as growth:
        statuses = attacks.session_hashes(target, 200)
        statuses += attacks.session_hashes(target, 40, length=6_000)
    assert set(statuses) <= {400, 404, 413}
    assert growth[0] < 30 * MB


def test_headers_are_limited(target: Target) -> None:
    """Many and long header lines of many connections hold little memory."""
    lines = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(
        b"x%d: %s\r\n" % (i, b"a" * 4000) for i in range(15)
    )
    with memory_growth(target.pid) as growth, attacks.idle_connections(target.port, 60, lines):
        assert ping(target)["token"]
    with attacks.idle_connections(target.port, 20, b"GET /" + b"a" * (4 * MB)) as held:
        assert attacks.closed_by_server(held[:4], 20) == 4
    assert growth[0] < LITTLE
    assert ping(target)["token"]
