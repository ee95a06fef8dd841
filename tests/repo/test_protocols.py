"""The protocols of the extension points: the built-in parts satisfy them, and the documents name each."""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from PIL import Image

from inficond.core import protocols
from inficond.core.extensions import BENCHMARKS, COMMANDS, extensions, load
from inficond.core.images.sources.folder import Folder
from inficond.core.models import load_encoder
from inficond.core.pipeline.shards import ShardStore
from inficond.core.tables import TableOptions
from inficond.gradio_app.views import all_views

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [getattr(protocols, name) for name in protocols.__all__]


def light(pictures: list[Image.Image], /) -> np.ndarray:
    return np.stack([np.asarray(one.convert("L")).mean() / 255 for one in pictures])[:, None]


TEACHER: protocols.PictureTeacher = light  # checked by pyright


def methods(protocol: Any) -> dict[str, Callable[..., Any]]:
    found = {n: v for n, v in vars(protocol).items() if inspect.isfunction(v) and not n.startswith("__")}
    return found | {"__call__": protocol.__call__} if protocol is protocols.PictureTeacher else found


@pytest.mark.parametrize("protocol", CLASSES, ids=lambda p: p.__name__)
def test_every_protocol_says_what_must_hold(protocol: Any) -> None:
    assert Protocol in protocol.__mro__
    assert len(inspect.getdoc(protocol) or "") > 60
    assert all(method.__doc__ for method in methods(protocol).values())
    properties = [value for value in vars(protocol).values() if isinstance(value, property)]
    assert all(one.__doc__ for one in properties)


def test_the_document_names_every_protocol() -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    named = [p.__name__ for p in CLASSES if p is not protocols.ViewPartDefinition]
    assert [name for name in named if f"`{name}`" not in text] == []


def test_the_built_in_parts_satisfy_their_protocols(tmp_path: Path) -> None:
    assert isinstance(light, protocols.PictureTeacher)
    assert isinstance(load_encoder("embedded", provider="cpu"), protocols.RegionEncoder)
    assert isinstance(ShardStore(tmp_path, "basis"), protocols.Store)
    assert isinstance(Folder(tmp_path, TableOptions()), protocols.ImageSource)
    for group, protocol in ((COMMANDS, protocols.Command), (BENCHMARKS, protocols.Benchmark)):
        modules = [load(point) for point in extensions(group).values()]
        assert len(modules) > 5
        assert all(isinstance(module, protocol) for module in modules)


def test_the_views_satisfy_their_protocol() -> None:
    for view in all_views():
        assert all(hasattr(view, name) for name in ("name", "number", "title", "about", "parts"))
        assert all(hasattr(part, name) for part in view.parts for name in ("name", "depends", "read", "slow"))


def test_a_class_without_a_method_is_not_a_store() -> None:
    class Half:
        def save(self, sources: Any, shard: Any, /) -> None: ...

    assert not isinstance(Half(), protocols.Store)
    assert not isinstance(import_module("json"), protocols.Command)
