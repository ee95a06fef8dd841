"""Stores of shards at URLs: the arrays of a folder, and one line for a store that cannot be used."""

import errno
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from inficond.core.errors import InputError
from inficond.core.images import ImageRecord
from inficond.core.pipeline import shards
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.plan import encode_part, merge, open_worker, plan_encoding, store_of
from inficond.core.pipeline.shard_files import Folder, RemoteFolder, open_place
from inficond.core.pipeline.shards import Shard, ShardStore, SourceFile

SOURCES = [SourceFile(ImageRecord(f"{i}.jpg"), i, "0" * 64) for i in range(3)]


class Full(MemoryFileSystem):
    """A file system without space."""

    protocol = "full"
    store: dict[str, Any] = {}  # noqa: RUF012

    def pipe_file(self, *_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


class Gone(MemoryFileSystem):
    """A file system whose server does not answer."""

    protocol = "gone"

    def exists(self, *_: Any, **__: Any) -> bool:
        raise ConnectionError("the server does not answer")


@pytest.fixture(scope="module", autouse=True)
def systems() -> None:
    for system in (Full, Gone):
        fsspec.register_implementation(system.protocol, system, clobber=True)


def shard(value: float = 0.5) -> Shard:
    return Shard(
        ids=[source.file.id for source in SOURCES],
        sizes=np.ones((3, 2), np.int32),
        regions=np.full((3, 2, 4), value, np.float16),
        assignment=np.zeros((3, 4), np.uint8),
        responses=np.zeros((3, 1), np.float32),
        thumbnails=[b"a", b"bb", b""],
    )


def save_if_missing(url: str) -> None:
    store = ShardStore(url, "basis")
    if store.finished(SOURCES) is None:
        store.save(SOURCES, shard())


@pytest.mark.parametrize("kind", ["memory", "local", "file", "folder"])
def test_a_shard_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    place = {"memory": f"memory://{tmp_path.name}", "folder": str(tmp_path)}.get(
        kind, f"{kind}://{tmp_path}/s"
    )
    store = ShardStore(place, "basis")
    assert store.finished(SOURCES) is None
    store.save(SOURCES, shard())
    later = ShardStore(place, "basis")  # of another run: the first one keeps the shard in memory
    summary = later.finished(SOURCES)
    assert summary is not None
    assert summary.ids == ["0.jpg", "1.jpg", "2.jpg"]
    for loaded in (store.load(SOURCES), later.load(SOURCES)):
        assert np.array_equal(loaded.regions, shard().regions)
        assert loaded.thumbnails == [b"a", b"bb", b""]
    assert np.array_equal(store.load_responses(SOURCES), later.load_responses(SOURCES))
    assert ShardStore(place, "other models").finished(SOURCES) is None
    assert store.finished(SOURCES[:2]) is None


def test_written_shards_stay_in_memory_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "KEPT_BYTES", 2 * shard().nbytes)
    store = ShardStore(tmp_path, "basis")
    parts = [[source] for source in SOURCES]
    for part in parts:
        store.save(part, shard())
    for part in parts:
        store.path(part).unlink()
    assert [store.load(part).ids for part in parts[:2]] == 2 * [shard().ids]
    with pytest.raises(Exception, match="No such file"):
        store.load(parts[2])


def test_the_kind_of_a_place_follows_from_its_address(tmp_path: Path) -> None:
    assert isinstance(open_place(tmp_path), Folder)
    assert isinstance(open_place(f"file://{tmp_path}"), Folder)
    assert isinstance(open_place("memory://shards"), RemoteFolder)


def test_a_damaged_shard_at_a_url_is_missing() -> None:
    ShardStore("memory://damaged", "basis").save(SOURCES, shard())
    store = ShardStore("memory://damaged", "basis")  # of another run: the first one keeps the shard in memory
    system = fsspec.filesystem("memory")
    path = f"/damaged/{store.name(SOURCES)}"
    whole = system.cat_file(path)
    system.pipe_file(path, whole[: len(whole) // 2])
    assert store.finished(SOURCES) is None
    changed = bytearray(whole)
    changed[whole.index(np.float16(0.5).tobytes() * 4)] ^= 1
    system.pipe_file(path, bytes(changed))
    with pytest.raises(Exception, match="CRC"):
        store.load(SOURCES)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("full://store", r"cannot write full://store/\w+\.npz: \[Errno 28\] No space left on device"),
        ("gone://store", "gone://store cannot be read: the server does not answer"),
        ("nosuch://store", "nosuch://store cannot be opened: Protocol not known"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        save_if_missing(url)
    assert len(str(caught.value).splitlines()) == 1


def test_parts_and_merge_through_a_url_give_the_arrays_of_a_folder(tiny: Any, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/shards"
    plans = [plan_encoding(BuildOptions(**tiny.arguments(tmp_path / n, cache=False))) for n in ("a", "b")]
    worker = open_worker(plans[0], provider="cpu", cache=False)
    for store in (url, plans[1].store):
        for part in (1, 2):
            encode_part(plans[0], part, 2, worker, store_of(worker.encoding, store))
    first, second = merge(plans[0], url, cache=False), merge(plans[1], cache=False)
    for name in ("concepts.npy", "teacher.npy", "images.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    with pytest.raises(InputError, match=r"3 of 3 shards are not in memory://elsewhere: run every part"):
        merge(
            plan_encoding(BuildOptions(**tiny.arguments(tmp_path / "c", cache=False))), "memory://elsewhere"
        )
