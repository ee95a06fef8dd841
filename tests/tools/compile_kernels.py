"""Compile the solver in two processes at once: `python -m tests.tools.compile_kernels`.

Each worker of a test run would compile everything again, at the same time as the others.
"""

import subprocess
import sys

WITHOUT_PACKAGE = """
import importlib.util, sys, types
spec = importlib.util.find_spec("inficond.core.solver")
package = sys.modules[spec.name] = types.ModuleType(spec.name)
package.__path__ = list(spec.submodule_search_locations)
"""
"""Makes the kernels importable one by one; the package itself imports all of them."""
FIRST = """
import inficond.core.solver.kernels.class_step
print(flush=True)
import inficond.core.solver.kernels.joint_step
"""
SECOND = """
from inficond.core.solver.kernels import class_sweeps, fenchel_young, fused_passes, losses, moments
input()  # until the kernel of class_step is cached, which column_passes imports
import inficond.core.solver.kernels.column_passes
"""


def compile_kernels() -> None:
    """Fill Numba's cache; at once if it is filled. What fails is compiled by the tests themselves."""
    first = subprocess.Popen([sys.executable, "-c", WITHOUT_PACKAGE + FIRST], stdout=subprocess.PIPE)
    second = subprocess.Popen([sys.executable, "-c", WITHOUT_PACKAGE + SECOND], stdin=first.stdout)
    assert first.stdout is not None
    first.stdout.close()
    first.wait()
    second.wait()


if __name__ == "__main__":
    compile_kernels()
