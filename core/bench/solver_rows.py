"""Fit of very many rows: processor time, and memory beside the rows and the targets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.bench.processor import processor_time
from inficond.core.bench.scale import exponents, in_process
from inficond.core.bench.solver_data import Array

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SIZES = (200_000, 1_000_000)
K, C, LAM = 584, 20, 2.5e-3
BLOCK = 8192
"""Rows generated at a time."""
CHOSEN = 25
"""Columns that the targets of a class depend on."""


def many_rows(out: "Output") -> dict[str, Any]:
    """Fit each of `SIZES` in a process of its own; print and return time, memory and the growth exponent."""
    sizes = [in_process(fit_rows, n) for n in SIZES]
    for one in sizes:
        out.say(
            f"N={one['rows']:,} K={K} C={C}: {one['seconds']:.2f} s of processor time, "
            f"{one['certified']} classes certified to 1e-4, "
            f"{one['memory'] / 1e6:,.0f} MB beside the rows and targets ({one['of_rows']:.3f} of the rows)"
        )
    growth = exponents([one["rows"] for one in sizes], [one["seconds"] for one in sizes])[1]
    out.say(f"exponent {growth:.2f}")
    return {"sizes": sizes, "exponent": growth}


def fit_rows(n: int) -> dict[str, Any]:
    """Fit n generated rows with every thread; return ``seconds``, ``memory`` and what they belong to.

    Memory is the peak of the process during the fit minus what was resident before it, in bytes; ``of_rows``
    is its ratio to the bytes of the rows.
    """
    from inficond.core.solver import fit, warm_up

    warm_up()
    X, T = make_rows(n)
    before = _memory("VmRSS")
    seconds, result = processor_time(lambda: fit(X, T, lam=LAM, warn=False))
    memory = _memory("VmHWM") - before
    return {
        "rows": n,
        "seconds": seconds,
        "passes": int(result.n_iter.max()),
        "certified": int(result.converged.sum()),
        "memory": memory,
        "of_rows": memory / X.nbytes,
    }


def make_rows(n: int) -> tuple[Array, Array]:
    """Generate X (n, K) and T (n, C) like those of `Instance.make`, in blocks of rows."""
    rng = np.random.default_rng(0)
    rank = 40
    loads = rng.standard_normal((rank, K), np.float32) * np.float32(0.6 / np.sqrt(rank))
    weights = np.zeros((C, K), np.float32)
    for of_class in weights:
        of_class[rng.choice(K, CHOSEN, replace=False)] = rng.normal(size=CHOSEN) * 0.8
    rates = rng.uniform(0.02, 0.10, C)
    X, T = np.empty((n, K), np.float32), np.empty((n, C), np.float32)
    mean = scale = shift = np.zeros(0, np.float32)
    for start in range(0, n, BLOCK):
        block = X[start : start + BLOCK]
        rng.standard_normal(block.shape, np.float32, out=block)
        block *= 0.5
        block += rng.standard_normal((len(block), rank), np.float32) @ loads
        block *= 0.045
        block += 0.18
        np.maximum(block, 0, out=block)
        if start == 0:
            mean, scale = block.mean(0), block.std(0)
        logits = (block - mean) / scale @ weights.T + rng.standard_normal((len(block), C), np.float32)
        if start == 0:
            shift = np.array(
                [np.quantile(logits[:, c], 1 - rate) for c, rate in enumerate(rates)], np.float32
            )
        T[start : start + BLOCK] = 1 / (1 + np.exp(-1.5 * (logits - shift)))
    return X, T


def _memory(field: str) -> int:
    """Return the bytes of a field of `/proc/self/status`; elsewhere the peak of this process."""
    from inficond.core.models.hardware import peak_memory

    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
    except OSError:
        return peak_memory() or 0
