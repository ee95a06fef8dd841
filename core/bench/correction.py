"""Benchmark of correction by hand: accuracy of the worst group on exam images.

A student learns a planted shortcut. Compared are the student as fitted, with the first suggestion applied,
and after three actions of a scripted person who takes what the page shows: the repair of the first finding of
the audit that has one, else a suggestion whose gain is clear. Beside them: retraining with group labels,
which a person does not have, and muting as many words at random. Exam images are in no project.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.audit.audit import audit
from inficond.core.audit.repair import apply_repair
from inficond.core.bench.audit import add_data_arguments, read_bank
from inficond.core.bench.correction_demo import demo_exams
from inficond.core.bench.planted import Planted, plant
from inficond.core.bench.robust import group_dro, last_layer_retraining, worst_group
from inficond.core.tuning.actions import Action

if TYPE_CHECKING:
    from inficond.core.cli.output import Output
    from inficond.core.sessions.session import Session

SUMMARY = "worst-group accuracy of correction by hand, beside retraining with group labels"
METHODS = (
    "as fitted", "first suggestion", "three actions", "muted at random", "balanced retraining", "group-DRO",
)  # fmt: skip
STEPS = 3
RANDOM_DRAWS = 5
T_QUANTILES = {
    2: 12.71,
    3: 4.30,
    4: 3.18,
    5: 2.78,
    6: 2.57,
    7: 2.45,
    8: 2.36,
    9: 2.31,
    10: 2.26,
    15: 2.14,
    20: 2.09,
}
"""97.5 % quantile of Student's t by number of values."""


@dataclass(frozen=True)
class Figure:
    """A mean over seeds with its 95 % interval (Student's t)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Return the figure of values, one for each seed."""
        x = np.asarray(values, np.float64)
        mean = float(x.mean())
        if len(x) < 2:
            return cls(mean, float("nan"), float("nan"))
        known = [n for n in T_QUANTILES if n <= len(x)]
        half = T_QUANTILES[max(known)] * float(x.std(ddof=1)) / float(np.sqrt(len(x)))
        return cls(mean, mean - half, mean + half)

    def to_json(self) -> dict[str, float]:
        """Return plain JSON."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add_data_arguments(parser)
    parser.add_argument("--demo", type=int, default=5, metavar="N", help="exam sets of the demo (default 5)")
    parser.add_argument("--plot", metavar="FILE", help="write the plot as SVG")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure, print and draw."""
    bank = read_bank(args, out)
    tables: dict[str, dict[str, list[float]]] = {}
    for kind in args.kinds:
        tables[kind] = {name: [] for name in METHODS}
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory(prefix="inficond-bench-") as folder:
                planted = plant(bank, kind, Path(folder) / "project", seed)
                for name, value in compare(planted, seed).items():
                    tables[kind][name].append(value)
        _say(out, kind, tables[kind])
    if args.demo > 0:
        tables["demo"] = {name: [] for name in METHODS}
        for exam, planted in enumerate(demo_exams(args.demo)):
            for name, value in compare(planted, exam).items():
                tables["demo"][name].append(value)
        _say(out, "demo", tables["demo"])
    result = {kind: summary(table) for kind, table in tables.items()}
    if args.plot:
        from inficond.core.bench.correction_plot import plot

        Path(args.plot).write_text(plot(result), encoding="utf-8")
    out.result({"target": bank.target, "seeds": args.seeds, "shortcuts": result})
    return 0


def _say(out: "Output", kind: str, table: dict[str, list[float]]) -> None:
    out.say(f"{kind}: accuracy of the worst group (95 %), and its gain over the student as fitted")
    for name, entry in summary(table).items():
        gain = entry["gain"]
        level = f"{100 * entry['mean']:5.1f} % ({100 * entry['low']:5.1f} to {100 * entry['high']:5.1f})"
        change = f"{100 * gain['mean']:+5.1f} ({100 * gain['low']:+5.1f} to {100 * gain['high']:+5.1f})"
        out.say(f"  {name:<20} {level}  gain {change}")


def summary(table: dict[str, list[float]]) -> dict[str, Any]:
    """Return mean and interval of each method, and of its gain over the student as fitted."""
    first = np.asarray(table["as fitted"])
    return {
        name: {
            **Figure.of(values).to_json(),
            "gain": Figure.of((np.asarray(values) - first).tolist()).to_json(),
            "values": values,
        }
        for name, values in table.items()
    }


def compare(planted: Planted, seed: int) -> dict[str, float]:
    """Return the accuracy of the worst group of the exam under each method."""
    project, target = planted.project, planted.target
    session = project.session()
    c = session.class_index(target)

    def measured(one: "Session") -> float:
        students = one.students
        said = students.predict(planted.exam_X)[:, c] >= students.thresholds[c]
        return worst_group(said == planted.exam_truth, planted.exam_truth, planted.exam_attribute)

    found = {"as fitted": measured(session)}
    suggestions = session.suggest(target)
    if suggestions:
        session.apply(target, suggestions[0].actions)
    found["first suggestion"] = measured(session)
    person = project.session()
    muted = act_by_the_page(person, target)
    found["three actions"] = measured(person)
    rng = np.random.default_rng(seed)
    used = np.flatnonzero(project.session().state.classes[target].weights)
    draws = []
    for _ in range(RANDOM_DRAWS):
        other = project.session()
        chosen = rng.permutation(used)[: max(1, min(muted, len(used) - 1))]
        other.apply(target, [Action("mute", other.concepts[k]) for k in chosen.tolist()])
        draws.append(measured(other))
    found["muted at random"] = float(np.mean(draws))
    found |= retrained(planted, c, seed)
    return found


def act_by_the_page(session: "Session", target: str) -> int:
    """Take up to three steps that the page proposes; return how many used words were muted."""
    before = session.state.classes[target].weights
    for _ in range(STEPS):
        findings = audit(session, [target]).findings
        repairs = [finding.repair for finding in findings if finding.repair is not None]
        if repairs:
            apply_repair(session, target, repairs[0])
            continue
        clear = [one for one in session.suggest(target) if one.gain.clear]
        if not clear:
            break
        session.apply(target, clear[0].actions)
    return int(((before != 0) & (session.state.classes[target].weights == 0)).sum())


def retrained(planted: Planted, c: int, seed: int) -> dict[str, float]:
    """Return the accuracy of the worst group after retraining with group labels."""
    project = planted.project
    students, labels = project.students, project.labels
    assert labels is not None
    truth = np.asarray(labels[:, c]) >= 0.5

    def standardised(X: NDArray[Any]) -> NDArray[np.float32]:
        return ((np.asarray(X, np.float32) - students.mean) / students.scale).astype(np.float32)

    Z, exam = standardised(project.X), standardised(planted.exam_X)
    fit, tune = project.training_rows, project.validation_rows
    attribute = planted.attribute

    def measured(w: NDArray[np.float64], b: float) -> float:
        said = exam @ w + b >= 0
        return worst_group(said == planted.exam_truth, planted.exam_truth, planted.exam_attribute)

    dfr = last_layer_retraining(Z[tune], truth[tune], attribute[tune], seed)
    dro = group_dro(Z[fit], truth[fit], attribute[fit], Z[tune], truth[tune], attribute[tune])
    return {"balanced retraining": measured(*dfr), "group-DRO": measured(*dro)}
