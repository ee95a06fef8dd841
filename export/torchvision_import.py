"""Import of torchvision beside a torch release that its compiled operators were not built for.

torchvision registers implementations of its operators when it is imported, and fails if its compiled library
did not load: "operator torchvision::nms does not exist". Image classifiers and transforms use none of these
operators, so declaring them is enough.
"""

import importlib.util
import re
import sys
from typing import Any

from inficond.core.errors import InputError

_DECLARED: list[Any] = []
"""Operator libraries; torch removes the operators of a library that is no longer referenced."""
_LIMIT = 20


def import_torchvision(needed_by: str | None = None) -> None:
    """Import torchvision, where it is installed, so that later imports of it succeed.

    Parameters
    ----------
    needed_by : str, optional
        What cannot work without it; None where it is optional.

    Raises
    ------
    InputError
        It is needed but not installed, or does not work with this release of torch.
    """
    import torch

    if importlib.util.find_spec("torchvision") is None:
        if needed_by:
            raise InputError(
                f"{needed_by} needs torchvision, which is not installed: pip install torchvision"
            )
        return
    for _ in range(_LIMIT):
        try:
            import torchvision  # noqa: F401  # pyright: ignore[reportMissingImports]

            return
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            if missing is None:
                break
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(f"{missing[1]}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            _DECLARED.append(library)
        except ImportError:
            break
    if needed_by:
        from importlib.metadata import version

        raise InputError(
            f"{needed_by} needs torchvision, and torchvision {version('torchvision')} does not work with "
            "torch "
            f"{torch.__version__}: install releases of both that belong together"
        )
