"""Compile the kernels in two processes at once: `python -m tests.tools.compile_kernels`.

Each worker of a test run would compile everything again, at the same time as the others.
"""

import subprocess
import sys

HALF = ("joint_step", "fused_passes")
"""Modules of the solver's kernels that take as long as all others together."""
OTHERS = {"first": "concepts.kernels", "second": "evaluation.metric_kernels evaluation.slice_kernels"}
"""Modules of other kernels, by the process that compiles them."""
SHARE = """
import importlib.util, pathlib, sys, types
spec = importlib.util.find_spec("inficond.core.solver")
package = sys.modules[spec.name] = types.ModuleType(spec.name)  # the package itself imports every kernel
package.__path__ = list(spec.submodule_search_locations)
from inficond.core.solver.kernels import compilation

half, first, is_cached = sys.argv[1].split(), sys.argv[2] == "first", compilation.is_cached


def needs_nothing(kernel, signatures):
    mine = (kernel.py_func.__module__.rpartition(".")[2] in half) == first
    return not mine or is_cached(kernel, signatures)


compilation.is_cached = needs_nothing
for file in pathlib.Path(compilation.__file__).parent.glob("[!_]*.py"):
    importlib.import_module(f"inficond.core.solver.kernels.{file.stem}")
for module in sys.argv[3].split():
    importlib.import_module(f"inficond.core.{module}")
"""


def compile_kernels() -> None:
    """Fill Numba's cache; at once if it is filled. What fails is compiled by the tests themselves."""
    command = [sys.executable, "-c", SHARE, " ".join(HALF)]
    for process in [subprocess.Popen([*command, which, more]) for which, more in OTHERS.items()]:
        process.wait()


if __name__ == "__main__":
    compile_kernels()
