"""Plans and shards of strangers run no code, name no other machine, and take no memory beyond their size."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import tiny_models

from inficond.core.errors import InputError
from inficond.core.images import ImageRecord
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.plan import plan_encoding, read_plan
from inficond.core.pipeline.shards import Shard, ShardStore, SourceFile


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of twelve photographs."""
    root = tmp_path_factory.mktemp("planned")
    options = BuildOptions(
        images=tiny_models.write_photos(root / "photos", 12),
        out=root / "out",
        encoder=tiny_models.write_encoder(root / "encoder"),
        teacher=tiny_models.write_teacher(root / "teacher"),
        provider="cpu",
    )
    plan_encoding(options).save(root / "a.plan")
    return root / "a.plan"


def changed(plan: Path, folder: Path, **options: Any) -> Path:
    """Write a plan with other options."""
    content = json.loads(plan.read_text())
    content["options"] |= options
    (folder / "b.plan").write_text(json.dumps(content))
    return folder / "b.plan"


def test_a_plan_runs_no_python_code(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile_teacher.py").write_text("def answer(pictures): return [[0.5]] * len(pictures)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="which a plan cannot hold"):
        read_plan(changed(plan, tmp_path, teacher="hostile_teacher:answer"))
    assert "hostile_teacher" not in sys.modules


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("images", "https://collector.example/photos/", "--network"),
        ("images", "hf:stranger/pictures", "--network"),
        ("encoder", "stranger/encoder", "not on this machine"),
        ("teacher", "stranger/teacher", "not on this machine"),
        ("teacher", "torchvision/resnet50", "not on this machine|cannot hold"),
    ],
)
def test_a_plan_names_no_other_machine(
    option: str, value: str, message: str, plan: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_plan(changed(plan, tmp_path, **{option: value}))


def test_a_plan_names_no_code_of_an_extension(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed source of images may use the network; its addresses do not look like URLs."""
    info = tmp_path / "site" / "bucket-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bucket\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[inficond.sources]\nbucket = bucket:open\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(InputError, match="--network"):
        read_plan(changed(plan, tmp_path, images="bucket:stranger/photos"))


@pytest.mark.parametrize(
    "options",
    [
        {"out": 5}, {"seed": "x"}, {"classes": 3}, {"concepts": 5}, {"images": [1]}, {"name": {}},
        {"teacher": []}, {"lam": "a"}, {"tables": {"separator": 3}}, {"temperature": None}, {"link": []},
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused(options: dict[str, Any], plan: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plan"):
        read_plan(changed(plan, tmp_path, **options))


def sources_of(folder: Path) -> list[SourceFile]:
    """Return two images."""
    return [SourceFile.of(ImageRecord(f"{i}.jpg", folder / f"{i}.jpg")) for i in range(2)]


def stored(folder: Path, **changes: Any) -> ShardStore:
    """Save a shard of two images, with some of its arrays replaced."""
    store, n = ShardStore(folder, "models"), 2
    shard = Shard(
        ids=["0.jpg", "1.jpg"],
        sizes=np.full((n, 2), 32, np.int32),
        regions=np.zeros((n, 4, 8), np.float16),
        assignment=np.zeros((n, 16), np.uint8),
        responses=np.zeros((n, 3), np.float32),
        thumbnails=[b"\xff\xd8\xff"] * n,
    )
    path = store.path(sources_of(folder))
    store.save(sources_of(folder), shard)
    if changes:
        with np.load(path) as data:
            arrays = {**data, **changes}
        np.savez(path, **arrays)
    return ShardStore(folder, "models")  # of another run: the first one keeps the shard in memory


def test_an_intact_shard_is_read(tmp_path: Path) -> None:
    assert stored(tmp_path).load(sources_of(tmp_path)).ids == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize(
    "changes",
    [
        {"regions": np.full((2, 4, 8), np.nan, np.float16)},
        {"responses": np.full((2, 3), np.inf, np.float32)},
        {"thumbnail_ends": np.array([-1, 6])},
        {"sizes": np.full((2, 2), -5, np.int32)},
        {"sizes": np.full((2, 2), np.nan)},
    ],
    ids=["nan", "infinite", "negative end", "negative size", "sizes that are not whole"],
)
def test_impossible_values_of_a_shard_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    store = stored(tmp_path, **changes)
    with pytest.raises(ValueError, match="shard"):
        store.load(sources_of(tmp_path))


def test_a_compressed_shard_is_not_expanded(tmp_path: Path) -> None:
    store = stored(tmp_path)
    path = store.path(sources_of(tmp_path))
    with np.load(path) as data:
        np.savez_compressed(path, **{**data, "thumbnails": np.zeros(200_000_000, np.uint8)})
    assert store.finished(sources_of(tmp_path)) is None
    with pytest.raises(ValueError, match="compressed"):
        store.load(sources_of(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_as_shard_is_made_again(tmp_path: Path) -> None:
    store = stored(tmp_path)
    path = store.path(sources_of(tmp_path))
    path.unlink()
    os.mkfifo(path)
    assert store.finished(sources_of(tmp_path)) is None
