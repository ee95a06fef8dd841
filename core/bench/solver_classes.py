"""Fit of very many classes: all of them at once, and some of them by another solver."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.bench.processor import processor_time
from inficond.core.bench.solver_data import Instance, objective
from inficond.core.bench.solver_peers import lbfgs
from inficond.core.solver import fit

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

INSTANCE = Instance("classes", "N=50,000 K=2,000 C=1,000", 50_000, 2_000, 1_000, 2.5e-3)
PART = 5
"""Classes that the other solver fits; its time for all is extrapolated, since classes are separate."""
TOLERANCES = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
WANTED = 1e-4
"""Relative distance from the optimum at which the other solver stops."""


def many_classes(out: "Output") -> dict[str, Any]:
    """Time one fit of all classes, then the other solver on some of them; print and return the results."""
    X, T = INSTANCE.make()
    ours, result = processor_time(lambda: fit(X, T, lam=INSTANCE.lam))
    certified = int(result.converged.sum())
    out.say(f"{INSTANCE.title}: {ours:.1f} s of processor time, {certified:,} classes certified to 1e-4")
    some, best = replace(INSTANCE, C=PART), (result.objective - result.gap)[:PART]
    seconds, off = float("nan"), float("inf")
    for tol in TOLERANCES:
        seconds, (weights, bias) = processor_time(partial(lbfgs, some, X, T[:, :PART], tol))
        reached = objective(some, X, T[:, :PART], np.asarray(weights), np.asarray(bias))
        off = float(((reached - best) / best).max())
        if off <= WANTED:
            break
    whole = seconds * INSTANCE.C / PART
    out.say(
        f"lbfgs: {seconds:.1f} s for {PART} classes, {off:.1e} from the optimum; extrapolated {whole:,.0f} s"
    )
    out.say(f"{whole / ours:.1f} times as long")
    return {
        "seconds": ours,
        "certified": certified,
        "lbfgs": {"classes": PART, "seconds": seconds, "suboptimality": off, "extrapolated": whole},
        "ratio": whole / ours,
    }
