"""Fields of a request of the page, checked for their type."""

from collections.abc import Mapping
from typing import Any

from inficond.core.errors import InputError

Request = Mapping[str, Any]
Payload = dict[str, Any]
"""The response to a request."""
MAX_ACTIONS = 200


def token_field(request: Request) -> str | None:
    """Return the token of the visit, or None if the request has none."""
    token = request.get("token")
    return token if isinstance(token, str) else None


def text_field(request: Request, name: str) -> str:
    """Return a text.

    Raises
    ------
    InputError
        The field is missing, empty or not a text.
    """
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"the request needs the text field {name!r}")
    return value


def integer_field(request: Request, name: str) -> int:
    """Return an integer.

    Raises
    ------
    InputError
        The field is missing or not an integer.
    """
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"the request needs the integer field {name!r}")
    return value


def action_list(request: Request) -> list[Any]:
    """Return the actions, which are parsed by the session.

    Raises
    ------
    InputError
        The field is not a list, is empty, or has more than `MAX_ACTIONS` entries.
    """
    requested = request.get("actions")
    if not isinstance(requested, list) or not 0 < len(requested) <= MAX_ACTIONS:
        raise InputError(f"the request needs a list of 1 to {MAX_ACTIONS} actions")
    return requested
