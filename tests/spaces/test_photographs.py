"""A Space opens with photographs where the hub can be reached, and with the collages elsewhere.

The hub is a server on loopback, asked by the real client library.
"""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.hub_server import Hub, hub_server

from inficond.core import Project

ROOT = Path(__file__).resolve().parents[2]
NAME, CLASSES = "Matthijs/snacks", ["apple", "banana"]
CARD = "---\npretty_name: Snacks\nlicense: {}\n---\n\n# Snacks\n"


def parquet(path: Path, folder: Path, count: int) -> None:
    """Write photographs as the hub's own conversion to Parquet does."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    rng, rows = np.random.default_rng(count), []
    for n in range(count):
        colour = ((200, 40, 40), (230, 210, 60))[n % 2]
        pixels = np.asarray(colour) + rng.normal(0, 20, 3) + rng.normal(0, 12, (240, 256, 3))
        file = folder / f"{path.parent.name}-{n}.png"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file)
        rows.append({"image": {"bytes": file.read_bytes(), "path": None}, "label": n % 2})
    path.parent.mkdir(parents=True)
    datasets.Dataset.from_list(rows, features=features).to_parquet(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of the data set, by revision and path."""
    folder = tmp_path_factory.mktemp("data set")
    converted = {}
    for part, count in (("train", 4), ("validation", 12), ("test", 12)):
        parquet(folder / "default" / part / "0000.parquet", folder, count)
        converted[f"default/{part}/0000.parquet"] = (folder / "default" / part / "0000.parquet").read_bytes()
    credits = b"ImageID,Author,License\n1,somebody,https://creativecommons.org/licenses/by/2.0/\n"
    card = CARD.format("cc-by-4.0").encode()
    return {"main": {"README.md": card, "credits.csv": credits}, "refs/convert/parquet": converted}


@pytest.fixture
def hub(files: dict[str, dict[str, bytes]]) -> Iterator[Hub]:
    with hub_server({f"datasets/{NAME}": files}) as server:
        yield server


def assemble(out: Path, endpoint: str, cache: Path) -> str:
    """Assemble a Space with a hub at an address; return the messages."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, ROOT / "spaces" / "assemble.py", out, "--no-compile"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stderr


def served(folder: Path) -> Path:
    """Return the project that the folder's own script opens."""
    script = "import sys, pathlib, served; print(served.served_project(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", script, folder], cwd=folder, capture_output=True, text=True, check=True
    )
    return Path(done.stdout.strip())


def test_a_space_opens_with_photographs_of_the_hub(
    hub: Hub, tmp_path: Path, files: dict[str, dict[str, bytes]]
) -> None:
    said = assemble(tmp_path / "space", hub.endpoint, tmp_path / "cache")
    assert "opens with photographs: Matthijs/snacks" in said
    assert not [path for path in hub.asked if "train" in path]
    folder = served(tmp_path / "space")
    assert folder.name == "photographs"
    project = Project.open(folder)
    assert (len(project), project.classes) == (24, CLASSES)
    assert project.thumbnail_bytes(0)
    assert str(tmp_path) not in (folder / "project.json").read_text(), "a path of the machine that made it"
    readme = (tmp_path / "space" / "README.md").read_text()
    assert "24 photographs of 2 kinds" in readme
    assert "CC BY 2.0" in readme
    assert "collages" not in readme
    with (tmp_path / "space" / "CREDITS.csv").open() as table:
        assert next(csv.DictReader(table))["Author"] == "somebody"
    # A second run uses the copy in the cache, since nothing answers at this address.
    said = assemble(tmp_path / "again", "http://127.0.0.1:9", tmp_path / "cache")
    assert "opens with photographs" in said
    assert len(Project.open(served(tmp_path / "again"))) == 24


def test_without_the_hub_a_space_opens_with_the_collages(tmp_path: Path) -> None:
    said = assemble(tmp_path / "space", "http://127.0.0.1:9", tmp_path / "cache")
    line = "the Space opens with the collages of the demo: Matthijs/snacks: the hub cannot be reached"
    assert said.strip().split("\n")[-1] == line
    assert "Retrying" not in said
    assert served(tmp_path / "space").name == "demo"
    assert not (tmp_path / "space" / "photographs").exists()
    assert "collages" in (tmp_path / "space" / "README.md").read_text()


def test_photographs_of_another_licence_are_refused(
    hub: Hub, tmp_path: Path, files: dict[str, dict[str, bytes]]
) -> None:
    before = files["main"]["README.md"]
    files["main"]["README.md"] = CARD.format("cc-by-nc-4.0").encode()
    try:
        said = assemble(tmp_path / "space", hub.endpoint, tmp_path / "cache")
    finally:
        files["main"]["README.md"] = before
    assert "its card states cc-by-nc-4.0, not cc-by-4.0" in said
    assert served(tmp_path / "space").name == "demo"
