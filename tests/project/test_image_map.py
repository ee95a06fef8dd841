"""Positions of images on the map: the same on every run, kept in a checked file, without the exam images."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.progress import Silent
from inficond.core.project.image_map import (
    FILE,
    LEAST_IMAGES,
    STEPS,
    image_embeddings,
    image_map,
    stored_map,
)
from inficond.core.project.map_layout import principal_components

Make = Callable[..., Project]


def test_a_second_run_gives_the_same_bytes(make_project: Make) -> None:
    project = make_project()
    first = image_map(project)
    path = project.path / FILE
    data = path.read_bytes()
    path.unlink()
    assert np.array_equal(image_map(Project.open(project.path)).positions, first.positions)
    assert path.read_bytes() == data
    assert first.positions.shape == (len(project), 2)
    assert first.positions.max() == STEPS
    assert first.source == "regions"


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("shape", [(50, 7), (7, 50), (5000, 3)])
def test_components_are_those_of_the_covariance_with_a_fixed_sign(
    shape: tuple[int, int], sign: float
) -> None:
    X = (sign * np.random.default_rng(3).normal(size=shape) * np.arange(1, shape[1] + 1)).astype(np.float32)
    points, shares = principal_components(X, 2)
    again, _ = principal_components(X, 2)
    assert points.tobytes() == again.tobytes()
    centred = X - X.mean(axis=0, dtype=np.float64)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    assert shares == pytest.approx(lengths[:2] ** 2 / (lengths**2).sum(), rel=1e-6)
    for c in range(2):
        axis = axes[c] * np.sign(axes[c][np.abs(axes[c]).argmax()])
        assert points[:, c] == pytest.approx(centred @ axis, abs=1e-4 * np.abs(points).max())


@pytest.mark.parametrize("columns", [1, 4])
def test_equal_images_share_a_place(columns: int) -> None:
    points, shares = principal_components(np.ones((6, columns), np.float32), 2)
    assert points.shape == (6, 2)
    assert not points.any()
    assert not shares.any()


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "other header"])
def test_a_missing_or_damaged_file_is_replaced(make_project: Make, damage: str) -> None:
    project = make_project(n=40)
    wanted = image_map(project)
    path = project.path / FILE
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[:-3])
    elif damage == "changed":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        path.write_bytes(data.replace(b'"source": "regions"', b'"source": "concepts"'))
    assert stored_map(project) is None
    assert np.array_equal(image_map(project).positions, wanted.positions)
    assert stored_map(project) is not None


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_link_out_of_the_project_is_not_followed(make_project: Make, tmp_path: Path, linked: str) -> None:
    project = make_project(n=40)
    outside = tmp_path / "outside"
    outside.mkdir()
    target = outside / Path(FILE).name
    target.write_bytes(b"of somebody else")
    link = project.path / FILE
    if linked == "file":
        link.parent.mkdir()
        link.symlink_to(target)
    else:
        link.parent.symlink_to(outside)
    assert stored_map(project) is None
    assert len(image_map(project).positions) == 40
    assert target.read_bytes() == b"of somebody else"


def test_a_map_of_another_project_is_not_used(make_project: Make) -> None:
    one, other = make_project(n=40), make_project(n=40, seed=1)
    image_map(one)
    (other.path / FILE).parent.mkdir()
    (other.path / FILE).write_bytes((one.path / FILE).read_bytes())
    assert stored_map(other) is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_project_that_cannot_be_written_has_a_map(make_project: Make) -> None:
    project = make_project(n=40)
    project.path.chmod(0o500)
    try:
        assert len(image_map(project).positions) == 40
        assert not (project.path / FILE).exists()
    finally:
        project.path.chmod(0o700)


def test_a_file_in_place_of_the_folder_is_left_alone(make_project: Make) -> None:
    project = make_project(n=40)
    (project.path / "derived").write_bytes(b"mine")
    assert len(image_map(project).positions) == 40
    assert (project.path / "derived").read_bytes() == b"mine"


def test_exam_images_do_not_change_the_map(make_project: Make) -> None:
    plain, spoiled = make_project(exam=60), make_project(exam=60, spoiled=True)
    first, second = image_map(plain), image_map(spoiled)
    assert len(first.positions) == len(plain) == 240
    assert np.array_equal(first.positions, second.positions)


def test_similar_images_lie_close_together(make_project: Make) -> None:
    project = make_project()
    embeddings, _ = image_embeddings(project, Silent())
    found = image_map(project).positions.astype(float)
    like = embeddings @ embeddings.T
    np.fill_diagonal(like, -1)
    nearest = like.argmax(axis=1)
    rng = np.random.default_rng(0)
    near = np.linalg.norm(found - found[nearest], axis=1).mean()
    far = np.linalg.norm(found - found[rng.permutation(len(found))], axis=1).mean()
    assert near < 0.6 * far


@pytest.mark.parametrize("n", [LEAST_IMAGES - 1, 1])
def test_a_map_of_too_few_images_is_refused(make_project: Make, n: int) -> None:
    project = make_project(n=40)
    project.image_ids = project.image_ids[:n]
    with pytest.raises(InputError, match=rf"has {n} images?; a map needs at least {LEAST_IMAGES}"):
        image_map(project)
