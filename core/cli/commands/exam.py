"""Examine the current students on the locked images of a project.

The exam compares them with the students as fitted, on images that no figure, preview or suggestion has used.
It is recorded in the history. Each further exam of a project has wider intervals.

examples:
  inficond exam DIR          open the exam
  inficond exam DIR --show   print the exam of the current student; open nothing
"""

import argparse
from typing import Any

from inficond.core.cli.output import Output

SUMMARY = "examine the students on the locked images of the project"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("project", metavar="DIR", help="project folder")
    parser.add_argument("--show", action="store_true", help="print the last exam, and take none")
    parser.add_argument("--note", default="", metavar="TEXT", help="note stored with the exam")


def run(args: argparse.Namespace, out: Output) -> int:
    """Take or show the exam."""
    from inficond.core.facade import Project
    from inficond.core.report.exam_lines import exam_summary
    from inficond.core.sessions.exam import TakenExam, exam_part
    from inficond.core.sessions.exam_records import exam_record

    project = Project.open(args.project)
    exam_part(project)
    session = project.session("main")
    if args.show:
        record = exam_record(session.last_exam())
    else:
        with session.exclusive():
            record = exam_record(TakenExam(session.take_exam(args.note), 0))
    for line in exam_summary(record, has_exam=True):
        out.say(line)
    if record is not None:
        _tables(record, out)
    out.result({"exam": record})
    return 0


def _tables(record: dict[str, Any], out: Output) -> None:
    """Print average precision, the gain and the promise of each class."""
    from inficond.core.report.exam_lines import DIGITS, interval, verdict
    from inficond.core.report.wording import figure, signed

    rows = [*record["classes"].items(), ("mean", record["mean"])]
    width = max(len(name) for name, _ in rows)
    for kind, other in (("fidelity", "teacher"), ("accuracy", "labels")):
        shown = [(name, one[kind]["ap"]) for name, one in rows if one[kind]]
        if not shown:
            continue
        out.say()
        out.say(f"average precision, compared with the {other}")
        out.say(f"{'':{width}}  as fitted  {'now':<23}  {'gain':<26}  promised  optimism")
        for name, ap in shown:
            promised, optimism = ap["promised"]["value"], ap["optimism"]
            out.say(
                f"{name:{width}}  {figure(ap['fitted']['value'], DIGITS):>9}  {interval(ap['now']):<23}  "
                f"{interval(ap['gain'], sign=True):<26}  "
                f"{'–' if promised is None else signed(promised, DIGITS):>8}  "
                f"{'–' if optimism is None else signed(optimism, DIGITS):>8}  {verdict(ap['gain'])}"
            )
