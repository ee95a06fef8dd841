"""Concept students fitted fast and certified: arrays in, arrays out; knows no concept and no image."""

from inficond.core.solver.api import NotConverged, fit
from inficond.core.solver.result import FitResult

__all__ = ["FitResult", "NotConverged", "fit"]
