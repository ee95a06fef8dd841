"""Encoding on the GPU that a Hugging Face Space lends (ZeroGPU); nothing changes where none is lent.

Only making a project from uploads uses it. A GPU is handed to a forked worker for one call, so each call
opens its models anew: that pays for hundreds of images, and costs seconds for a single one, which a processor
encodes in a few hundredths of a second. A visitor's own image is therefore never sent there.
"""

import importlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.errors import Cancelled, InputError
from inficond.core.progress import Progress

if TYPE_CHECKING:
    from inficond.core.pipeline.build import BuildOptions

LOG = logging.getLogger("inficond.page")
LENT = "SPACES_ZERO_GPU"
"""Set by a Space whose hardware is ZeroGPU."""
SECONDS = 110
"""Asked for: enough to encode `deeds.MOST_FILES` images."""


def lent(fn: Callable[..., Any], seconds: int = SECONDS) -> Callable[..., Any]:
    """`spaces.GPU(fn)` where a Space lends GPUs and the `spaces` package is there, else `fn` itself.

    Parameters
    ----------
    fn : callable
        Arguments and result must be picklable: it runs in a worker.
    seconds : int
        Of GPU time, at most.

    Returns
    -------
    callable
    """
    if not os.environ.get(LENT):
        return fn
    try:
        spaces = importlib.import_module("spaces")
    except ImportError:
        LOG.warning("%s is set, but the package `spaces` is not installed: no GPU is used", LENT)
        return fn
    return spaces.GPU(duration=seconds)(fn)  # type: ignore[no-any-return]


def _build(options: "BuildOptions") -> str:
    """In the worker: a progress does not cross the fork, a path does."""
    from inficond.core.pipeline.build import build

    return str(build(options))


_lent_build = lent(_build)  # at import: a ZeroGPU Space looks for such functions when it starts


def build_project(options: "BuildOptions", progress: Progress) -> Path:
    """Make a project, on a lent GPU where there is one.

    Where no GPU could be had (none free, quota spent), the work is done here instead.

    Parameters
    ----------
    options : BuildOptions
    progress : Progress
        On a lent GPU it tells nothing until the end; the build can be cancelled before and after.

    Returns
    -------
    Path
        The project folder.

    Raises
    ------
    InputError, Cancelled
        As `inficond.core.pipeline.build.build`.
    """
    if _lent_build is not _build:
        progress.start("encoding on a GPU", 1)
        try:
            made = Path(_lent_build(options))
            progress.advance()
            return made
        except (InputError, Cancelled):
            raise
        except Exception as error:
            LOG.warning("no GPU was lent (%s): encoding on the processor", error)
            progress.note("no GPU was free: encoding on the processor")
    from inficond.core.pipeline.build import build

    return build(options, progress)
