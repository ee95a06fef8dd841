"""Concept students fitted fast and certified: arrays in, arrays out; knows no concept and no image."""

from inficond.core.solver.api import NotConverged, fit
from inficond.core.solver.path import lambda_for_nec, lambda_max, path
from inficond.core.solver.refit import Preview, preview, quick, sensitivities
from inficond.core.solver.result import FitResult
from inficond.core.solver.warmup import warm_up

__all__ = [
    "FitResult",
    "NotConverged",
    "Preview",
    "fit",
    "lambda_for_nec",
    "lambda_max",
    "path",
    "preview",
    "quick",
    "sensitivities",
    "warm_up",
]
