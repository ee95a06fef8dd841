"""No command looks up a name or stores anything outside InFiConD's own cache."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_models

NETWORK = Path(__file__).with_name("offline_network.py")
INFICOND = [sys.executable, "-m", "inficond.core.cli.main"]
NAMESPACE = ["unshare", "--net", "--mount"]
NAME_A_HUB_ID = """
import json, shutil, sys
from pathlib import Path
from inficond.core.project.files import with_checksum
source, target = map(Path, sys.argv[1:])
shutil.copytree(source, target)
path = target / "project.json"
document = json.loads(path.read_text())
for kind in ("encoder", "teacher"):
    document[kind] = {**document[kind], "spec": "stranger/model"}
path.write_text(json.dumps(with_checksum(document)))
"""
"""Copies a project and lets it name models of a hub, as a stranger's project may."""


def in_isolated_network(folder: Path, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Run steps without a network; see `offline_network`. HOME is a new folder `home` below `folder`."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode
    ):
        pytest.skip("needs the privilege to make a network namespace (unshare --net --mount)")
    plan, report, home = folder / "plan.json", folder / "report.json", folder / "home"
    home.mkdir()
    plan.write_text(json.dumps(steps))
    hidden = ("XDG_CACHE_HOME", "INFICOND_CACHE", "HF_HUB_OFFLINE", "ORT_DISABLE_TELEMETRY", "HF_HOME")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        [*NAMESPACE, sys.executable, str(NETWORK), str(plan), str(report)],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text())


def test_the_name_server_of_this_test_records_lookups(tmp_path: Path) -> None:
    code = "import socket\ntry: socket.getaddrinfo('collector.example', 443)\nexcept OSError: pass"
    report = in_isolated_network(tmp_path, [{"command": [sys.executable, "-c", code]}])
    assert set(report["lookups"]) == {"collector.example"}


@pytest.mark.slow
def test_no_command_looks_up_a_name(tmp_path: Path) -> None:
    photos = tiny_models.write_photos(tmp_path / "photos", 12)
    picture = next(p for p in photos.rglob("*") if p.is_file())
    project, student = str(tmp_path / "project"), str(tmp_path / "student.onnx")
    server = {"command": [*INFICOND, "serve", student, "--port", "8080"], "body": str(picture)}
    page = {"command": [*INFICOND, "launch", project, "--no-browser", "--port", "7860"]}
    steps: list[dict[str, Any]] = [
        {"command": [*INFICOND, "distill", str(photos), "--out", project, "--no-baseline"]},
        {"command": [*INFICOND, "report", project, "--html", str(tmp_path / "report.html")]},
        {"command": [*INFICOND, "export", "student", project, "--out", student]},
        {"command": [*INFICOND, "predict", student, str(photos)]},
        {**server, "urls": ["http://127.0.0.1:8080/predict"]},
        {**page, "urls": ["http://127.0.0.1:7860/", "http://127.0.0.1:7860/health"]},
        {"command": [*INFICOND, "doctor"]},
    ]
    hub = {"command": [*INFICOND, "launch", f"{project}-hub", "--no-browser", "--port", "7863"]}
    copy = [sys.executable, "-c", NAME_A_HUB_ID, project, f"{project}-hub"]
    steps += [{"command": copy}, {**hub, "urls": ["http://127.0.0.1:7863/health"]}]
    report = in_isolated_network(tmp_path, steps)
    assert report["steps"].pop()["status"] == [503]  # the named models are not on this machine
    for step in report["steps"]:
        assert step["status"] if "urls" in step else step["code"] == 0, step
        assert set(step["status"]) <= {200}, step
    assert report["lookups"] == []
    home = tmp_path / "home"
    stored = [str(p.relative_to(home)) for p in home.rglob("*") if p.is_file()]
    assert [name for name in stored if not name.startswith(".cache/inficond/")] == []


@pytest.mark.nightly
def test_no_further_command_looks_up_a_name(tmp_path: Path) -> None:
    photos = tiny_models.write_photos(tmp_path / "photos", 12)
    project, archive = str(tmp_path / "project"), str(tmp_path / "project.inficond")
    space = (
        "import os; os.environ.update(GRADIO_SERVER_NAME='127.0.0.1', GRADIO_SERVER_PORT='7870')\n"
        "from pathlib import Path; from inficond.gradio_app.space import serve_space\n"
        f"serve_space(Path({project!r}))"
    )
    pages = ["http://127.0.0.1:{}/", "http://127.0.0.1:{}/config", "http://127.0.0.1:{}/health"]
    launch = [*INFICOND, "launch", project, "--no-browser", "--mcp", "--port", "7861"]
    demo = [*INFICOND, "demo", "--no-browser", "--port", "7862"]
    steps = [
        {"command": [*INFICOND, "distill", str(photos), "--out", project, "--no-baseline"]},
        {"command": [*INFICOND, "history", project]},
        {"command": [*INFICOND, "recipe", project]},
        {"command": [*INFICOND, "pack", project, "--out", archive]},
        {"command": [*INFICOND, "unpack", archive, "--out", str(tmp_path / "copy")]},
        {"command": launch, "urls": [url.format(7861) for url in pages]},
        {"command": demo, "urls": [url.format(7862) for url in pages]},
        {"command": [sys.executable, "-c", space], "urls": [url.format(7870) for url in pages]},
    ]
    report = in_isolated_network(tmp_path, steps)
    assert report["lookups"] == []
    for step in report["steps"]:
        assert set(step["status"]) <= {200}, step
        assert "urls" in step or step["code"] == 0, step
