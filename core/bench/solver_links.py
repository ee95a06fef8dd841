"""Fits of very many classes with both links: the time of a softmax relative to that of a sigmoid.

At one λ, a softmax of C classes uses far fewer concepts than the sigmoids: the probability of a class is
about 1/C, and so is its gradient. A further softmax therefore has a smaller λ, at which its classes use
several concepts each. It takes far longer and is fitted once.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from inficond.core.bench.processor import processor_time
from inficond.core.bench.recorded import commit_of
from inficond.core.bench.solver_data import Array, Instance
from inficond.core.solver import fit
from inficond.core.solver.problem import FLOOR

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

INSTANCE = Instance("links", "N=10,000 K=584 C=1,000", 10_000, 584, 1_000, 2.5e-3)
SMALLER = 5e-4
"""λ of the further softmax."""
TOL = 1e-4
"""Certified gap, relative to the objective of each class (softmax: of all classes together)."""
TABLE = "bench solver links"
"""Name of the markers around the table in a document."""


def both_links(repeats: int, out: "Output") -> dict[str, Any]:
    """Time fits with both links in turn, on one thread; print and return the medians.

    Parameters
    ----------
    repeats : int
        Fits with each link at the same λ.
    out : Output

    Returns
    -------
    dict
        ``title``, ``repeats``, ``date``, ``commit``, ``ratio`` and ``wall_ratio`` (softmax over sigmoid at
        the same λ), and the fits ``sigmoid``, ``softmax`` and ``smaller``: each with ``lam``, ``seconds``
        (processor time), ``wall``, ``passes``, ``nec``, ``gap`` (the largest, relative) and ``certified``
        (whether each gap is at most `TOL`).
    """
    commit = commit_of()
    data = {link: replace(INSTANCE, link=link).make() for link in ("sigmoid", "softmax")}
    runs: dict[str, list[dict[str, Any]]] = {"sigmoid": [], "softmax": [], "smaller": []}
    with threadpool_limits(1):
        for _ in range(repeats):
            for link, (X, T) in data.items():
                runs[link].append(_timed(X, T, link, INSTANCE.lam))
        runs["smaller"].append(_timed(*data["softmax"], "softmax", SMALLER))
    found: dict[str, Any] = {
        "title": INSTANCE.title, "repeats": repeats, "date": date.today().isoformat(), "commit": commit,
    }  # fmt: skip
    for name, of_fit in runs.items():
        middle = {key: median(run[key] for run in of_fit) for key in ("seconds", "wall")}
        found[name] = of_fit[-1] | middle
    found["ratio"] = found["softmax"]["seconds"] / found["sigmoid"]["seconds"]
    found["wall_ratio"] = found["softmax"]["wall"] / found["sigmoid"]["wall"]
    for line in table_of(found):
        out.say(line)
    return found


def _timed(X: Array, T: Array, link: str, lam: float) -> dict[str, Any]:
    """Fit once; return the times and properties of the fit."""

    def work() -> tuple[float, Any]:
        start = time.perf_counter()
        result = fit(X, T, lam, link=link, tol=TOL, n_threads=1, warn=False)
        return time.perf_counter() - start, result

    seconds, (wall, result) = processor_time(work)
    return {
        "lam": lam,
        "seconds": seconds,
        "wall": wall,
        "passes": int(result.n_iter.max()),
        "nec": float((result.weights != 0).sum(axis=1).mean()),
        "gap": float((result.gap / np.maximum(result.objective, FLOOR)).max()),
        "certified": bool(result.converged.all()),
    }


def table_of(measured: Mapping[str, Any]) -> list[str]:
    """Return the lines of the Markdown table of a result of `both_links`."""
    lines = [
        f"| {measured['title']} | λ | processor time | wall time | passes | NEC | largest gap |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, link in {"sigmoid": "sigmoid", "softmax": "softmax", "smaller": "softmax"}.items():
        one = measured[name]
        times = " | ".join(f"{one[key]:.2f} s" for key in ("seconds", "wall"))
        gap = f"{one['gap']:.1e}" + ("" if one["certified"] else ", not certified")
        lines.append(f"| {link} | {one['lam']:g} | {times} | {one['passes']} | {one['nec']:.1f} | {gap} |")
    commit = measured["commit"]
    return [
        *lines,
        "",
        f"At the same λ, the softmax takes {measured['ratio']:.2f} times the sigmoid's processor time "
        f"({measured['wall_ratio']:.2f} times its wall time). One thread, medians of "
        f"{measured['repeats']} fits with each link in turn, one fit with the smaller λ. "
        f"{measured['date']}, commit `{commit[:10]}`{commit[40:]}.",
    ]
