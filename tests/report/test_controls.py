"""Sentences on controls."""

from inficond.core.report.controls import control_lines


def controls(
    words: float, directions: float, regions: float, absent: float | None = None
) -> dict[str, object]:
    return {
        "words": {"ap": words, "nec": 5.0},
        "random directions": {"ap": directions, "nec": 5.0},
        "random regions": {"ap": regions, "nec": 5.0},
        "absent": absent,
    }


def test_words_that_beat_none_of_the_controls_are_named() -> None:
    lines = control_lines(controls(0.6, 0.7, 0.8))
    assert lines[0].endswith("words 0.600; random directions 0.700, random regions 0.800.")
    assert lines[1].startswith("The words beat none of the controls")


def test_the_controls_that_words_do_not_beat_are_named() -> None:
    assert "do not beat random regions" in control_lines(controls(0.75, 0.7, 0.8))[1]
    assert len(control_lines(controls(0.9, 0.7, 0.8))) == 1


def test_many_answers_by_absent_concepts_are_a_warning() -> None:
    assert "cannot be shown" in control_lines(controls(0.9, 0.7, 0.8, 0.4))[-1]
    assert control_lines(controls(0.9, 0.7, 0.8, 0.1))[-1].endswith("an absent concept.")


def test_projects_without_controls_have_no_lines() -> None:
    assert control_lines(None) == control_lines({"words": {"ap": None}}) == []
