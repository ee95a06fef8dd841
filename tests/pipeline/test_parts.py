"""Plans, parts and merges: many workers make the project of one process, or name what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inficond.core import Project
from inficond.core.checksum import sha256_of
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.plan import (
    Plan,
    encode_part,
    merge,
    open_worker,
    plan_encoding,
    read_plan,
    store_of,
)
from inficond.core.pipeline.shards import SHARD_SIZE
from inficond.core.project import files

PARTS = 4


def arrays(project: Path) -> dict[str, str]:
    """Return the checksum of every file with arrays, images or students."""
    kept = [p for p in project.rglob("*") if p.suffix in (".npy", ".parquet", ".safetensors", ".pack")]
    assert {".npy", ".parquet", ".safetensors", ".pack"} == {p.suffix for p in kept}
    return {p.relative_to(project).as_posix(): sha256_of(p) for p in kept}


def planned(tiny: Any, out: Path, **options: object) -> Plan:
    return plan_encoding(BuildOptions(**tiny.arguments(out, cache=False, **options)))


def encode(plan: Plan, number: int, parts: int, store: Path | None = None) -> tuple[int, int]:
    worker = open_worker(plan, provider="cpu", cache=False)
    return encode_part(plan, number, parts, worker, store_of(worker.encoding, store or plan.store))


def command(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "inficond.core.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def single(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of one process."""
    return Project.create(**tiny.arguments(tmp_path_factory.mktemp("single") / "out", cache=False)).path


def test_four_processes_and_a_merge_give_the_arrays_of_one(tiny: Any, single: Path, tmp_path: Path) -> None:
    path, out, store = tmp_path / "p.plan", tmp_path / "out", tmp_path / "store"
    made = main(
        ["distill", str(tiny.photos), "--out", str(out), "--encoder", str(tiny.encoder), "--teacher",
         str(tiny.teacher), "--concepts", str(tiny.words), "--provider", "cpu", "--no-exam",
         "--plan", str(path)]
    )  # fmt: skip
    assert made == 0
    assert not out.exists()
    url = f"local://{store}"  # through fsspec, as for s3:// and its like
    local = ("--store", url, "--provider", "cpu", "--no-cache", "--json")
    workers = [command("encode", path, "--part", f"{i + 1}/{PARTS}", *local) for i in range(PARTS)]
    printed = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * PARTS, printed
    assert [json.loads(said)["encoded"] for said, _ in printed] == [128, 128, 44, 0]
    assert main(["merge", str(path), *map(str, local)]) == 0
    assert arrays(out) == arrays(single)
    assert len(list(store.glob("*.npz"))) == 3
    assert Project.open(out).config["source"]["reused"] == 300


def test_names_do_not_depend_on_place_time_or_provider(tiny: Any, tmp_path: Path) -> None:
    first = planned(tiny, tmp_path / "a")
    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny.photos, moved)
    for image in moved.rglob("*.*"):
        os.utime(image, (1, 1))
    second = replace(tiny, photos=moved)
    assert planned(second, tmp_path / "b").images == first.images
    store = tmp_path / "store"
    assert encode(first, 3, 3, store) == (44, 0)
    assert encode(planned(second, tmp_path / "b"), 3, 3, store) == (0, 44)


def test_a_plan_is_read_as_it_was_written(tiny: Any, tmp_path: Path) -> None:
    plan = planned(tiny, tmp_path / "out", link="softmax", classes={"one": ["red"]}, seed=7)
    plan.save(tmp_path / "p.plan")
    again = read_plan(tmp_path / "p.plan")
    assert (again.images, again.basis, again.store) == (plan.images, plan.basis, plan.store)
    assert (again.options.link, again.options.seed) == ("softmax", 7)
    assert again.options.classes == {"one": ["red"]}


def test_parts_cover_every_image_once() -> None:
    images = tuple((str(i), i, "") for i in range(10 * SHARD_SIZE + 5))
    plan = Plan(options=BuildOptions(images="x", out=Path("y")), basis="", images=images)
    for parts in (1, 3, 11, 64):
        held = [image for i in range(parts) for image in plan.part(i + 1, parts)]
        assert sorted(held) == sorted(images)


@pytest.mark.skipif(os.name == "nt", reason="permissions")
def test_a_part_twice_and_shards_of_another_plan_change_nothing(
    tiny: Any, single: Path, tmp_path: Path
) -> None:
    plan = planned(tiny, tmp_path / "out")
    assert encode(plan, 1, 1) == (300, 0)
    assert encode(plan, 1, 1) == (0, 300)
    shards = sorted(plan.store.glob("*.npz"))
    (plan.store / ("f" * 40 + ".npz")).write_bytes(shards[0].read_bytes())
    shards[1].write_bytes(shards[0].read_bytes())  # the shard of other images under this name
    with pytest.raises(InputError, match=r"1 of 3 shards are not in .*inficond encode PLAN --part \d/3"):
        merge(plan, provider="cpu", cache=False)
    assert sum(encode(plan, i, 3)[0] for i in (1, 2, 3)) in (128, 44)
    assert arrays(merge(plan, provider="cpu", cache=False)) == arrays(single)


def test_a_changed_or_missing_image_is_named(tiny: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(tiny.photos, photos)
    plan = planned(replace(tiny, photos=photos), tmp_path / "out")
    names = [photos / id for id, _, _ in plan.images]
    before = names[0].read_bytes()
    names[0].write_bytes(names[1].read_bytes())
    with pytest.raises(InputError, match="has changed since the plan was made: make the plan again"):
        encode(plan, 1, 3)
    names[0].write_bytes(before)
    names[0].unlink()
    with pytest.raises(InputError, match="of the plan is not there: make the plan again"):
        encode(plan, 1, 3)


def test_models_other_than_those_of_the_plan_are_refused(tiny: Any, tmp_path: Path) -> None:
    plan = replace(planned(tiny, tmp_path / "out"), basis="other models")
    with pytest.raises(InputError, match=r"not the one of the plan: copy the model folders"):
        encode(plan, 1, 3)
    gone = replace(plan, options=replace(plan.options, encoder=str(tmp_path / "gone")))
    with pytest.raises(InputError, match="gone"):
        encode(gone, 1, 3)


def test_a_store_that_cannot_be_written_is_one_line(tiny: Any, tmp_path: Path) -> None:
    plan = planned(tiny, tmp_path / "out")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot write .*file"):
        encode(plan, 3, 3, tmp_path / "file" / "store")


def test_two_mergers_at_once_are_refused(tiny: Any, tmp_path: Path) -> None:
    from filelock import FileLock

    plan = planned(tiny, tmp_path / "out")
    folder = tmp_path / "out" / files.BUILD
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"), pytest.raises(InputError, match="another process is building"):
        merge(plan, provider="cpu")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a plan"),
        ("[]", "is not a plan: make one with"),
        ('{"kind": "plan", "format": 9}', "use one version for the plan and all parts"),
        ('{"kind": "plan", "format": 1, "shards": 2, "options": {}}', "is damaged"),
    ],
)
def test_a_file_that_is_not_a_plan_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.plan").write_text(content)
    with pytest.raises(InputError, match=message):
        read_plan(tmp_path / "p.plan")
    with pytest.raises(InputError, match="p2.plan"):
        read_plan(tmp_path / "p2.plan")


@pytest.mark.parametrize("part", ["0/4", "5/4", "1", "1/0", "a/b", "-1/4"])
def test_a_part_out_of_range_is_refused(
    tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(tmp_path / "p.plan"), f"--part={part}"]) == 2
    assert "is not a part; use 1/8" in capsys.readouterr().err


def test_images_in_memory_cannot_be_planned(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="images that other processes can open"):
        planned(tiny, tmp_path / "out", images=[b"picture"])
    with pytest.raises(InputError, match="a teacher and labels that every worker can open"):
        planned(tiny, tmp_path / "out", teacher=lambda pictures: [[0.5]] * len(pictures))
