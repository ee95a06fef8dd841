"""Sides of a comparison after an exam, which changes no student; differences that round to 0."""

from collections.abc import Callable

import pytest

from inficond.core import Project
from inficond.core.report.wording import signed
from inficond.core.tuning.actions import Action
from inficond.gradio_app.comparison import TEACHER, comparison_payload
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.presenters import format_signed
from inficond.gradio_app.visitor_registry import VisitorRegistry


def test_an_exam_stands_for_the_step_that_it_measured(
    make_project: Callable[..., Project], files: PageFiles
) -> None:
    registry = VisitorRegistry(make_project(n=300, exam=90), files)
    registry.disable_saving()
    visitor, _ = registry.get()
    session = visitor.own_session()
    root = session.node
    first = session.take_exam()
    shown = comparison_payload(visitor, None, None, None)
    assert (shown["a"], shown["b"], shown["problem"]) == (root, TEACHER, "")
    step = session.apply("boat", [Action("mute", "c1")])
    exam = session.take_exam()
    for a, b in ((None, None), (first.id, exam.id)):
        shown = comparison_payload(visitor, a, b, "boat")
        assert (shown["a"], shown["b"]) == (root, step.id)
        assert {shown["a"], shown["b"]} <= {side["id"] for side in shown["sides"]}
    registry.close()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.004, "0.00"), (-0.004, "0.00"), (0.0, "0.00"), (-0.006, "−0.01"), (0.25, "+0.25"), (-10.0, "−10.00")],
)
def test_a_difference_that_rounds_to_zero_has_no_sign(value: float, text: str) -> None:
    assert format_signed(value) == text
    assert signed(value) == text
