"""The routes of `inficond serve` with their limits."""

from dataclasses import dataclass

from inficond.core.serving.limits import BODY_SECONDS, MAX_BODY


@dataclass(frozen=True)
class ServeRoute:
    """A route of a served student.

    Parameters
    ----------
    method, path : str
    purpose : str
        What a client can do with the route.
    max_body : int
        Bytes of the request body; 0 for none.
    body_seconds : float
        Seconds in which the body must arrive.
    """

    method: str
    path: str
    purpose: str
    max_body: int = 0
    body_seconds: float = 0.0


SERVE_ROUTES = (
    ServeRoute("GET", "/", "read the description of the student"),
    ServeRoute("GET", "/health", "check whether pictures are answered"),
    ServeRoute("POST", "/predict", "classify one picture", MAX_BODY, BODY_SECONDS),
)
"""Every route of `inficond serve`."""
