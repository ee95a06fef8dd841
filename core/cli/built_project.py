"""Printed summary of a project that a command has built."""

import shlex
from pathlib import Path
from typing import Any

from inficond.core.cli.output import Output
from inficond.core.report.build_summary import metric_of, summarise
from inficond.core.report.controls import control_lines


def print_built(path: Path, out: Output) -> None:
    """Print the metrics of the students of a new project, and what a person can do with it."""
    from inficond.core.facade import Project

    project = Project.open(path)
    summary = summarise(project)
    _print(project, summary, out)
    out.result(summary)


def _print(project: Any, summary: dict[str, Any], out: Output) -> None:
    skipped = f", {summary['skipped']:,} skipped" if summary["skipped"] else ""
    exam = f", {summary['exam']:,} locked for the exam" if summary["exam"] else ""
    out.say(
        f"{summary['images']:,} images ({summary['validation']:,} held out{exam}{skipped}), "
        f"{summary['concepts']} concepts, {len(summary['classes'])} classes; "
        f"encoder {project.config['encoder']['name']} on {summary['provider']}"
    )
    truth = any(e.get("student_accuracy") for e in summary["classes"].values())
    width = max([5, *(len(name) for name in summary["classes"])])
    head = f"{'':{width}}  concepts  fidelity AP  random AP"
    out.say(head + ("  AP on labels: teacher  student  random" if truth else ""))
    for name, entry in summary["classes"].items():
        line = f"{name:{width}}  {entry['nec']:8d}  {_n(entry['ap']):>11}"
        line += f"  {_n(metric_of(entry, 'random', 'ap')):>9}"
        if truth:
            line += (
                f"  {_n(metric_of(entry, 'teacher_accuracy', 'ap')):>21}"
                f"  {_n(metric_of(entry, 'student_accuracy', 'ap')):>7}"
                f"  {_n(metric_of(entry, 'random', 'student_accuracy', 'ap')):>6}"
            )
        out.say(line)
    m = summary["mean"]
    line = f"{'mean':{width}}  {_n(m['nec'], 1):>8}  {_n(m['fidelity_ap']):>11}"
    line += f"  {_n(m['random_fidelity_ap']):>9}"
    if truth:
        line += f"  {_n(m['teacher_ap']):>21}  {_n(m['student_ap']):>7}  {_n(m['random_ap']):>6}"
    out.say(line)
    _print_exclusive(summary, out)
    for told in control_lines(summary["controls"]):
        out.say(told)
    for told in _next_steps(summary):
        out.say(told)


def _next_steps(summary: dict[str, Any]) -> list[str]:
    """Return what a person can do with the project, one line each."""
    path = shlex.quote(str(summary["project"]))
    lines = [
        f"open it with:  inficond launch {path}",
        f"check its words:  inficond words {path} --sheet words.html",
    ]
    if summary["exam"]:
        lines.append(
            f"after your corrections, measure once on the {summary['exam']:,} locked images:  "
            f"inficond exam {path}"
        )
    return lines


def _print_exclusive(summary: dict[str, Any], out: Output) -> None:
    found = summary["exclusive"]
    if found is None:
        return
    line = (
        f"same top class as the teacher: {found['agreement']:.1%}; no class says yes: {found['no_yes']:.1%}"
    )
    if found["accuracy"] is not None:
        line += f"; accuracy: student {found['accuracy']:.1%}, teacher {found['teacher_accuracy']:.1%}"
    out.say(line)
    table = enumerate(found["confusion"])
    wrong = [(n, t, s) for t, row in table for s, n in enumerate(row) if t != s and n]
    names = list(summary["classes"])
    if wrong:
        count, t, s = max(wrong)
        out.say(f"most frequent confusion: {count} {names[t]} called {names[s]}")


def _n(value: Any, digits: int = 3) -> str:
    return "–" if not isinstance(value, int | float) else f"{value:.{digits}f}"
