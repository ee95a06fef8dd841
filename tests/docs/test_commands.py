"""The commands and scripts of the documents run, in order, in one folder per document.

The folder has `photos/` with 60 collages of the demo, `photo.jpg`, and `labels.csv` with the labels of the
collages. `birds` and `other-birds` are copies of the demo; `birds` has the steps "without sea" and "without
water". `exam.md` has a project `mine` with an exam part. A command that serves runs until the end of its
document; the ports of the documents are replaced by free ones.
"""

import csv
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cluster import slurm_runs
from tests.cluster.namespaces import RAY_CLUSTER, isolated
from tests.conftest import write_small_project
from tests.docs.documents import ROOT, Command, commands, documents
from tests.docs.model_building import check_models, prepare_photographs
from tests.hub_server import Revisions, hub_server

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.models.encoder import load_encoder
from inficond.core.tuning.actions import Action

SERVERS = ("launch", "demo", "serve")
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
SHELL, SCRIPT = ["bash", "-euo", "pipefail", "-c"], [sys.executable, "-c"]
PORTS = ("7860", "8080")
"""Ports that the documents name."""


def documents_with(*settings: str) -> list[str]:
    """Return the names of the documents that have commands of a setting."""
    return [
        str(document.relative_to(ROOT))
        for document in documents()
        if any(c.setting in settings for c in commands(document))
    ]


def copy_of_demo(folder: Path) -> Project:
    """Copy the demo's project without its history."""
    shutil.copytree(demo_project(), folder, ignore=shutil.ignore_patterns("history.sqlite*"))
    return Project.open(folder)


def prepare(folder: Path, name: str) -> None:
    """Write what the commands of a document find in their folder."""
    demo = Project.open(demo_project())
    assert demo.labels is not None
    (folder / "photos").mkdir()
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", *demo.classes])
        for row in range(0, len(demo.image_ids), len(demo.image_ids) // 60):
            source = Path(demo.image_path(row))
            shutil.copy(source, folder / "photos" / source.name)
            table.writerow([source.name, *(int(x) for x in demo.labels[row])])
    shutil.copy(next((folder / "photos").iterdir()), folder / "photo.jpg")
    text = " ".join(c.text for c in commands(ROOT / name))
    if re.search(r"[ \"]birds", text):
        copy_of_demo(folder / "other-birds")
        session = copy_of_demo(folder / "birds").session("main")
        for step, words in (("without sea", ["sea"]), ("without water", ["swimming pool", "boat"])):
            node = session.apply("water bird", [Action("mute", word) for word in words])
            session.name(node.id, step)
    if "hf upload" in text:
        (folder / "space").mkdir()
        (folder / "space" / "README.md").write_text("---\nsdk: gradio\n---\n", encoding="utf-8")
    if "inficond exam mine" in text:
        write_small_project(folder / "mine", exam=90)


def free_port() -> str:
    """Return a port of loopback that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def serving(command: Command, text: str, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Start a command that serves; yield the port of the address that it prints, and stop it at the end."""
    server = subprocess.Popen(
        ["bash", "-c", f"exec {text}"], cwd=folder, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    said = ""
    try:
        for line in server.stdout:
            said += line
            if found := ADDRESS.search(line):
                yield found[1]
                break
        else:
            pytest.fail(f"{command}\n{said}")
    finally:
        server.terminate()
        server.wait(60)
        server.stdout.close()


def run_all(
    name: str,
    folder: Path,
    wanted: Callable[[Command], bool],
    given: Mapping[str, str] | None = None,
    inside: Callable[[Command], Sequence[str]] = lambda command: (),
) -> int:
    """Run the wanted commands of a document, with further variables and prefixes; return their number."""
    prepare(folder, name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        **os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "BROWSER": "true", **(given or {}),
    }  # fmt: skip
    ports: dict[str, str] = {}
    ran = 0
    with ExitStack() as servers:
        for command in commands(ROOT / name):
            if not wanted(command):
                continue
            ran += 1
            serves = command.language == "sh" and command.words[:1] == ["inficond"]
            serves = serves and command.words[1] in SERVERS
            if serves:
                ports.update({port: free_port() for port in PORTS if port in command.words})
            text = re.sub("|".join(PORTS), lambda match: ports.get(match[0], match[0]), command.text)
            if serves:
                port = servers.enter_context(serving(command, text, folder, environment))
                ports.setdefault(PORTS[0], port)
                continue
            done = subprocess.run(
                [*inside(command), *(SHELL if command.language == "sh" else SCRIPT), text],
                cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            if "pip" in text.split():
                assert "WARNING" not in done.stderr, f"{command}\n{done.stderr}"
    return ran


@pytest.mark.slow
@pytest.mark.parametrize("name", documents_with("daily"))
def test_commands_run(name: str, tmp_path: Path) -> None:
    assert run_all(name, tmp_path, lambda command: command.setting == "daily")


@pytest.mark.nightly
@pytest.mark.parametrize("name", documents_with("nightly"))
def test_commands_that_take_longer_run(name: str, tmp_path: Path) -> None:
    """The commands before them run too, since they make what these need."""
    assert run_all(name, tmp_path, lambda command: command.setting in ("daily", "nightly"))


@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `ray`")
@pytest.mark.parametrize("name", documents_with("ray"))
def test_commands_that_need_ray_run(name: str, tmp_path: Path) -> None:
    """In a network namespace, since Ray listens on every interface of a machine."""
    alone = isolated()
    if not alone:
        pytest.skip("needs network namespaces (unshare -rn)")

    def inside(command: Command) -> Sequence[str]:
        return RAY_CLUSTER if "--address" in command.words else alone

    given = {"RAY_AUTH_MODE": "token"}
    assert run_all(name, tmp_path, lambda command: command.setting == "ray", given, inside)


def repository(folder: Path) -> Revisions:
    """Return the files of a folder as those of a repository."""
    return {"main": {path.name: path for path in folder.iterdir()}}


@pytest.mark.nightly
@pytest.mark.parametrize("name", documents_with("slurm"))
def test_commands_that_need_slurm_run(name: str, tmp_path: Path) -> None:
    """The commands that are run at night make the plan."""
    if lacking := slurm_runs.missing():
        pytest.skip(f"needs Slurm in a network namespace: {lacking}")
    given = slurm_runs.configure(tmp_path / "slurm")

    def inside(command: Command) -> Sequence[str]:
        return slurm_runs.prefix() if command.words[0] == "sbatch" else ()

    folder = tmp_path / "work"
    folder.mkdir()
    assert run_all(name, folder, lambda c: c.setting in ("nightly", "slurm"), given, inside)
    assert list(folder.glob("slurm-*.out"))


@pytest.mark.nightly
@pytest.mark.parametrize("name", documents_with("hub"))
def test_commands_that_need_a_hub_run(name: str, tmp_path: Path) -> None:
    """The hub serves tiny models of the same classes under the names that the documents have."""
    models = pytest.importorskip("tests.export.conftest", reason="needs the extra `export`")
    files = {
        "openai/clip-vit-base-patch16": repository(models.make_encoder("clip", tmp_path / "hub" / "clip")),
        "google/vit-base-patch16-224": repository(models.make_classifier("vit", tmp_path / "hub" / "vit")),
    }
    folder = tmp_path / "work"
    folder.mkdir()
    with hub_server(files) as hub:
        given = hub.environment(str(tmp_path / "cache")) | {"HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_test"}
        assert run_all(name, folder, lambda command: command.setting in ("daily", "hub"), given)
        assert any("/resolve/" in path for path in hub.asked) or hub.uploaded
        if (folder / "space").is_dir():
            readme = (folder / "space" / "README.md").read_bytes()
            assert hub.uploaded == {"spaces/NAME/inficond": {"README.md": readme}}


HAS_OPEN_CLIP = all(importlib.util.find_spec(module) for module in ("open_clip", "torchvision"))
ONLY_CHECK = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
"""With these, pip fails where a requirement is missing, and installs nothing."""


@pytest.mark.nightly
@pytest.mark.skipif(not HAS_OPEN_CLIP, reason="needs the extra `open-clip`")
@pytest.mark.parametrize("name", documents_with("open-clip"))
def test_commands_that_need_a_hub_and_open_clip_run(name: str, tmp_path: Path) -> None:
    """A built-in architecture is of its real size; the other model is tiny, as its own configuration says."""
    models = pytest.importorskip("tests.export.open_clip_models", reason="needs the extra `export`")
    vit, tiny, folder = tmp_path / "hub" / "vit", tmp_path / "hub" / "tiny", tmp_path / "work"
    for path in (vit, tiny, folder):
        path.mkdir(parents=True)
    tag, large = models.save_pretrained("ViT-B-16", "openai", vit)
    exported = {"clip": large, "bioclip": models.save_model("vit", tiny)}
    with hub_server({tag: repository(vit), "imageomics/bioclip": repository(tiny)}) as hub:
        given = hub.environment(str(tmp_path / "cache")) | {"HF_HUB_OFFLINE": "0"} | ONLY_CHECK
        assert run_all(name, folder, lambda command: command.setting == "open-clip", given)
    for out, model in exported.items():
        encoder = load_encoder(folder / out, provider="cpu")
        encoded = encoder.encode(encoder.preprocess(Image.open(folder / "photo.jpg"))[None])
        words = encoder.embed_words(["dog", "a red car"], ["{}"])
        np.testing.assert_allclose(words, models.text_embeddings(model, ["dog", "a red car"]), atol=1e-4)
        for vectors in (encoded.image, encoded.regions, words):
            assert vectors.shape[-1] == {"clip": 512, "bioclip": 24}[out]
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-4)
    shutil.rmtree(tmp_path)  # two gigabytes, which pytest would keep


FEW_TESTS = "tests/strict_json"
"""Tests that run in place of the whole suite, which other runs cover."""


@pytest.mark.nightly
@pytest.mark.parametrize("name", documents_with("clone"))
def test_commands_that_install_run_in_a_fresh_clone(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As a new user runs them: with an empty home, and no environment but what they make."""
    clone, home = tmp_path / "clone", tmp_path / "home"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    home.mkdir()
    photographs = any("--data photographs" in c.text for c in commands(ROOT / name) if c.setting == "clone")
    if photographs:
        prepare_photographs(request, clone)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("INFICOND", "PYTHON", "VIRTUAL"))}
    ours = str(Path(sys.executable).parent)
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != ours)
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PATH": path, "ARGS": FEW_TESTS}
    for command in commands(ROOT / name):
        if command.setting != "clone":
            continue
        if "demo" in command.words:
            options = f"--no-browser --port {free_port()}"
            text = command.text.split("#")[0]
            text = text if command.words[0] == "make" else f"{text} {options}"
            with serving(command, text, clone, environment | {"ARGS": options}) as port:
                assert b"InFiConD" in urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).read()
            continue
        text = f"{command.text} {FEW_TESTS}" if command.words[-1] == "not nightly" else command.text
        done = subprocess.run(
            [*SHELL, text], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        if {"test", "check", "pytest"} & set(command.words) and "install" not in command.words:
            assert " passed" in done.stdout, command
    if photographs:
        check_models(clone, environment)
