"""A fit whose rows three actors hold, of which one is killed between two passes; prints what was found."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tests.cluster.ray_runs import descendants, listening

from inficond.cluster import distributed_fit
from inficond.cluster.row_actor import ArrayRows
from inficond.core.solver import fit

N, K, C, BLOCKS = 40_000, 30, 3, 3
KILLED_BEFORE = 5
"""Calls of all blocks after which an actor is killed."""


class KillingBlocks(distributed_fit.RayBlocks):
    """Blocks of which one loses its process."""

    calls = 0
    killed = 0
    heard: list[str] = []  # noqa: RUF012  # one object for the whole run

    def call(self, method: str, arguments: Any) -> list[Any]:
        """Kill an actor once, then call."""
        type(self).calls += 1
        if self.calls == KILLED_BEFORE:
            actors = [pid for pid, line in descendants(os.getpid()) if line.startswith("ray::RowActor")]
            os.kill(actors[1], signal.SIGKILL)
            type(self).killed += 1
            self.heard.extend(listening(os.getpid()))
        return super().call(method, arguments)


def main(folder: Path) -> None:
    """Fit both ways and compare."""
    rng = np.random.default_rng(2)
    X = np.maximum(rng.normal(size=(N, 5)) @ rng.normal(size=(5, K)) + rng.normal(size=(N, K)), 0)
    T = 1 / (1 + np.exp(2 - X[:, :C] + X[:, C : 2 * C]))
    X, T = X.astype(np.float32), T.astype(np.float32)
    np.save(folder / "X.npy", X)
    np.save(folder / "T.npy", T)
    edges = np.linspace(0, N, BLOCKS + 1).astype(int).tolist()
    names = str(folder / "X.npy"), str(folder / "T.npy")
    sources = [ArrayRows(*names, *edge) for edge in zip(edges, edges[1:], strict=False)]  # noqa: RUF007
    distributed_fit.RayBlocks = KillingBlocks  # type: ignore[misc]
    found = distributed_fit.fit_on_ray(sources, lam=3e-3)
    whole = fit(X, T, lam=3e-3)
    refused = ""
    try:
        distributed_fit.fit_on_ray([*sources[:-1], ArrayRows(names[0], str(folder / "none.npy"), 0, 9)])
    except ValueError as error:
        refused = str(error)
    told = {
        "converged": bool(found.converged.all()),
        "gap": float((found.gap / found.objective).max()),
        "objective": float(np.abs(found.objective / whole.objective - 1).max()),
        "weights": float(np.abs(found.weights - whole.weights).max() / np.abs(whole.weights).max()),
        "killed": KillingBlocks.killed,
        "calls": KillingBlocks.calls,
        "listening": KillingBlocks.heard,
        "refused": refused,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
