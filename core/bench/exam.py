"""Benchmark of the optimism of figures on which a choice was made, and of the exam's intervals.

The population is the demo's scenes: those that are shipped, and more of the same design from other seeds. A
run draws images to fit, to tune and for the exam, fits the students, tries random actions on random
concepts of one class, and keeps the action with the largest gain on the tune part. The gain on all scenes
that were not drawn is its true gain. Two questions follow: how often does the 95 % interval of the tune part
contain the true gain, and how often does that of the exam? The shares of sets of 30 runs show how much so few
runs vary.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.bench.scenes import Population, generated_scenes
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "optimism of tuning, and coverage of the exam's intervals, on generated scenes"
LAM = 2e-2
"""λ of the demo's students."""
STRENGTHS = (1.5, 2.0, 3.0)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--runs", type=int, default=30, metavar="N", help="seeded runs (default 30)")
    add("--first-seed", type=int, default=0, metavar="S", help="seed of the first run (default 0)")
    add("--actions", type=int, default=20, metavar="N", help="random actions of a run (default 20)")
    add("--seeds", type=int, default=4, metavar="N", help="sets of 1,200 scenes after the first (default 4)")
    add(
        "--first-set",
        type=int,
        default=0,
        metavar="K",
        help="first set of scenes; 0, the default, is the demo's",
    )
    add("--images", type=int, default=400, metavar="N", help="images of the tune and of the exam part")
    add("--work", type=Path, metavar="DIR", help="folder of encoded scenes, reused by a later run")


@dataclass(frozen=True)
class Run:
    """The gain of average precision by the best of the random actions of one run.

    Parameters
    ----------
    tune, exam, first_exam : tuple of (value, low, high)
        On the tune part as previews show it (95 %), on the exam images with 95 %, and with the level of the
        first exam of a project.
    true : float
        On the scenes that were not drawn.
    covers : mapping from str to bool
        Whether the exam's 95 % interval contains the true gain, by metric; without those undefined.
    """

    tune: tuple[float, float, float]
    exam: tuple[float, float, float]
    first_exam: tuple[float, float, float]
    true: float
    covers: Mapping[str, bool] = field(default_factory=dict)


SET = 30
"""Runs of a set."""
PARTS = {"tune": "tune, 95 %", "exam": "exam, 95 %", "first_exam": "first exam, 97 %"}


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if min(args.runs, args.actions) < 1 or min(args.seeds, args.first_seed, args.first_set) < 0:
        raise InputError(
            "--runs and --actions must be at least 1; --seeds, --first-seed and --first-set at least 0"
        )
    if args.images < 50:
        raise InputError("--images must be at least 50")
    with tempfile.TemporaryDirectory(prefix="inficond-bench-") as folder:
        population = generated_scenes(args.work or Path(folder), args.seeds, out.progress(), args.first_set)
    left = len(population.X) - 5 * args.images
    if left < args.images:
        raise InputError(f"{len(population.X):,} scenes are too few for --images {args.images}: add --seeds")
    seeds = range(args.first_seed, args.first_seed + args.runs)
    runs = [one_run(population, seed, args.actions, args.images) for seed in seeds]
    found = summarise(runs)
    out.say(
        f"{args.runs} runs (seeds {seeds[0]} to {seeds[-1]}), best of {args.actions} random actions, "
        f"{args.images} images to tune and for the exam; true gain of average precision, "
        f"on {left:,} other scenes: {found['true']:+.4f}"
    )
    out.say(
        f"{'':<18}{'gain':>9}{'bias':>9}{'covers':>9}{'95 % interval':>16}{'too high':>10}"
        f"{'too low':>9}{'above 0':>9}"
    )
    for name, title in PARTS.items():
        one = found[name]
        out.say(
            f"{title:<18}{one['gain']:>+9.4f}{one['bias']:>+9.4f}{one['covers']:>9.1%}"
            f"{'{:.0%} to {:.0%}'.format(*one['covers_interval']):>16}{one['too_high']:>10.0%}"
            f"{one['too_low']:>9.0%}{one['above_zero']:>9.0%}"
        )
    for name, one in found["metrics"].items():
        out.say(
            f"exam, 95 %, {name.replace('_', ' ')}: covers {one['covers']:.1%} "
            f"({'{:.0%} to {:.0%}'.format(*one['covers_interval'])}) of {one['runs']}"
        )
    if found["sets"]:
        few, many = min(found["sets"]), max(found["sets"])
        out.say(
            f"exam, 95 %, ap, in {len(found['sets'])} sets of {SET} runs: {few} to {many} cover "
            f"({', '.join(str(hits) for hits in found['sets'])})"
        )
    how = {"runs": args.runs, "first_seed": args.first_seed, "first_set": args.first_set}
    out.result({**how, "actions": args.actions, "images": args.images, "others": left, **found})
    return 0


def summarise(runs: Sequence[Run]) -> dict[str, Any]:
    """Return mean gains, and how often the intervals contain the true gain, miss it, and exclude 0.

    ``metrics`` has the coverage of the exam by metric, ``sets`` the runs in each set of `SET` whose exam
    covers the gain of average precision.
    """
    true = np.array([one.true for one in runs])
    parts: dict[str, Any] = {"true": float(true.mean())}
    for name in PARTS:
        gain, low, high = np.array([getattr(one, name) for one in runs]).T
        parts[name] = {
            "gain": float(gain.mean()),
            "bias": float((gain - true).mean()),
            "covers": float(((low <= true) & (true <= high)).mean()),
            "covers_interval": wilson_interval(int(((low <= true) & (true <= high)).sum()), len(true)),
            "too_high": float((low > true).mean()),
            "too_low": float((high < true).mean()),
            "above_zero": float((low > 0).mean()),
        }
    parts["metrics"] = {}
    for name in sorted({name for one in runs for name in one.covers}):
        hits = [one.covers[name] for one in runs if name in one.covers]
        parts["metrics"][name] = {
            "runs": len(hits),
            "covers": sum(hits) / len(hits),
            "covers_interval": wilson_interval(sum(hits), len(hits)),
        }
    covered = [one.exam[1] <= one.true <= one.exam[2] for one in runs]
    parts["sets"] = [sum(covered[i : i + SET]) for i in range(0, len(covered) - SET + 1, SET)]
    return parts


def wilson_interval(hits: int, runs: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a probability from the number of runs in which an event occurred (Wilson 1927).

    Parameters
    ----------
    hits, runs : int
        Of 30 runs, an interval that covers in 96 % of all covers in every run with probability 0.3.
    level : float
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = hits / runs, z * z / runs
    centre = (share + weight / 2) / (1 + weight)
    half = z * ((share * (1 - share) + weight / 4) / runs) ** 0.5 / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def one_run(population: Population, seed: int, actions: int, images: int) -> Run:
    """Choose the best of some random actions on the tune part; measure it on all three sets of images.

    Parameters
    ----------
    population : Population
    seed : int
        Of the drawn images, the class and the actions.
    actions : int
        Actions tried.
    images : int
        Images of the tune part and of the exam; three times as many are fitted.
    """
    from inficond.core.evaluation.bootstrap import LEVEL, paired_bootstrap, resampled
    from inficond.core.evaluation.exam import Comparison, exam_level
    from inficond.core.evaluation.metrics import METRICS, average_precision
    from inficond.core.students.distil import distil
    from inficond.core.tuning.workspace import Workspace

    rng = np.random.default_rng(seed)
    X, T = population.X, population.T
    order = rng.permutation(len(X))
    fit, tune, exam, rest = np.split(order, np.cumsum([3 * images, images, images]))
    students = distil(X[fit], T[fit], population.classes, population.concepts, lam=LAM)[0]
    rows = np.concatenate([fit, tune])
    workspace = Workspace(
        students, X[rows], T[rows], np.arange(len(rows)) >= len(fit),
        image_ids=[str(i) for i in rows], concept_groups=["all"] * len(population.concepts),
    )  # fmt: skip
    c = int(rng.integers(len(population.classes)))
    states = _tried(workspace, population.classes[c], rng, actions)

    def scores(weights: Any, at: NDArray[np.intp]) -> NDArray[np.float64]:
        z = (X[at] - students.mean) / students.scale
        return 1 / (1 + np.exp(-(z @ weights[0].astype(np.float64) + weights[1])))

    before = (students.weights[c], float(students.bias[c]))
    at = float(students.thresholds[c])

    def gain(after: Any, part: NDArray[np.intp]) -> float:
        t = T[part, c] >= 0.5
        return average_precision(t, scores(after, part)) - average_precision(t, scores(before, part))

    def examined(after: Any, level: float) -> dict[str, tuple[float, float, float]]:
        found = Comparison(None, level, seed).add(
            T[exam, c], scores(before, exam), scores(after, exam), (at, at)
        )
        gains = {name: one["gain"] for name, one in found.items() if None not in one["gain"].values()}
        return {name: (one["value"], one["low"], one["high"]) for name, one in gains.items()}

    def true_gain(after: Any, name: str) -> float:
        first, second = (
            resampled(T[rest, c], scores(one, rest), threshold=at, replicates=0) for one in (before, after)
        )
        return float((second - first)[0, METRICS.index(name)])

    best = max(states, key=lambda after: gain(after, tune))
    change = paired_bootstrap(
        T[tune, c], scores(before, tune), scores(best, tune), threshold=at, replicates=400, seed=seed
    )["ap"].delta
    found = examined(best, LEVEL)
    return Run(
        (change.value, change.low, change.high),
        found["ap"],
        examined(best, exam_level(1))["ap"],
        gain(best, rest),
        {name: low <= true_gain(best, name) <= high for name, (_, low, high) in found.items()},
    )


def _tried(workspace: Any, cls: str, rng: np.random.Generator, count: int) -> list[tuple[Any, float]]:
    """Return weights and bias of the class after each of some random actions."""
    from inficond.core.tuning.actions import Action
    from inficond.core.tuning.bounds import bounds_of
    from inficond.core.tuning.refit import refit

    root, names = workspace.root, workspace.columns().names
    index = workspace.columns().index
    one = root.classes[cls]
    out = []
    for name in rng.choice(names, count, replace=False).tolist():
        kind = (
            "mute" if one.weights[index[name]] and rng.random() < 1 / 3 else str(rng.choice(["up", "down"]))
        )
        action = Action(kind, name) if kind == "mute" else Action(kind, name, float(rng.choice(STRENGTHS)))
        bounds = bounds_of([action], one.weights, index, one.bounds)
        state = refit(workspace, root.with_classes({cls: replace(one, bounds=bounds)}), [cls])[0]
        out.append((state.classes[cls].weights, float(state.classes[cls].bias)))
    return out
