"""Fits of a softmax with few rows: Newton steps with the exact Hessian on a working set.

With few rows, a pass costs less than the code around it, and BFGS pairs learn the Hessian more slowly than it
is computed. Each step takes the exact Hessian of the coordinates that are in use or violate optimality,
minimizes the quadratic model plus penalty (`kernels.softmax_newton`), and is halved until the objective
decreases. The passes of `newton.solve` certify the result, and continue where it is not accurate enough.
Reference: proximal Newton methods (Lee, Sun and Saunders 2014, *SIAM Journal on Optimization* 24).
"""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.datafits.softmax import Softmax
from inficond.core.solver.design import is_memory_mapped
from inficond.core.solver.kernels.softmax_newton import take_newton_steps
from inficond.core.solver.problem import Problem

Array = NDArray[np.floating]

MIN_CLASSES = 3  # with two, passes are fast, and divide the weight of a word among both classes more evenly
MAX_ROWS = 3000  # with more, the exact Hessian costs more than it saves
MAX_ENTRIES = 1 << 21  # of the standardized rows
MAX_COORDINATES = 256  # of a working set
MAX_PASSES = 30


def applies(problem: Problem) -> bool:
    """Whether Newton steps are faster than the passes of `newton.solve` alone."""
    datafit, design = problem.datafit, problem.datafit.design
    N, K = design.shape
    return (
        isinstance(datafit, Softmax)
        and datafit.width >= MIN_CLASSES
        and N <= MAX_ROWS
        and N * (K + 1) <= MAX_ENTRIES
        and problem.penalty.unpenalized is None
        and not is_memory_mapped(design.X)
    )


def solve(problem: Problem, start: Array, tol: float, max_iter: int) -> tuple[Array, int]:
    """Minimize from weights (1, n); return better weights and the number of passes over the rows.

    Parameters
    ----------
    problem : of a softmax, see `applies`
    start : (1, n)
    tol : relative gap; the steps end when an estimate of the gap is below it
    max_iter : largest number of passes, of which one is left for the certificate
    """
    datafit, penalty = problem.datafit, problem.penalty
    t = datafit.targets
    targets = t.T * ((t.S[0] if len(t.S) else np.ones(1)) / t.total[0])
    columns, rows = datafit.design.standardized
    w = penalty.project(start)[0]
    passes = take_newton_steps(
        rows, columns, targets, targets.sum(axis=0), w, penalty.lam[0], penalty.lower[0], penalty.upper[0],
        float(problem.entropy(1)[0]), tol, min(MAX_PASSES, max_iter - 1), MAX_COORDINATES,
    )  # fmt: skip
    return penalty.project(w[None]), int(passes)
