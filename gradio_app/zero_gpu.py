"""Encoding on the GPU of a Hugging Face ZeroGPU Space; elsewhere everything runs on the processor.

Only building a project from uploads uses the GPU. ZeroGPU forks a worker for each call, and the worker
loads its models again. That is worthwhile for hundreds of images, but costs seconds for a single image,
which a processor encodes in a few hundredths of a second. A visitor's own image is therefore encoded on the
processor.
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
ZERO_GPU_VARIABLE = "SPACES_ZERO_GPU"
"""Environment variable that a Space sets if its hardware is ZeroGPU."""
GPU_SECONDS = 110
"""Requested GPU time; enough to encode `new_project.MAX_FILES` images."""


def gpu_function(fn: Callable[..., Any], seconds: int = GPU_SECONDS) -> Callable[..., Any]:
    """Wrap a function in `spaces.GPU` on a ZeroGPU Space; return it unchanged elsewhere.

    Parameters
    ----------
    fn : callable
        Its arguments and result must be picklable, since it runs in a worker process.
    seconds : int
        Maximum GPU time.

    Returns
    -------
    callable
    """
    if not os.environ.get(ZERO_GPU_VARIABLE):
        return fn
    try:
        spaces = importlib.import_module("spaces")
    except ImportError:
        LOG.warning("%s is set but the package `spaces` is not installed: no GPU is used", ZERO_GPU_VARIABLE)
        return fn
    return spaces.GPU(duration=seconds)(fn)  # type: ignore[no-any-return]


def build_folder(options: "BuildOptions") -> str:
    """Build a project in the worker; a progress object cannot cross the fork, a path can."""
    from inficond.core.pipeline.build import build

    return str(build(options))


gpu_build = gpu_function(
    build_folder
)  # at import, because a ZeroGPU Space looks for such functions at its start


def build_project(options: "BuildOptions", progress: Progress) -> Path:
    """Build a project, on a ZeroGPU Space's GPU if one is available and on the processor otherwise.

    Parameters
    ----------
    options : BuildOptions
    progress : Progress
        On a ZeroGPU GPU it reports nothing until the end, and cancels only before and after the build.

    Returns
    -------
    Path
        The project folder.

    Raises
    ------
    InputError, Cancelled
        As `inficond.core.pipeline.build.build`.
    """
    if gpu_build is not build_folder:
        progress.start("encoding on a GPU", 1)
        try:
            folder = Path(gpu_build(options))
            progress.advance()
            return folder
        except (InputError, Cancelled):
            raise
        except Exception as error:
            LOG.warning("no GPU is available (%s): encoding on the processor", error)
            progress.note("no GPU is available: encoding on the processor")
    from inficond.core.pipeline.build import build

    return build(options, progress)
