"""`inficond bench solver`: time to the same measured suboptimality, compared with existing solvers.

Every solver runs once per tolerance of its ladder, loose to tight, until it is accurate enough or a run takes
longer than `PATIENCE`. The loosest setting that was accurate enough is then timed again, alternating with
the other solvers, and medians are compared. Everything runs on one thread, so processor time is measured,
which other programs affect less than wall time. Accuracy is (F - F*) / F* of the worst class (or of the
softmax objective), with F in float64 and F* the smallest value that any solver reached, including ours at a
certified 1e-6.
"""

import argparse
import warnings
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.bench.processor import processor_time
from inficond.core.bench.recorded import parts_around
from inficond.core.bench.solver_data import FEW_ROWS, INSTANCES, Instance, objective
from inficond.core.bench.solver_peers import LADDER, SOFTMAX
from inficond.core.errors import InputError, unknown

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

WANTED = 1e-4
PATIENCE = 20.0  # seconds of a single run after which a solver is not tried further
OTHERS = 3  # runs of an existing solver, at least
TURNS, ENOUGH = 15, 4.0  # runs of a fast solver, or seconds after which there are no more
SLOW = ("glum", "saga", "adam")  # run on (a) only: far slower than the best other solver
EXTRAS = ("threads", "refit", "first", "few", "wide", "classes", "links", "rows")
SUMMARY = "time to a measured accuracy, compared with skglm, adelie, glum, scikit-learn and torch"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "--only",
        metavar="NAMES",
        help=f"comma-separated list of {', '.join([*INSTANCES, *EXTRAS])}; "
        "default: all but few, wide, classes, links and rows",
    )
    add("--repeats", type=int, default=5, help="runs per median (default 5)")
    add(
        "--docs",
        metavar="DIR",
        help="also write table and plot into this folder; with `--only links`, that table",
    )
    add(
        "--against",
        metavar="PYTHON",
        type=Path,
        help="with `--only rows`: an interpreter with another version of inficond, timed on the same rows",
    )


def run(args: argparse.Namespace, out: "Output") -> int:
    """Run the measurements in `args.only`; print and write the results."""
    if args.repeats < 1:
        raise InputError(f"--repeats must be at least 1: it is {args.repeats}")
    # Thread pools and memory of other solvers would affect the thread measurement, so it is first.
    names = args.only.split(",") if args.only else ["threads", *INSTANCES, "refit", "first"]
    for name in names:
        if name not in INSTANCES and name not in EXTRAS:
            raise unknown("instance", name, [*INSTANCES, *EXTRAS])
    if args.against is not None and names != ["rows"]:
        raise InputError("--against needs --only rows")
    from inficond.core.bench.solver_refit import first_fit, refits, two_threads
    from inficond.core.bench.solver_report import AROUND, DOCUMENT, write
    from inficond.core.solver import warm_up

    if args.docs and names == ["links"] and (Path(args.docs) / DOCUMENT).exists():
        parts_around(Path(args.docs) / DOCUMENT, AROUND)  # a missing marker is found before minutes of work

    warm_up()
    report: dict[str, Any] = {"wanted": WANTED, "repeats": args.repeats, "turns": TURNS, "instances": {}}
    for name in names:
        if name in INSTANCES:
            report["instances"][name] = _compare(INSTANCES[name], args.repeats, out)
        elif name == FEW_ROWS.name:
            report["instances"][name] = _compare(FEW_ROWS, args.repeats, out)
        elif name == "threads":
            report["threads"] = two_threads([INSTANCES["b"], INSTANCES["c"]], args.repeats, out)
        elif name == "refit":
            report["refit"] = refits([INSTANCES["a"], INSTANCES["b"]], args.repeats, out)
        elif name == "wide":
            from inficond.core.bench.solver_wide import working_set

            report["wide"] = working_set(args.repeats, out)
        elif name == "classes":
            from inficond.core.bench.solver_classes import many_classes

            report["classes"] = many_classes(out)
        elif name == "links":
            from inficond.core.bench.solver_links import both_links

            report["links"] = both_links(args.repeats, out)
        elif name == "rows" and args.against is not None:
            from inficond.core.bench.solver_against import compare

            report["against"] = compare(args.against, out, repeats=args.repeats)
        elif name == "rows":
            from inficond.core.bench.solver_rows import many_rows

            report["rows"] = many_rows(out)
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
    """Measure one instance: the curve of every solver, and medians at the wanted accuracy."""
    from inficond.core.solver import fit

    out.say()
    out.say(f"{instance.title}, lambda={instance.lam:g}, {instance.link}")
    X, T = instance.make()
    accurate = fit(X, T, instance.lam, link=instance.link, tol=1e-6, max_iter=400, warn=False)
    least = objective(instance, X, T, accurate.weights, accurate.bias)
    curves: dict[str, list[dict[str, float]]] = {}
    found: dict[str, float] = {}
    notes: dict[str, str] = {}
    for name in SOFTMAX if instance.link == "softmax" else LADDER:
        curves[name] = []
        if name in SLOW and instance.name != "a":
            notes[name] = "not run, see (a)"
            continue
        ladder = LADDER[name][1]
        try:
            if name != "ours":  # compile and load before timing
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
        except Exception as error:  # a failing peer is reported in the table
            notes[name] = f"failed: {type(error).__name__}: {error}"[:120]
        best = min((p["suboptimality"] for p in curves[name]), default=float("nan"))
        if name not in found and name not in notes:
            notes[name] = f"not reached: {best:.1e}"
        out.say(f"  {name:8s} " + (f"tolerance {found[name]:g}" if name in found else notes[name]))
    once = {n: next(p["seconds"] for p in curves[n] if p["tol"] == found[n]) for n in found}
    # Solvers far slower than the best other one are timed once.
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
    # Also with a certificate, gap <= 1e-4 of the objective, which no tolerance of a peer guarantees.
    certified = median(_timed("ours", instance, X, T, 1e-4)[0] for _ in range(repeats))
    best_peer = min(peers, key=lambda n: peers[n]) if peers else None
    ratio = peers[best_peer] / medians["ours"] if best_peer and "ours" in medians else None
    for name, seconds in sorted(medians.items(), key=lambda item: item[1]):
        out.say(f"  {name:8s} {seconds * 1e3:10.1f} ms  (of {len(times[name])})")
    out.say(
        f"  ours, certified to {WANTED:g}: {certified * 1e3:.1f} ms; best peer {best_peer}: {ratio or 0:.1f} times as long"  # noqa: E501
    )
    return {
        "title": instance.title, "medians": medians, "runs": {n: len(t) for n, t in times.items()},
        "tolerances": found, "certified": certified, "best_peer": best_peer, "ratio": ratio,
        "curves": curves, "notes": notes, "nec": float(np.count_nonzero(accurate.weights, axis=1).mean()),
        "reference_gap": float((accurate.gap / accurate.objective).max()),
    }  # fmt: skip
