"""Garbage collection in the process of a command.

Libraries create some hundred thousand objects that live as long as the process. With Python's thresholds,
collections take a tenth of the time of `inficond distill` with images that are encoded already: while the
libraries are loaded, while the project is built, and at the end of the process.
"""

import atexit
import gc

DEFAULT = gc.get_threshold()
"""Thresholds with which the process began."""
YOUNG = 10_000
"""New objects after which the youngest generation is collected."""


def collect_rarely() -> None:
    """Collect after more new objects than by default, and nothing at the end of the process."""
    gc.set_threshold(YOUNG, *DEFAULT[1:])
    atexit.register(gc.freeze)


def exclude_loaded() -> None:
    """Exclude all present objects from the collections of a server, which are as frequent as usual again."""
    gc.freeze()
    gc.set_threshold(*DEFAULT)
