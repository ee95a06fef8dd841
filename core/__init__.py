"""The engine of InFiConD, without the page and without torch: images, concepts, students, tuning, history.

Names are imported at first use, so that importing this package is cheap.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from inficond.core.version import __version__

if TYPE_CHECKING:
    from inficond.core.errors import InputError
    from inficond.core.facade import Project, distill

# Usage reporting of dependencies is off; `core.models.runtime` does the same for ONNX Runtime.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}

__all__ = ["InputError", "Project", "__version__", "distill"]

_MODULE_OF = {
    "InputError": "inficond.core.errors",
    "Project": "inficond.core.facade",
    "distill": "inficond.core.facade",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
