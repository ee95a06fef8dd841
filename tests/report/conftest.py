"""Small project with pictures, labels, sources and names that contain markup."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inficond.core import Project
from inficond.core.evaluation import stratified_split
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.students import distil
from inficond.core.students.baseline import random_concept_vectors, random_directions

HOSTILE_CLASS = "<script>alert('class')</script>"
HOSTILE_WORD = '"><img src=x onerror=alert(1)>'
HOSTILE_IMAGE = "a b/<b>'x' & \"y\".jpg"
N, K, R, D, GRID = 240, 24, 4, 32, (4, 4)


def picture(rng: np.random.Generator) -> bytes:
    """Return a JPEG with coarse colours."""
    cells = Image.fromarray(rng.integers(0, 255, (3, 4, 3), np.uint8))
    out = io.BytesIO()
    cells.resize((96, 72), Image.Resampling.BICUBIC).save(out, "JPEG")
    return out.getvalue()


def make(folder: Path, *, regions: bool = True, labels: bool = True, link: str = "sigmoid") -> Project:
    """Project of three classes: one of six words, one with markup in its name, one without positives."""
    rng = np.random.default_rng(0)
    words = random_directions(K, D, 1)
    shown = rng.integers(0, K, (N, R))
    vectors = words[shown] + 0.15 * rng.normal(size=(N, R, D))
    vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float16)
    X = random_concept_vectors(vectors, words)
    Z = (X - X.mean(0)) / X.std(0)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    T = np.column_stack(
        [sigmoid(1.6 * Z[:, :6].sum(1) - 1), sigmoid(2 * Z[:, 6:9].sum(1) - 2), np.full(N, 0.02)]
    ).astype(np.float32)
    if link == "softmax":
        T /= T.sum(axis=1, keepdims=True)
    groups = [f"source {i // 3}" for i in range(N)]
    held = stratified_split(T, groups=groups)
    classes = ["boat", HOSTILE_CLASS, "never"]
    concepts = [f"word {k}" for k in range(K)]
    concepts[0] = HOSTILE_WORD
    ids = [f"photo {i}.jpg" for i in range(N)]
    ids[int(np.flatnonzero(held)[0])] = HOSTILE_IMAGE
    students, _ = distil(X[~held], T[~held], classes, concepts, link=link, embeddings=words)
    truth = (T > 0.5).astype(np.float32)
    truth[::7] = np.nan
    write_project(
        folder, ProjectContents(
        images=[ImageRow(id=i, path=i, group=g, width=96, height=72) for i, g in zip(ids, groups)],
        T=T, concepts=concepts, classes=classes, is_validation=held, students=students,
        concept_embeddings=words, labels=truth if labels else None, name="<i>my</i> project"),
        [ImageBlock(X=X, regions=vectors if regions else None,
        assignment=np.arange(16, dtype=np.uint8)[None].repeat(N, 0) // 4 if regions else None,
        thumbnails=[picture(rng) for _ in range(N)])], grid=GRID,
    )  # fmt: skip
    return Project.open(folder)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Project with regions and labels."""
    return make(tmp_path_factory.mktemp("report") / "p")


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Project without regions and labels, with the softmax link."""
    return make(tmp_path_factory.mktemp("report") / "bare", regions=False, labels=False, link="softmax")
