"""Addresses of images as they are stored and shown."""

import re

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.\-]*(?:::[A-Za-z][\w+.\-]*)*://)(?P<rest>[^?#]*)(?P<query>.*)", re.S
)


def without_credentials(address: str) -> str:
    """Return a URL without user, password, query and fragment; other addresses stay as they are.

    Keys and signatures in an address must not be stored in a project, which others read.

    Examples
    --------
    >>> from inficond.core.images.sources.addresses import without_credentials
    >>> without_credentials("https://ann:secret@host/photos/?signature=abc")
    'https://host/photos/'
    >>> without_credentials("photos/2024")
    'photos/2024'
    """
    found = _URL.fullmatch(address)
    if found is None:
        return address
    host, slash, path = found["rest"].partition("/")
    return f"{found['scheme']}{host.rpartition('@')[2]}{slash}{path}"


def without_credentials_in(text: str) -> str:
    """Return a message with each URL as `without_credentials` returns it."""
    return re.sub(r"[A-Za-z][\w+.\-]*://[^\s'\"]+", lambda found: without_credentials(found[0]), text)
