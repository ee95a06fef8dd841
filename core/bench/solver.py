"""`inficond bench solver`: time to the same measured suboptimality, ours beside existing solvers.

Every solver is run once per tolerance of its ladder, loose to tight, until it is accurate enough or a run
takes longer than `PATIENCE`. The loosest setting that was accurate enough is then timed again, in turns with
ours, and medians are compared. All run on one thread, so what is timed is the processor time of the process,
which other programs on the machine disturb less than the clock. Accuracy is (F - F*) / F* of the worst class
(or of the one softmax objective), F in float64, F* the least that any solver found, ours run to a certified
1e-6 included.
"""

import argparse
import warnings
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.bench.processor import processor_time
from inficond.core.bench.solver_data import INSTANCES, Instance, objective
from inficond.core.bench.solver_peers import LADDER, SOFTMAX
from inficond.core.errors import InputError, unknown

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

WANTED = 1e-4
PATIENCE = 20.0  # seconds of a single run after which a solver is not tried further
OTHERS = 3  # runs of an existing solver, at least: some take many seconds
TURNS, ENOUGH = 15, 4.0  # quick solvers are run so often, or for so many seconds: machines are slow in spells
SLOW = ("glum", "saga", "adam")  # on (a) many times the best other, or never there
EXTRAS = ("threads", "refit", "first")
SUMMARY = "time to a measured accuracy: ours beside skglm, adelie, glum, scikit-learn, torch"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "--only",
        metavar="NAMES",
        help=f"comma-separated, of {', '.join([*INSTANCES, *EXTRAS])}; all when left out",
    )
    add("--repeats", type=int, default=5, help="runs that each median is of (default 5)")
    add("--docs", metavar="DIR", help="also write table and plot into this folder")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure what `args.only` names, print and write it."""
    if args.repeats < 1:
        raise InputError(f"--repeats must be at least 1: it is {args.repeats}")
    # First what others' thread pools and memory could disturb.
    names = args.only.split(",") if args.only else ["threads", *INSTANCES, "refit", "first"]
    for name in names:
        if name not in INSTANCES and name not in EXTRAS:
            raise unknown("instance", name, [*INSTANCES, *EXTRAS])
    from inficond.core.bench.solver_refit import first_fit, refits, two_threads
    from inficond.core.bench.solver_report import write
    from inficond.core.solver import warm_up

    warm_up()
    report: dict[str, Any] = {"wanted": WANTED, "repeats": args.repeats, "turns": TURNS, "instances": {}}
    for name in names:
        if name in INSTANCES:
            report["instances"][name] = _compare(INSTANCES[name], args.repeats, out)
        elif name == "threads":
            report["threads"] = two_threads([INSTANCES["b"], INSTANCES["c"]], args.repeats, out)
        elif name == "refit":
            report["refit"] = refits([INSTANCES["a"], INSTANCES["b"]], args.repeats, out)
        else:
            report["first"] = first_fit(args.repeats, out)
        if args.docs:
            write(report, Path(args.docs))
    out.result(report)
    return 0


def _timed(name: str, instance: Instance, X: Any, T: Any, tol: float) -> tuple[float, Any]:
    from threadpoolctl import threadpool_limits

    solver = LADDER[name][0]
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        taken, (weights, bias) = processor_time(lambda: solver(instance, X, T, tol))
        return taken, objective(instance, X, T, np.asarray(weights), np.asarray(bias))


def _compare(instance: Instance, repeats: int, out: "Output") -> dict[str, Any]:
    """One instance: every solver's curve, and medians at the wanted accuracy."""
    from inficond.core.solver import fit

    out.say()
    out.say(f"{instance.title}, lambda={instance.lam:g}, {instance.link}")
    X, T = instance.make()
    sure = fit(X, T, instance.lam, link=instance.link, tol=1e-6, max_iter=400, warn=False)
    least = objective(instance, X, T, sure.weights, sure.bias)
    curves: dict[str, list[dict[str, float]]] = {}
    found: dict[str, float] = {}
    notes: dict[str, str] = {}
    for name in SOFTMAX if instance.link == "softmax" else LADDER:
        curves[name] = []
        if name in SLOW and instance.name != "a":
            notes[name] = "left out: see (a)"
            continue
        ladder = LADDER[name][1]
        try:
            if name != "ours":  # whatever compiles or loads, beforehand
                small = Instance("warm", "", 400, instance.K, instance.C, 0.05, instance.link)
                _timed(name, small, *small.make(), ladder[0])
            for tol in ladder:
                taken, F = _timed(name, instance, X, T, tol)
                least = np.minimum(least, F)
                off = float(((F - least) / least).max())
                curves[name].append({"tol": tol, "seconds": taken, "suboptimality": off})
                if off <= WANTED:
                    found.setdefault(name, tol)
                    if name != "ours":
                        break
                if taken > PATIENCE:
                    notes[name] = f"{taken:.0f} s a run, stopped at {off:.1e}"
                    break
        except ModuleNotFoundError as error:
            notes[name] = f"not installed ({error.name})"
        except Exception as error:  # a peer that fails is a line of the table, not the end of the run
            notes[name] = f"failed: {type(error).__name__}: {error}"[:120]
        best = min((p["suboptimality"] for p in curves[name]), default=float("nan"))
        if name not in found and name not in notes:
            notes[name] = f"not reached: {best:.1e}"
        out.say(f"  {name:8s} " + (f"tolerance {found[name]:g}" if name in found else notes[name]))
    once = {n: next(p["seconds"] for p in curves[n] if p["tol"] == found[n]) for n in found}
    # What is far from the best of the others is not timed again and again.
    best = min((s for n, s in once.items() if n != "ours"), default=0.0)
    quick = {n for n in found if n == "ours" or once[n] <= 2 * best}
    times: dict[str, list[float]] = {n: [] for n in found}
    for name in found:
        if name not in quick:
            times[name] = [once[name]]
    for i in range(max(TURNS, repeats)):
        for name in sorted(quick):
            if i < (repeats if name == "ours" else OTHERS) or sum(times[name]) < ENOUGH:
                times[name].append(_timed(name, instance, X, T, found[name])[0])
    medians = {n: median(t) for n, t in times.items()}
    peers = {n: t for n, t in medians.items() if n != "ours"}
    # The certified answer too: gap <= 1e-4 of the objective, which no peer's tolerance promises.
    certified = median(_timed("ours", instance, X, T, 1e-4)[0] for _ in range(repeats))
    best_peer = min(peers, key=lambda n: peers[n]) if peers else None
    ratio = peers[best_peer] / medians["ours"] if best_peer and "ours" in medians else None
    for name, seconds in sorted(medians.items(), key=lambda item: item[1]):
        out.say(f"  {name:8s} {seconds * 1e3:10.1f} ms  (of {len(times[name])})")
    out.say(
        f"  ours, certified to {WANTED:g}: {certified * 1e3:.1f} ms; best peer {best_peer}: {ratio or 0:.1f} times ours"  # noqa: E501
    )
    return {
        "title": instance.title, "medians": medians, "runs": {n: len(t) for n, t in times.items()},
        "tolerances": found, "certified": certified, "best_peer": best_peer, "ratio": ratio,
        "curves": curves, "notes": notes, "nec": float(np.count_nonzero(sure.weights, axis=1).mean()),
        "reference_gap": float((sure.gap / sure.objective).max()),
    }  # fmt: skip
