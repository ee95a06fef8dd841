"""A request of a visitor in a load test, and its answer."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Exchange:
    """One request that a visitor waited for, and its answer.

    Parameters
    ----------
    kind : str
        What the visitor waited for: ``class switch``, ``preview``, ``apply``, ….
    began, seconds : float
        Since the load began; until the whole answer was read.
    problem : str
        Empty if the answer was as expected: an answer, or the refusal that was due.
    name : str
        The function of the page.
    request, facts : dict
        Content of request and answer, for the comparison with a reference.
    """

    kind: str
    began: float
    seconds: float
    problem: str = ""
    name: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
