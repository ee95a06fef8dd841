"""Sentences about exams, for the report, the command and the page."""

from collections.abc import Mapping, Sequence
from typing import Any

from inficond.core.report.wording import figure, plural, signed

DIGITS = 3
"""Decimals of the figures of exams, as of a comparison side by side."""


def short_line(record: Mapping[str, Any] | None) -> str:
    """Return one sentence about an exam as the metadata of a file describe it (`short_record`)."""
    if record is None:
        return "No exam was taken."
    ap = record["mean"]["fidelity"]
    when = f", {plural(record['steps_since'], 'step')} earlier" if record["steps_since"] else ""
    return (
        f"Exam on {plural(record['images'], 'locked image')}{when}: mean average precision "
        f"{interval(ap['now'])}, gain {interval(ap['gain'], sign=True)}."
    )


def exam_summary(record: Mapping[str, Any] | None, has_exam: bool) -> list[str]:
    """Return sentences about an exam, or that none was taken.

    Parameters
    ----------
    record : mapping or None
        From `exam_record`.
    has_exam : bool
        Whether the project has exam images.

    Returns
    -------
    list of str
        Plain text, not escaped.
    """
    if record is None:
        if has_exam:
            return [
                "No exam was taken: all figures are of images on which corrections were chosen. "
                "`inficond exam` measures on locked images."
            ]
        return ["No exam was taken, because the project has no exam images."]
    out = []
    mean = record["mean"]["fidelity"]["ap"]
    out.append(
        f"{_ordinal(record['number'])} exam of the project, on {plural(record['images'], 'locked image')}: "
        f"mean average precision {interval(mean['now'])}, "
        f"as fitted {figure(mean['fitted']['value'], DIGITS)}; "
        f"gain {interval(mean['gain'], sign=True)} where the tune part promised "
        f"{_signed(mean['promised']['value'])} ({_level(record['level'])} intervals)."
    )
    if record["steps_since"]:
        out.append(
            f"The exam was taken {plural(record['steps_since'], 'step')} before the current node, so its "
            "figures are of another student."
        )
    out += _caveats(record)
    return out


def taken_before(number: int) -> str:
    """Return how many exams were taken before one, and what follows for its intervals."""
    if number == 1:
        return (
            "No exam of this project was taken before. Intervals of this and of later exams hold together at "
            "95 %."
        )
    return (
        f"{plural(number - 1, 'exam')} of this project {'was' if number == 2 else 'were'} taken before, so "
        "the intervals are wider: those of all exams hold together at 95 %, if the student was chosen "
        "without their results."
    )


def interval(value: Mapping[str, Any], sign: bool = False) -> str:
    """Format a value with its interval."""
    if value["value"] is None:
        return "–"
    texts = [_signed(value[key]) if sign else figure(value[key], DIGITS) for key in ("value", "low", "high")]
    return texts[0] if value["low"] is None else f"{texts[0]} ({texts[1]} … {texts[2]})"


def verdict(gain: Mapping[str, Any]) -> str:
    """Return ``better``, ``worse`` or ``no clear change`` for a gain with its interval."""
    if gain["low"] is None or gain["low"] <= 0 <= gain["high"]:
        return "no clear change"
    return "better" if gain["low"] > 0 else "worse"


def _caveats(record: Mapping[str, Any]) -> list[str]:
    out = [taken_before(record["number"])]
    if record["sources"] < 2:
        out.append("All exam images come from one source, so that no interval can be computed.")
    by_reason: dict[str, list[str]] = {}
    for name, reason in record["left_out"].items():
        by_reason.setdefault(reason, []).append(name)
    out += [f"Left out: {_names(names)}, because {reason}." for reason, names in by_reason.items()]
    if record["imprecise"]:
        out.append(f"Imprecise, with fewer than 10 positives: {_names(record['imprecise'])}.")
    return out


def _names(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _signed(value: float | None) -> str:
    return "–" if value is None else signed(value, DIGITS)


def _level(level: float) -> str:
    return f"{100 * level:.1f} %"


def _ordinal(number: int) -> str:
    names = ("First", "Second", "Third", "Fourth", "Fifth")
    return names[number - 1] if number <= len(names) else f"{number:,}th"
