"""Models as ONNX files: model folders, sessions, encoders, teachers. Names are imported at first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inficond.core.models.encoder import Encoded, Encoder, load_encoder
    from inficond.core.models.manifest import Manifest, read_manifest
    from inficond.core.models.sessions import GraphSession, open_session
    from inficond.core.models.teacher import Teacher, load_teacher

_MODULE_OF = {
    "Encoded": "encoder",
    "Encoder": "encoder",
    "Manifest": "manifest",
    "GraphSession": "sessions",
    "Teacher": "teacher",
    "load_encoder": "encoder",
    "load_teacher": "teacher",
    "open_session": "sessions",
    "read_manifest": "manifest",
}

__all__ = [
    "Encoded",
    "Encoder",
    "GraphSession",
    "Manifest",
    "Teacher",
    "load_encoder",
    "load_teacher",
    "open_session",
    "read_manifest",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"inficond.core.models.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
