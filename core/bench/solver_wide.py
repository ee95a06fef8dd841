"""Fit with very many columns: the working set of columns against all columns at once."""

from statistics import median
from typing import TYPE_CHECKING, Any

from inficond.core.bench.processor import processor_time
from inficond.core.bench.solver_data import Instance
from inficond.core.solver import fit, wide

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

INSTANCE = Instance("wide", "N=10,000 K=20,000 C=20", 10_000, 20_000, 20, 2.5e-3)


def working_set(repeats: int, out: "Output") -> dict[str, Any]:
    """Time one fit both ways in turn; print and return medians of processor time and the objectives.

    Parameters
    ----------
    repeats : int
        Runs with the working set; the far slower fit with all columns runs once for every three of them.
    out : Output
    """
    X, T = INSTANCE.make()
    found: dict[str, list[float]] = {"working set": [], "all columns": []}
    objectives: dict[str, float] = {}

    def run(name: str, columns: int) -> None:
        kept, wide.WIDE = wide.WIDE, columns
        try:
            seconds, result = processor_time(lambda: fit(X, T, lam=INSTANCE.lam))
            found[name].append(seconds)
            objectives[name] = float(result.objective.sum())
        finally:
            wide.WIDE = kept

    for turn in range(repeats):
        run("working set", wide.WIDE)
        if turn % 3 == 0:
            run("all columns", INSTANCE.K)
    seconds = {name: median(times) for name, times in found.items()}
    ratio = seconds["all columns"] / seconds["working set"]
    for name, value in seconds.items():
        out.say(f"{INSTANCE.title}, {name}: {value:.2f} s, objective {objectives[name]:.6f}")
    out.say(f"the working set is {ratio:.1f} times as fast")
    return {"seconds": seconds, "objectives": objectives, "ratio": ratio}
