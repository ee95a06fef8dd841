"""Fit of very many rows by this version and by another installed version, on the same rows.

Each version runs in a process of its own, one after the other: the machine holds one copy of the rows.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.bench.solver_rows import LAM, make_rows
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

ROWS, REPEATS = 1_000_000, 3
VERSIONS = ("this version", "the other version")
PROGRAM = """
import json, sys, time
import numpy as np
from inficond.core.solver import fit, warm_up

def memory(field):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])

folder, lam, repeats = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
warm_up()
X, T = np.load(folder + "/X.npy"), np.load(folder + "/T.npy")
before, peak, seconds = memory("VmRSS"), 0, []
for _ in range(repeats):
    time.sleep(0.5)  # threads of the BLAS spin for a while
    start = time.process_time()
    result = fit(X, T, lam=lam, warn=False)
    seconds.append(time.process_time() - start)
    peak = peak or memory("VmHWM")  # of the first: later ones hold the result of the one before, too
print(json.dumps({
    "seconds": seconds, "certified": int(result.converged.sum()), "passes": int(result.n_iter.max()),
    "memory": peak - before, "of_rows": (peak - before) / X.nbytes,
}))
"""
"""Imports nothing but the interface of the solver, which older versions have too."""


def compare(
    interpreter: Path, out: "Output", rows: int = ROWS, repeats: int = REPEATS
) -> dict[str, dict[str, Any]]:
    """Time the fit of generated rows in both versions; print and return time and memory.

    Parameters
    ----------
    interpreter : Path
        Python of an environment in which the other version is installed.
    out : Output
        Where the results are printed.
    rows : int
        Number of rows.
    repeats : int
        Runs per version; the median counts.

    Returns
    -------
    dict
        Of each of `VERSIONS`: ``seconds`` of each run (processor time), ``certified`` classes, ``passes``,
        ``memory`` beside rows and targets in bytes, and ``of_rows``, its ratio to the bytes of the rows.

    Raises
    ------
    InputError
        A version cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="inficond-bench-") as folder:
        X, T = make_rows(rows)
        np.save(Path(folder) / "X.npy", X)
        np.save(Path(folder) / "T.npy", T)
        del X, T
        found = {
            name: _timed(python, folder, repeats)
            for name, python in zip(VERSIONS, (Path(sys.executable), interpreter))
        }
    for name, one in found.items():
        out.say(
            f"{name}: {np.median(one['seconds']):.2f} s of processor time (median of {repeats}), "
            f"{one['certified']} classes certified to 1e-4, "
            f"{one['memory'] / 1e6:,.0f} MB beside the rows and targets ({one['of_rows']:.3f} of the rows)"
        )
    ours, theirs = (float(np.median(found[name]["seconds"])) for name in VERSIONS)
    out.say(f"ratio {ours / theirs:.2f}")
    return found


def _timed(python: Path, folder: str, repeats: int) -> dict[str, Any]:
    command = [str(python), "-c", PROGRAM, folder, str(LAM), str(repeats)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"--against {python}: not an interpreter of Python ({error.strerror})") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(f"--against {python}: the fit failed: {lines[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
