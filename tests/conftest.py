"""Fixtures of all tests, and their distribution over processes."""

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from tests.tools.compile_kernels import compile_kernels

if TYPE_CHECKING:
    from inficond.core import Project


ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Environment of workers, and of what they start.

Threads of linear algebra that wait for work occupy the processors that other workers compute on: the tests of
the solver took three times their processor time. `OMP_NUM_THREADS` would change what the product does.
"""


hypothesis.settings.register_profile("processes", deadline=10_000)
hypothesis.settings.load_profile("processes")  # 200 ms, the default, can pass while other processes compute
COLLECTION = (20_000, 20, 50)
"""Thresholds of the garbage collector in processes of tests.

These hold millions of objects of libraries and of collected tests, which never become garbage.
"""


def pytest_configure(config: pytest.Config) -> None:
    """Set a separate cache folder for this run, and compile the kernels; its workers inherit both.

    Every process collects garbage less often. Bytecode of this checkout is kept, also where
    PYTHONDONTWRITEBYTECODE is set: tests start hundreds of processes, each of which would compile every
    module that it imports.
    """
    gc.set_threshold(*COLLECTION)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if not hasattr(config, "workerinput"):
        cache = tempfile.TemporaryDirectory(prefix="inficond-tests-")
        os.environ["INFICOND_CACHE"] = cache.name
        config.add_cleanup(cache.cleanup)
        if config.getoption("numprocesses", None):
            for name, value in ONE_THREAD.items():
                os.environ.setdefault(name, value)
            compile_kernels()


def pytest_collection_finish() -> None:
    """Exempt the modules and the collected tests from the collector's passes."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs (INFICOND_TEST_DATA, or `shared/data` beside the repository)."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("INFICOND_TEST_DATA", default))
    if not (folder / "scenes" / "labels.csv").is_file():
        pytest.skip("needs the real photographs: set INFICOND_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def scenes_run(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder and output of `inficond distill` on the scenes with a linear-probe teacher, for reading only.

    Made once for all tests that need it, since it takes a minute or more.
    """
    folder = tmp_path_factory.mktemp("scenes")
    images, labels = shared_data / "scenes" / "images", shared_data / "scenes" / "labels.csv"
    responses, project = folder / "responses.csv", folder / "project"
    probe = Path(__file__).resolve().parent / "tools" / "probe_teacher.py"
    subprocess.run([sys.executable, probe, images, labels, responses], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "inficond.core.cli.main", "distill", images, "--labels", labels, "--teacher",
         responses, "--out", project, "--no-exam", "--lam", "0.015", "--words", "400", "--provider", "cpu",
         "--json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return project, json.loads(done.stdout)


def write_small_project(
    folder: Path,
    *,
    n: int = 300,
    k: int = 24,
    classes: tuple[str, ...] = ("boat", "bird", "barn"),
    link: str = "sigmoid",
    labels: bool = True,
    groups: bool = False,
    noise: float = 0.0,
    seed: int = 0,
    lam: float = 2.5e-3,
    relax: float = 1.0,
    exam: int = 0,
    spoiled: bool = False,
) -> "Project":
    """Write a project whose concept vectors are computed from regions and words, like those of real projects.

    Regions scatter around topics. A class depends on a few words and on `hidden`, which is not a concept.
    Concepts are ``c0 … c{k-1}``, the first third in the group ``water``, the rest in ``land``. The last
    `exam` images are the exam part; where it is `spoiled`, its regions, responses and labels are random.
    """
    from inficond.core import Project
    from inficond.core.concepts import concept_vectors
    from inficond.core.project.image_table import ImageRow
    from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
    from inficond.core.students import distil

    rng = np.random.default_rng(seed)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    d = 12
    words = unit(rng.normal(size=(k + 1, d))).astype(np.float32)
    topics = unit(rng.normal(size=(8, d)))
    regions = unit(topics[rng.integers(8, size=(n, 4))] + 0.5 * rng.normal(size=(n, 4, d))).astype(np.float16)
    X = concept_vectors(regions, words)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    W = np.zeros((k + 1, len(classes)))
    for c in range(len(classes)):
        W[rng.choice(k, 5, replace=False), c] = rng.normal(size=5) * 2
        W[k, c] = 1.5
    logits = z @ W - 1.5 + 0.5 * rng.normal(size=(n, len(classes)))
    logits += noise * (z[:, [0]] > 0.8)  # a threshold of c0, which a linear student cannot represent
    if link == "softmax":
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        T = (e / e.sum(axis=1, keepdims=True)).astype(np.float32)
    else:
        T = (1 / (1 + np.exp(-logits))).astype(np.float32)
    X = np.ascontiguousarray(X[:, :k])
    held_out = (rng.random(n) < 0.35) & (np.arange(n) < n - exam)
    if spoiled:
        regions[n - exam :] = unit(rng.normal(size=(exam, 4, d)))
        X[n - exam :] = concept_vectors(regions[n - exam :], words[:k])
        T[n - exam :] = rng.permuted(T[n - exam :], axis=1)[::-1]
    fitted = ~held_out & (np.arange(n) < n - exam)
    names = [f"c{i}" for i in range(k)]
    students, _ = distil(
        X[fitted], T[fitted], classes, names, lam=lam, relax=relax, link=link, embeddings=words[:k]
    )
    images = [
        ImageRow(id=f"photos/{i:04d}.jpg", path=f"{i}.jpg", group=f"source {i // 5}" if groups else None)
        for i in range(n)
    ]
    write_project(
        folder,
        ProjectContents(
            images=images,
            T=T,
            concepts=names,
            concept_groups=["water" if i < k // 3 else "land" for i in range(k)],
            concept_embeddings=words[:k],
            classes=list(classes),
            is_validation=held_out,
            n_exam=exam,
            students=students,
            labels=(T > 0.5).astype(np.float32) if labels else None,
            config={"hidden": words[k].tolist()},
        ),
        [ImageBlock(X=X, regions=regions, assignment=np.tile(np.arange(4, dtype=np.uint8), (n, 1)))],
        grid=(2, 2),
    )
    return Project.open(folder)


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> "Project":
    """A small project for reading; sessions are in memory."""
    return write_small_project(tmp_path_factory.mktemp("small") / "project")


@pytest.fixture
def make_project(tmp_path: Path) -> "Callable[..., Project]":
    """Function that writes a small project; see `write_small_project` for the arguments."""
    made = 0

    def make(**how: Any) -> "Project":
        nonlocal made
        made += 1
        return write_small_project(tmp_path / f"project {made}", **how)

    return make


TOGETHER = {
    "browser": "pages", "report": "pages",
    "docs": "repository", "repo": "repository", "spaces": "repository",
    "attacks": "attacks", "faults": "faults", "app": "app",
}  # fmt: skip
"""Folders whose tests run in one process, by the name of their place.

Browsers share an event loop, builds the repository, and the tests of a folder its samples.
"""
FIRST = {place: rank for rank, place in enumerate(dict.fromkeys(TOGETHER.values()))}
"""Places that begin first, with their ranks, the longest before the others; single files fill the rest."""


def place_of(nodeid: str) -> str:
    """Return what runs in one process with a test: a place of `TOGETHER`, or the file."""
    file = nodeid.split("::", 1)[0]
    return TOGETHER.get(Path(file).parts[1], file)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests of a worker by the beginning of their places."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: FIRST.get(place_of(item.nodeid), len(FIRST)))


@pytest.hookimpl(optionalhook=True)  # tests run without pytest-xdist too
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler that runs the tests of a place in one process, and takes places in their order.

    In the order of their numbers of tests, one process waited for the browser at the end.

    Marks of the kind `xdist_group` do not work: pytest-xdist 3.8 writes them to a field that pytest 9.2
    ignores.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByPlace(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return place_of(nodeid)

    config.option.loadscopereorder = False
    return ByPlace(config, log)
