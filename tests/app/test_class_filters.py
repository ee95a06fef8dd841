"""Filters of a selection by actual and predicted class."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.sessions.class_confusion import predicted_classes
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.queries import describe_filters, scope_mask, selected_rows
from inficond.gradio_app.selection import Selection, resolve_selection
from inficond.gradio_app.views import view_parts
from inficond.gradio_app.visitor import Visitor
from inficond.gradio_app.visitor_registry import VisitorRegistry

MakeProject = Callable[..., Project]
MakeVisitor = Callable[..., Visitor]


@pytest.fixture
def make_visitor(make_project: MakeProject) -> Iterator[MakeVisitor]:
    """Function that makes a visitor of a small project; see `make_project` for the arguments."""
    registries = []

    def make(**options: object) -> Visitor:
        files = PageFiles()
        registry = VisitorRegistry(make_project(**options), files)
        registries.append((registry, files))
        return registry.get()[0]

    yield make
    for registry, files in registries:
        registry.close()
        files.close()


def test_a_confusion_selects_held_out_images_of_both_classes(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(link="softmax")
    project = visitor.project
    selection = Selection("boat", actual="boat", predicted="bird", reference="teacher")
    rows = selected_rows(visitor, selection)
    actual = np.asarray(project.T).argmax(axis=1)
    wanted = project.is_validation & (actual == 0) & (predicted_classes(visitor.session) == 1)
    assert rows.tolist() == np.flatnonzero(wanted).tolist()
    everything = Selection("boat", actual="boat", reference="teacher", scope="all")
    assert scope_mask(visitor, everything).sum() == (actual == 0).sum()


def test_labels_of_independent_classes_filter_images_too(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(link="sigmoid", labels=True)
    selection, note = resolve_selection({"actual": "bird"}, visitor)
    assert note is None
    rows = selected_rows(visitor, selection)
    labels = np.asarray(visitor.project.labels)[:, 1] >= 0.5
    assert rows.tolist() == np.flatnonzero(labels & visitor.project.is_validation).tolist()
    assert view_parts()["performance.confusion"].read(visitor, selection) is None


@pytest.mark.parametrize(
    ("options", "requested", "field"),
    [
        ({"link": "sigmoid"}, {"predicted": "bird"}, "predicted"),
        ({"link": "sigmoid", "labels": False}, {"actual": "bird"}, "actual"),
        ({"link": "softmax"}, {"actual": "no such class"}, "actual"),
    ],
)
def test_an_impossible_filter_is_removed_with_a_note(
    make_visitor: MakeVisitor, options: dict, requested: dict, field: str
) -> None:
    selection, note = resolve_selection(requested, make_visitor(**options))
    assert selection.actual is None
    assert selection.predicted is None
    assert note == f"Images cannot be filtered by the {field} class “{requested[field]}”."


def test_the_confusion_part_lists_the_largest_cells_first(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(link="softmax", labels=False)
    table = view_parts()["performance.confusion"].read(visitor, Selection("boat"))
    counts = [cell["n"] for cell in table["cells"]]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == sum(table["totals"]) == table["n"] == visitor.project.is_validation.sum()
    assert table["references"] == ["teacher"]


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (Selection("a"), ""),
        (Selection("a", actual="rose"), "label rose"),
        (Selection("a", actual="rose", reference="teacher"), "teacher rose"),
        (Selection("a", predicted="tulip"), "called tulip"),
        (Selection("a", actual="rose", predicted="tulip"), "rose called tulip"),
    ],
)
def test_filters_are_described_in_words(selection: Selection, text: str) -> None:
    assert describe_filters(selection) == text
