"""Benchmark of the optimism of figures on which a choice was made, and of the exam's intervals.

The population is the demo's scenes: those that are shipped, and more of the same design from other seeds. A
run draws images to fit, to tune and for the exam, fits the students, tries random actions on random
concepts of one class, and keeps the action with the largest gain on the tune part. The gain on all scenes
that were not drawn is its true gain. Two questions follow: how often does the 95 % interval of the tune part
contain the true gain, and how often does that of the exam?
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output
    from inficond.core.progress import Progress

SUMMARY = "optimism of tuning, and coverage of the exam's intervals, on generated scenes"
LAM = 2e-2
"""λ of the demo's students."""
STRENGTHS = (1.5, 2.0, 3.0)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--runs", type=int, default=30, metavar="N", help="seeded runs (default 30)")
    add("--actions", type=int, default=20, metavar="N", help="random actions of a run (default 20)")
    add("--seeds", type=int, default=4, metavar="N", help="further sets of 1,200 scenes (default 4)")
    add("--images", type=int, default=400, metavar="N", help="images of the tune and of the exam part")
    add("--work", type=Path, metavar="DIR", help="folder of encoded scenes, reused by a later run")


@dataclass(frozen=True, eq=False)
class Population:
    """Scenes: N images, K concepts, C classes.

    Parameters
    ----------
    X : (N, K) float32
    T : (N, C) float32
    concepts, classes : tuple of str
    """

    X: NDArray[np.float32]
    T: NDArray[np.float32]
    concepts: tuple[str, ...]
    classes: tuple[str, ...]


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
    """

    tune: tuple[float, float, float]
    exam: tuple[float, float, float]
    first_exam: tuple[float, float, float]
    true: float


PARTS = {"tune": "tune, 95 %", "exam": "exam, 95 %", "first_exam": "first exam, 97 %"}


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if min(args.runs, args.actions) < 1 or args.seeds < 0 or args.images < 50:
        raise InputError("--runs and --actions must be at least 1, --seeds at least 0, --images at least 50")
    with tempfile.TemporaryDirectory(prefix="inficond-bench-") as folder:
        population = generated_scenes(args.work or Path(folder), args.seeds, out.progress())
    left = len(population.X) - 5 * args.images
    if left < args.images:
        raise InputError(f"{len(population.X):,} scenes are too few for --images {args.images}: add --seeds")
    runs = [one_run(population, seed, args.actions, args.images) for seed in range(args.runs)]
    found = summarise(runs)
    out.say(
        f"{args.runs} runs, best of {args.actions} random actions, {args.images} images to tune and for the "
        f"exam; true gain of average precision, on {left:,} other scenes: {found['true']:+.4f}"
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
    out.result({"runs": args.runs, "actions": args.actions, "images": args.images, "others": left, **found})
    return 0


def summarise(runs: Sequence[Run]) -> dict[str, Any]:
    """Return mean gains, and how often the intervals contain the true gain, miss it, and exclude 0."""
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
    from inficond.core.evaluation.bootstrap import LEVEL, paired_bootstrap
    from inficond.core.evaluation.exam import Comparison, exam_level
    from inficond.core.evaluation.metrics import average_precision
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

    def examined(after: Any, part: NDArray[np.intp], level: float) -> tuple[float, float, float]:
        found = Comparison(None, level, seed).add(
            T[part, c], scores(before, part), scores(after, part), (at, at)
        )
        return tuple(found["ap"]["gain"][key] for key in ("value", "low", "high"))  # type: ignore[return-value]

    best = max(states, key=lambda after: gain(after, tune))
    change = paired_bootstrap(
        T[tune, c], scores(before, tune), scores(best, tune), threshold=at, replicates=400, seed=seed
    )["ap"].delta
    return Run(
        (change.value, change.low, change.high),
        examined(best, exam, LEVEL),
        examined(best, exam, exam_level(1)),
        gain(best, rest),
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


def generated_scenes(folder: Path, seeds: int, progress: "Progress") -> Population:
    """Return the demo's scenes and those of further seeds.

    Parameters
    ----------
    folder : Path
        Encoded scenes; those that exist are reused.
    seeds : int
        Sets of 1,200 scenes besides the demo's.
    progress : Progress
    """
    from inficond.core.concepts import concept_vectors
    from inficond.core.demo import demo_project
    from inficond.core.demo.build import TEMPERATURE, through_the_pipeline
    from inficond.core.facade import Project
    from inficond.core.models.class_sets import share_among

    demo = Project.open(demo_project())
    words = np.asarray(demo.concept_embeddings)

    def further(seed: int) -> tuple[Any, Any]:
        file = folder / f"scenes-{seed}.npz"
        if not file.exists():
            with tempfile.TemporaryDirectory(prefix="inficond-scenes-") as work:
                made = through_the_pipeline(Path(work), progress, seed)
                X = concept_vectors(np.asarray(made.region_embeddings), words)
                T = share_among(np.asarray(made.T), TEMPERATURE)
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(file, X=X, T=T)
        with np.load(file, allow_pickle=False) as data:
            return data["X"], data["T"]

    found = [(np.asarray(demo.X), np.asarray(demo.T)), *(further(seed) for seed in range(1, seeds + 1))]
    return Population(
        np.concatenate([X for X, _ in found]).astype(np.float32),
        np.concatenate([T for _, T in found]).astype(np.float32),
        tuple(demo.concepts),
        tuple(demo.classes),
    )
