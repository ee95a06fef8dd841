"""Raise or lower the influence of concepts on a class, refit, and add a step to the history.

examples:
  inficond tune DIR --class boat --mute water --up sail=2
  inficond tune DIR --class boat --down group:water --focus extra --dry-run
  inficond tune DIR --class boat --suggest
  inficond tune DIR --threshold matched
"""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inficond.core.cli.output import Output
from inficond.core.errors import InputError
from inficond.core.tuning.actions import DEFAULT_STRENGTH, KINDS, Action

SUMMARY = "raise or lower concepts of a class"
_HELP = {
    "up": f"K[=x]: raise the weight (strength x, {DEFAULT_STRENGTH:g} by default)",
    "down": "K[=x]: lower the weight",
    "mute": "K: weight 0",
    "lock": "K: keep the weight",
    "set": "K=v: the weight in standardised units",
    "free": "K: remove the bounds",
}


class _Ordered(argparse.Action):
    """Argparse action that collects actions of all kinds in the given order."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        namespace.actions = [*(namespace.actions or []), (self.dest, values)]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("project", metavar="DIR", help="project folder")
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="C",
        action="append",
        default=[],
        help="class to tune; may be repeated",
    )
    parser.set_defaults(actions=[])
    for kind in KINDS:
        parser.add_argument(
            f"--{kind}",
            metavar="K=v" if kind == "set" else "K[=x]" if kind in ("up", "down") else "K",
            action=_Ordered,
            dest=kind,
            help=_HELP[kind] + ("; group:NAME for a whole group" if kind == "up" else ""),
        )
    parser.add_argument(
        "--focus", metavar="missed|extra|FILE", help="images with a larger weight; FILE lists ids"
    )
    parser.add_argument("--add-concept", metavar="WORD", help="make a word a concept")
    parser.add_argument("--drop-concept", metavar="K", help="set a concept to 0 in every class")
    parser.add_argument(
        "--override",
        metavar="IMAGE=p",
        action="append",
        default=[],
        help="replace the teacher's probability by p",
    )
    parser.add_argument("--lam", metavar="L", help="refit every class with another λ")
    parser.add_argument(
        "--threshold",
        metavar="P|matched",
        help="decision threshold of all classes, or the one that matches the teacher's rate",
    )
    parser.add_argument(
        "--suggest", action="store_true", help="print the actions that are most likely to improve the class"
    )
    parser.add_argument(
        "--harmless",
        action="store_true",
        help="suggest only actions by which no class, slice or group clearly loses",
    )
    parser.add_argument("--note", default="", help="a remark stored with the step")
    parser.add_argument("--dry-run", action="store_true", help="print the effect without taking the step")


def run(args: argparse.Namespace, out: Output) -> int:
    """Take one step, or print its effect."""
    from inficond.core.facade import Project

    actions = [parse(kind, text) for kind, text in args.actions]
    other = [
        bool(actions), bool(args.add_concept), bool(args.drop_concept), bool(args.override),
        args.lam is not None, args.threshold is not None, args.suggest,
    ]  # fmt: skip
    if sum(other) != 1:
        raise InputError(
            "give one kind of step: actions such as --mute water, or one of --add-concept, --drop-concept, "
            "--override, --lam, --threshold, --suggest"
        )
    if args.harmless and not args.suggest:
        raise InputError("--harmless filters suggestions: give it with --suggest")
    if not args.classes and (actions or args.override or args.suggest):
        raise InputError("name the class: --class NAME")
    project = Project.open(args.project)
    if args.suggest:
        return _suggest(project.session(), args, out)
    focus = read_focus(args.focus)
    if args.dry_run:
        if not actions:
            raise InputError("--dry-run needs actions such as --mute water")
        preview = project.session().preview(args.classes, actions, focus)
        moved = {**preview.classes, **preview.others}
        out.say(f"preview of: {preview.title}")
        for change in moved.values():
            say_change(out, change)
        for cost in preview.costs:
            out.say(f"  clearly loses: {cost.text}")
        out.result({"node": None, **_figures(moved), **preview.to_json()})
        return 0
    session = project.session("main")
    with session.exclusive():
        if actions:
            node = session.apply(args.classes, actions, focus, args.note)
        elif args.add_concept:
            node = session.add_concept(args.add_concept, args.note)
        elif args.drop_concept:
            node = session.drop_concept(args.drop_concept, args.note)
        elif args.lam is not None:
            node = session.set_lambda(args.lam, args.note)
        elif args.threshold is not None:
            node = session.set_thresholds(args.threshold, args.note)
        else:
            node = _override(session, args)
    assert node.parent is not None
    moved = dict(session.compare(node.parent, node.id).classes)
    out.say(f"{node.id}  {node.title}")
    for change in moved.values():
        say_change(out, change)
    alone = _teacher_alone(session, node, out)
    data = node.to_json()
    out.result(
        {
            "node": node.id,
            **{k: data[k] for k in ("parent", "title", "before", "after")},
            "weights": [
                {"class": w.cls, "concept": w.concept, "before": w.before, "after": w.after}
                for w in node.weights
            ],
            "changes": {cls: change.to_json() for cls, change in moved.items()},
            "solver": data["solver"],
            **({"teacher_alone": alone} if alone else {}),
        }
    )
    return 0


def _teacher_alone(session: Any, node: Any, out: Output) -> dict[str, Any]:
    """Return fidelity without overrides, for the classes of a step that have some."""
    found = {}
    for cls in node.classes:
        count = len(session.state.classes[cls].overrides)
        if not count:
            continue
        m = session.metrics(cls, overrides=False)
        found[cls] = m.to_dict()
        figures = ", ".join(
            f"{name} {value:.3f}"
            for name in ("agreement", "balanced_agreement", "ap", "f1", "bce")
            if math.isfinite(value := getattr(m, name))
        )
        out.say(f"  {cls}, compared with the teacher alone (overrides left out: {count}): {figures}")
    return found


def parse(kind: str, text: str) -> Action:
    """Convert ``water=2`` to an action; a name may contain an equals sign."""
    name, equals, value = text.rpartition("=")
    if equals and kind in ("up", "down", "set"):
        try:
            return Action(kind, name, float(value))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            if kind == "set":
                raise InputError(f"--set {text!r}: {value!r} is not a number") from None
    return Action(kind, text)


def read_focus(given: str | None) -> Any:
    """Return the name of a subset, or the image ids of a file with one per line."""
    from inficond.core.evaluation.subsets import SUBSETS
    from inficond.core.file_access import read_given
    from inficond.core.tables.encoding import decode_text

    if given is None or given in SUBSETS:
        return given
    try:
        lines = decode_text(read_given(Path(given)), given)[0].splitlines()
    except InputError as error:
        raise InputError(f"--focus: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise InputError(
            f"--focus {given!r} is neither {', '.join(SUBSETS)} nor a file that can be read ({error})"
        ) from None
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise InputError(f"--focus {given}: the file lists no images")
    return ids


def say_change(out: Output, change: Any) -> None:
    """Print the change of a class."""
    out.say(f"  {change.cls}: {len(change.weights)} weights changed")
    for w in change.weights[:8]:
        out.say(f"    {w.concept:<28} {w.before:+.3f} → {w.after:+.3f}")
    if len(change.weights) > 8:
        out.say(f"    … and {len(change.weights) - 8} more")
    for heading, changes in (
        ("fidelity", change.fidelity),
        ("accuracy", change.accuracy),
        (f"focus ({change.focus_size} images)", change.focus),
    ):
        if changes is None:
            continue
        out.say(f"    {heading}, on validation images:")
        for name, c in changes.items():
            if not math.isfinite(c.delta.value):
                out.say(f"      {name:<20} {_undefined(heading, changes)}")
                continue
            out.say(
                f"      {name:<20} {c.before:.3f} → {c.after:.3f}  "
                f"({c.delta.value:+.3f}, 95 % {c.delta.low:+.3f} … {c.delta.high:+.3f}; {c.verdict})"
            )
    out.say(f"    images: {len(change.fixed)} newly agree, {len(change.broken)} newly disagree")


def _undefined(heading: str, changes: Mapping[str, Any]) -> str:
    """Return why a metric is not defined: average precision needs positives, the others also negatives."""
    source = "the ground truth" if heading == "accuracy" else "the teacher"
    never = not math.isfinite(changes["ap"].delta.value)
    return f"not defined: {source} has no {'positives' if never else 'negatives'} among these images"


def _figures(moved: dict[str, Any]) -> dict[str, Any]:
    """Return ``before``, ``after`` and ``weights`` of a preview in the form of a node."""
    figures: dict[str, Any] = {"before": {}, "after": {}, "weights": []}
    for cls, change in moved.items():
        for side in ("before", "after"):
            figures[side][cls] = {name: c.to_dict()[side] for name, c in change.fidelity.items()} | {
                "counts": dict(getattr(change, side))
            }
        figures["weights"] += [
            {"class": cls, "concept": w.concept, "before": w.before, "after": w.after} for w in change.weights
        ]
    return figures


def _override(session: Any, args: argparse.Namespace) -> Any:
    if len(args.classes) != 1:
        raise InputError("--override needs exactly one --class")
    asked: dict[float | None, list[str]] = {}
    for text in args.override:
        image, equals, value = text.rpartition("=")
        if not equals:
            raise InputError(f"--override {text!r}: give IMAGE=p, with p between 0 and 1 or 'teacher'")
        try:
            p = None if value == "teacher" else float(value)
        except ValueError:
            raise InputError(f"--override {text!r}: {value!r} is not a probability") from None
        asked.setdefault(p, []).append(image)
    if len(asked) > 1:
        raise InputError(
            "all images of a step need the same value: use separate commands for different values"
        )
    [(p, images)] = asked.items()
    return session.override(images, args.classes[0], p, args.note)


def _suggest(session: Any, args: argparse.Namespace, out: Output) -> int:
    from inficond.core.evaluation.subsets import SUBSETS

    subset = args.focus if args.focus in SUBSETS else None
    found = {cls: session.suggest(cls, subset, harmless=args.harmless) for cls in args.classes}
    for cls, suggestions in found.items():
        out.say(f"{cls}:" if suggestions else f"{cls}: no suggestions")
        for s in suggestions:
            out.say(f"  {s.text}")
            for cost in s.costs:
                out.say(f"    clearly loses: {cost.text}")
    out.result({"suggestions": {cls: [s.to_json() for s in ss] for cls, ss in found.items()}})
    return 0
