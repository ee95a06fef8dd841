"""Messages for visitors about exceptions: one line each, and a log entry for a fault of the program."""

import errno
import logging

from inficond.core.errors import Cancelled, InputError

LOG = logging.getLogger("inficond.page")
INTERNAL_ERROR = "Internal error. It was logged. Your work is kept: try again."
OUT_OF_MEMORY = "The server is out of memory. Your work is kept: try again in a moment."
DISK_FULL = "The server has no disk space left. Your work is kept: try again later."
_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # the disk or the user's quota is full


def error_line(error: BaseException, what: str) -> str:
    """Return the message of an exception for the visitor; log it if it is a fault of the program."""
    if isinstance(error, InputError | Cancelled):
        return str(error)
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        LOG.error("%s failed: no disk space left", what)
        return DISK_FULL
    LOG.error("%s failed", what, exc_info=error)
    return INTERNAL_ERROR
