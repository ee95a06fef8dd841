"""Datafits: the losses of the two links."""

from inficond.core.solver.datafits.base import Datafit, Evaluation
from inficond.core.solver.datafits.sigmoid import Sigmoid
from inficond.core.solver.datafits.softmax import Softmax

DATAFITS: dict[str, type[Datafit]] = {datafit.name: datafit for datafit in (Sigmoid, Softmax)}

__all__ = ["DATAFITS", "Datafit", "Evaluation", "Sigmoid", "Softmax"]
