"""Areas and colours of the map of the images."""

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.project.image_map import STEPS, ImageMap
from inficond.core.sessions.map_area import format_area, images_in, parse_area
from inficond.core.sessions.map_colours import (
    MOST_CATEGORIES,
    NONE,
    class_categories,
    concept_values,
    probability_values,
    slice_categories,
)

SQUARE = np.array([[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.6]])


@pytest.fixture(scope="module")
def grid() -> ImageMap:
    """A map of 101 × 101 images on a grid."""
    steps = np.round(np.linspace(0, 1, 101) * STEPS).astype(np.uint16)
    x, y = np.meshgrid(steps, steps)
    return ImageMap(np.stack([x.ravel(), y.ravel()], axis=1), "pca", "regions", (0.5, 0.2))


def test_an_area_survives_its_text() -> None:
    polygon = np.random.default_rng(0).random((64, 2))
    assert parse_area(format_area("pca", polygon), "pca") == pytest.approx(polygon, abs=2e-5)


def test_an_area_contains_the_images_inside(grid: ImageMap) -> None:
    inside = images_in(grid, format_area("pca", SQUARE))
    points = grid.positions / STEPS
    clearly = (np.abs(points - 0.4) < 0.195).all(axis=1)
    outside = (np.abs(points - 0.4) > 0.205).any(axis=1)
    assert inside[clearly].all()
    assert not inside[outside].any()


def test_a_polygon_that_crosses_itself_follows_the_even_odd_rule(grid: ImageMap) -> None:
    star = np.array([[0.5, 0.0], [0.8, 1.0], [0.0, 0.4], [1.0, 0.4], [0.2, 1.0]])
    inside = grid.inside(star).reshape(101, 101)
    assert not inside[55, 50]  # the middle is enclosed twice
    assert inside[20, 50]


@pytest.mark.parametrize(
    "text",
    ["", "pca", "pca.", "pca.00", "pca.000000zzz000", "pca." + "0" * 390, "pca.00000-zzz000zzzzzz", "²"],
)
def test_a_text_that_is_not_an_area_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="draw it again"):
        parse_area(text, "pca")


def test_an_area_of_another_layout_is_refused() -> None:
    with pytest.raises(InputError, match="layout 'umap'"):
        parse_area(format_area("umap", SQUARE), "pca")


def test_classes_are_those_above_the_threshold(small_project: Project) -> None:
    session = small_project.session()
    T = np.asarray(small_project.T)
    found = class_categories(session, "teacher")
    assert found.names == tuple(small_project.classes)
    sure = T.max(axis=1) >= 0.5
    assert np.array_equal(found.codes[sure], T.argmax(axis=1)[sure])
    assert (found.codes[~sure] == NONE).all()
    student = class_categories(session, "student")
    assert np.array_equal(student.codes != NONE, (session.scores() >= 0.5).any(axis=1))


def test_labels_of_several_classes_have_no_colour(small_project: Project) -> None:
    labels = np.asarray(small_project.labels)
    found = class_categories(small_project.session(), "label")
    one = labels.sum(axis=1) == 1
    assert np.array_equal(found.codes != NONE, one)
    assert np.array_equal(found.codes[one], labels.argmax(axis=1)[one])


def test_rare_classes_share_a_colour(make_project) -> None:  # type: ignore[no-untyped-def]
    names = tuple(f"class {i}" for i in range(15))
    project = make_project(classes=names, link="softmax", n=200)
    found = class_categories(project.session(), "teacher")
    assert len(found.names) == MOST_CATEGORIES + 1
    assert found.names[-1] == "other classes"
    often = np.bincount(np.asarray(project.T).argmax(axis=1), minlength=15)
    kept = [names.index(name) for name in found.names[:-1]]
    assert min(often[kept]) >= max(np.delete(often, kept))


def test_an_image_of_several_slices_has_the_most_significant(make_project) -> None:  # type: ignore[no-untyped-def]
    session = make_project(noise=6.0, n=600).session()
    cls = max(session.classes, key=lambda name: len(session.slices(name)))
    slices = session.slices(cls)
    assert slices, "the planted threshold gives a slice"
    found = slice_categories(session, slices)
    rows = [set(session.slice_images(one).tolist()) for one in slices[: len(found.names)]]
    for row, code in enumerate(found.codes.tolist()):
        first = next((i for i, members in enumerate(rows) if row in members), NONE)
        assert code == first


def test_values_span_the_levels(small_project: Project) -> None:
    session = small_project.session()
    found = concept_values(session, "c3")
    X = np.asarray(small_project.X)[:, 3]
    assert (found.low, found.high) == (pytest.approx(X.min()), pytest.approx(X.max()))
    assert found.low + found.levels / 255 * (found.high - found.low) == pytest.approx(
        X, abs=0.003 * float(np.ptp(X))
    )
    student = probability_values(session, "student", "bird")
    assert student.levels / 255 == pytest.approx(session.scores()[:, 1], abs=0.003)


@pytest.mark.parametrize("source", ["label", "somebody"])
def test_a_missing_source_is_named(make_project, source: str) -> None:  # type: ignore[no-untyped-def]
    session = make_project(n=60, labels=False).session()
    with pytest.raises(InputError, match="labels" if source == "label" else "somebody"):
        class_categories(session, source)
