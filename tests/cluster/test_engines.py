"""Engines without Ray: the queue of shards, the worker, and the commands' messages."""

import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cluster.projects import arrays

from inficond.cluster.encoding_worker import EncodingWorker
from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.images import ImageRecord
from inficond.core.pipeline import build as pipeline_build
from inficond.core.pipeline import inputs as pipeline_inputs
from inficond.core.pipeline import teacher_stage
from inficond.core.pipeline.engines import (
    EncodingJob,
    ShardQueue,
    WorkerSettings,
    build_on,
    open_encoding,
    open_engine,
    without_readers,
)
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.row_fits import ArrayRows
from inficond.core.pipeline.shards import SourceFile
from inficond.core.progress import Progress, Silent
from inficond.core.solver.row_blocks import LocalBlocks, RowBlock, RowBlocks
from inficond.core.version import __version__

SETTINGS = WorkerSettings(options=BuildOptions(images="x", out=Path("y")), basis="", store="z")


class OneProcess:
    """An engine that calls a worker as a cluster does: arguments and answers are pickled."""

    def __init__(self, twice: bool = False) -> None:
        self.twice, self.made = twice, 0

    def encode(self, job: EncodingJob, progress: Progress) -> None:
        worker = EncodingWorker()
        assert worker.version() == job.version == __version__
        reply = worker.open(pickle.loads(pickle.dumps(job.settings)))
        if reply.refused:
            raise InputError(reply.refused)
        queue = ShardQueue(job, progress)
        while (number := queue.take()) is not None:
            images = pickle.dumps(without_readers(job.shards[number]))
            for _ in range(1 + self.twice):
                reply = worker.encode(pickle.loads(images))
                if reply.refused:
                    raise InputError(reply.refused)
                self.made += 1
                queue.finish(number)
        assert queue.done


class RowHolder(OneProcess):
    """The same, which also holds rows in three blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[int] = []

    @contextmanager
    def hold(self, rows: ArrayRows, link: str) -> Iterator[RowBlocks]:
        blocks = [RowBlock(*pickle.loads(pickle.dumps(part)).load(), link) for part in rows.divided(3)]
        self.held.append(rows.stop)
        yield LocalBlocks(blocks)


def options(tiny: Any, out: Path, **more: Any) -> BuildOptions:
    return BuildOptions(**tiny.arguments(out, cache=False, **more))


def test_an_engine_makes_the_arrays_of_one_process_and_counts_no_shard_twice(
    tiny: Any, tmp_path: Path
) -> None:
    pytest.importorskip("fsspec")
    single = Project.create(**tiny.arguments(tmp_path / "single", cache=False)).path
    engine, progress = OneProcess(twice=True), Silent()
    store = tmp_path / "store"
    made = build_on(engine, options(tiny, tmp_path / "out"), store, progress)
    assert (engine.made, len(list(store.glob("*.npz")))) == (6, 3)
    assert arrays(made) == arrays(single)
    again = OneProcess()
    assert arrays(build_on(again, options(tiny, tmp_path / "again"), f"file://{store}")) == arrays(single)
    assert again.made == 0
    assert build_on(again, options(tiny, tmp_path / "again")) == tmp_path / "again"


@pytest.mark.parametrize("lam", [None, 0.01])
def test_rows_above_a_limit_are_fitted_by_the_workers(tiny: Any, tmp_path: Path, lam: float | None) -> None:
    pytest.importorskip("fsspec")
    holder, store = RowHolder(), tmp_path / "store"
    given = {"lam": lam}
    local = Project.open(build_on(holder, options(tiny, tmp_path / "local", **given), store, fit_memory=1.0))
    assert holder.held == []
    assert not any("workers" in line for line in local.config["choices"])
    held = Project.open(build_on(holder, options(tiny, tmp_path / "held", **given), store, fit_memory=0.0))
    n = len(held) - len(held.validation_rows)
    assert holder.held == [n, n]  # words and random directions
    told = [line for line in held.config["choices"] if line.startswith("fit: ")]
    assert f"{n:,} training images × {len(held.concepts)} words are" in told[0]
    assert "the workers hold them" in told[0]
    assert float(told[1].rpartition(" ")[2]) <= 1e-4
    for one, other in ((held.students, local.students), (held.baseline, local.baseline)):
        assert one is not None
        assert other is not None
        largest = np.abs(other.weights).max()
        np.testing.assert_allclose(one.weights, other.weights, atol=0.02 * largest)


def test_fits_that_workers_cannot_make_stay_on_this_machine(tiny: Any, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    holder = RowHolder()
    made = Project.open(build_on(holder, options(tiny, tmp_path / "out", lam=0.0), fit_memory=0.0))
    assert holder.held == []
    assert any("need λ above 0: fitted on this machine" in line for line in made.config["choices"])
    with pytest.raises(InputError, match="--fit-memory must be a finite number"):
        build_on(holder, options(tiny, tmp_path / "other"), fit_memory=float("nan"))


def test_workers_that_do_not_see_the_folder_are_one_line(tiny: Any, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")

    class Blind(RowHolder):
        @contextmanager
        def hold(self, rows: ArrayRows, link: str) -> Iterator[RowBlocks]:
            class Refusing:
                def call(self, method: str, arguments: Any) -> list[Any]:
                    ArrayRows("/gone/X.npy", rows.T, 0, 1).load()
                    return []

            yield Refusing()

    with pytest.raises(InputError, match=r"cannot read /gone/X.npy.*in a folder that all workers see"):
        build_on(Blind(), options(tiny, tmp_path / "out"), fit_memory=0.0)


def test_models_and_images_are_opened_and_hashed_once(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the merge opened the models and read the checksums of all images again."""
    calls: list[str] = []
    for module, name in (
        (pipeline_inputs, "load_encoder"),
        (teacher_stage, "load_teacher"),
        (pipeline_build, "open_source"),
    ):
        usual = getattr(module, name)

        def counted(*args: Any, usual: Any = usual, name: str = name, **more: Any) -> Any:
            calls.append(name)
            return usual(*args, **more)

        monkeypatch.setattr(module, name, counted)
    stages: list[str] = []

    class Recorded(Silent):
        def start(self, stage: str, total: int, done: int = 0) -> None:
            stages.append(stage)
            super().start(stage, total, done)

    build_on(OneProcess(), options(tiny, tmp_path / "out"), None, Recorded())
    assert sorted(calls) == ["load_encoder", "load_teacher", "open_source"]
    assert stages.count("reading checksums of images") == 1
    assert (tmp_path / "out" / "project.json").is_file()


def queue_of(sizes: Sequence[int]) -> tuple[ShardQueue, Silent]:
    shards = [[SourceFile(ImageRecord(f"{k}-{i}.jpg"), 1, "") for i in range(n)] for k, n in enumerate(sizes)]
    progress = Silent()
    progress.start("encoding", sum(sizes))
    return ShardQueue(EncodingJob(settings=SETTINGS, shards=shards, store=None), progress), progress  # type: ignore[arg-type]


def test_a_lost_shard_is_made_again_and_counts_once() -> None:
    queue, progress = queue_of([3, 2])
    assert [queue.take(), queue.take(), queue.take()] == [0, 1, None]
    queue.lose(0, "the machine has gone")
    assert queue.take() == 0
    assert [queue.finish(0), queue.finish(0), queue.finish(1)] == [True, False, True]
    queue.lose(0, "answers after the end")
    assert queue.done
    assert queue.take() is None
    assert progress.remaining.done == 5


def test_images_that_end_their_workers_are_named() -> None:
    queue, _ = queue_of([3, 2])
    for _ in range(2):
        queue.lose(1, "killed")
    with pytest.raises(InputError, match=r"3 workers failed on the images '1-0.jpg' to '1-1.jpg'.*killed"):
        queue.lose(1, "killed")


def test_a_worker_names_missing_models_and_images(tiny: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    settings = WorkerSettings(options=options(tiny, tmp_path / "out"), basis="other", store=store)
    assert "is not the one of the build" in EncodingWorker().open(settings).refused
    gone = replace(settings, options=replace(settings.options, encoder=str(tmp_path / "gone")))
    assert "gone" in EncodingWorker().open(gone).refused
    worker = EncodingWorker()
    assert not worker.open(replace(settings, basis=open_encoding(settings.options).basis)).refused
    absent = SourceFile(ImageRecord("a.jpg", tmp_path / "a.jpg"), 9, "0" * 64)
    assert "'a.jpg' cannot be read" in worker.encode([absent]).refused
    (tmp_path / "a.jpg").write_bytes(b"changed")
    assert "'a.jpg' has changed" in worker.encode([absent]).refused
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_written_ends_the_build_in_one_line(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot write .*file/store"):
        build_on(OneProcess(), options(tiny, tmp_path / "out"), tmp_path / "file" / "store")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "rai"], "unknown engine 'rai': did you mean 'ray'?"),
        (["--address", "10.0.0.1:6379"], "--address, --store and --fit-memory need --engine ray"),
        (["--fit-memory", "2"], "--address, --store and --fit-memory need --engine ray"),
        (["--store", "shards"], "--address, --store and --fit-memory need --engine ray"),
    ],
)
def test_wrong_options_are_one_line(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["distill", str(tiny.photos), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_without_ray_the_extra_is_named(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # `import ray` fails as where it is not installed
    extra = r'--engine ray needs the extra `ray` \(pip install "inficond\[ray\]"'
    with pytest.raises(InputError, match=extra):
        build_on(open_engine("ray"), options(tiny, tmp_path / "out"))
    assert not (tmp_path / "out" / "project.json").exists()
