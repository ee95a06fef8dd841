"""Record of one request in a load test and of its response."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Exchange:
    """One request that a visitor waited for, and the response.

    Parameters
    ----------
    kind : str
        What the visitor waited for: ``class switch``, ``preview``, ``apply``, ….
    began : float
        Seconds from the start of the load test to the request.
    seconds : float
        Duration until the whole response was read.
    problem : str
        Empty if the response was as expected.
    name : str
        Name of the remote procedure.
    request, facts : dict
        Content of request and response, for the comparison with a reference.
    """

    kind: str
    began: float
    seconds: float
    problem: str = ""
    name: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
