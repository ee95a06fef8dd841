"""Inner solvers: minimize the quadratic model of the loss plus the penalty."""

from inficond.core.solver.subproblems.base import Subproblem
from inficond.core.solver.subproblems.joint import JointSubproblem
from inficond.core.solver.subproblems.per_class import PerClassSubproblem

__all__ = ["JointSubproblem", "PerClassSubproblem", "Subproblem"]
