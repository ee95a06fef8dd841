"""Encoding in parts: a plan of all shards, workers that encode some of them, and the merge into a project.

The functions do not depend on what starts the workers: processes, a batch system or a cluster. Workers share
only the plan, the images, the models and the folder of the shards. They need no lock, because a shard is
named by the content of its images and by the models, and is written atomically::

    plan_encoding -> encode_part, once for each part -> merge
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import MOST_GIVEN, read_regular
from inficond.core.pipeline.build import Prepared, build, prepare
from inficond.core.pipeline.encode import Encoding, encode_shards
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.plan_options import TEACHERS, check_local, check_plan_options
from inficond.core.pipeline.shards import SHARD_SIZE, VERSION, ShardStore, read_versions
from inficond.core.pipeline.user_teachers import teacher_kind
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.strict_json import parse_json
from inficond.core.tables import TableOptions
from inficond.core.version import __version__

FORMAT = 1
_PATHS = ("images", "out", "teacher", "encoder", "concepts", "classes", "labels")
_LOCAL = ("workers", "cache", "provider")
"""Options of a worker, which are not part of a plan."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The images of a build in shards, and the options that the project will be built with.

    Parameters
    ----------
    options : BuildOptions
        With absolute paths.
    basis : str
        Checksums of the models; see `Encoding.basis`.
    images : tuple of (id, size, content)
        In the order of the project; see `SourceFile`.
    """

    options: BuildOptions
    basis: str
    images: tuple[tuple[str, int, str], ...]

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return -(-len(self.images) // SHARD_SIZE)

    @property
    def store(self) -> Path:
        """Folder of the shards where no other is given."""
        return Path(self.options.out) / files.BUILD / "shards"

    def part(self, number: int, parts: int) -> tuple[tuple[str, int, str], ...]:
        """Return the images of one part: every `parts`-th shard.

        Parameters
        ----------
        number : int
            From 1 to `parts`.
        parts : int

        Returns
        -------
        tuple of (id, size, content)
            Empty where there are fewer shards than parts.
        """
        shards = range(number - 1, self.n_shards, parts)
        return tuple(image for k in shards for image in self.images[k * SHARD_SIZE : (k + 1) * SHARD_SIZE])

    def save(self, path: Path) -> None:
        """Write the plan as JSON.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        options = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self.options).items()
            if name not in _LOCAL
        }
        content = {
            "format": FORMAT,
            "kind": "plan",
            "inficond": __version__,
            "shards": VERSION,
            "options": options,
            "basis": self.basis,
            "images": self.images,
        }
        with replacing(path) as file:
            file.write(json.dumps(content, ensure_ascii=False).encode())


def plan_encoding(options: BuildOptions, progress: Progress | None = None) -> Plan:
    """Find the images of a build, read their checksums and divide them into shards; nothing is encoded.

    Parameters
    ----------
    options : BuildOptions
        `images` must be a path or a name, which other processes can open.
    progress : Progress, optional

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        Bad input, as for `build`.
    """
    return prepared_plan(options, progress or Silent())[0]


def prepared_plan(options: BuildOptions, progress: Progress) -> tuple[Plan, Prepared]:
    """Return the plan of a build, and what was opened for it with the `sources` of the plan."""
    if not isinstance(options.images, str | Path):
        raise InputError("a plan needs images that other processes can open: give a folder, a table or a URL")
    if teacher_kind(options.teacher) not in TEACHERS or not isinstance(options.labels, str | Path | None):
        raise InputError(
            "a plan needs a teacher and labels that every worker can open: labels, probe, a model folder "
            "(see `inficond export teacher`) or a table of responses"
        )
    prepared = prepare(options, progress)
    sources = read_versions(prepared.records, progress)
    absolute: dict[str, Any] = {name: _absolute(getattr(options, name)) for name in _PATHS}
    absolute["out"] = Path(options.out).absolute()
    plan = Plan(
        options=replace(options, **absolute),
        basis=prepared.encoding.basis,
        images=tuple((s.file.id, s.size, s.content) for s in sources),
    )
    return plan, replace(prepared, sources=sources)


def _absolute(value: Any) -> Any:
    """Return an existing path as absolute text; names of models, classes and sources as they are."""
    if isinstance(value, Path) or (isinstance(value, str) and "://" not in value and Path(value).exists()):
        return str(Path(value).absolute())
    return value


def read_plan(path: Path, network: bool = False) -> Plan:
    """Read a plan, which another person may have written.

    Parameters
    ----------
    path : Path
    network : bool
        Whether the plan may name images at URLs and models that must be downloaded.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        The file is missing, not a plan, or of another version of InFiConD; or it names Python code, or
        another machine without `network`.
    """
    try:
        content = parse_json(read_regular(path, limit=MOST_GIVEN))
    except OSError as error:
        raise InputError(f"cannot read {path}: {system_reason(error)}") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"{path} is not a plan ({error}): make one with `inficond distill … --plan {path.name}`"
        ) from None
    if not isinstance(content, dict) or content.get("kind") != "plan":
        raise InputError(f"{path} is not a plan: make one with `inficond distill … --plan {path.name}`")
    if (content.get("format"), content.get("shards")) != (FORMAT, VERSION):
        raise InputError(
            f"{path} was made by InFiConD {content.get('inficond')}, whose shards differ from those of "
            f"{__version__}: use one version for the plan and all parts"
        )
    try:
        options = dict(content["options"])
        tables = {k: tuple(v) if isinstance(v, list) else v for k, v in options.pop("tables").items()}
        known = {field.name for field in fields(BuildOptions)} - {*_LOCAL, "tables"}
        if options.keys() != known:
            raise ValueError("its options are of another version")
        check_plan_options(options, tables, path)
        images = tuple((str(id), int(size), str(text)) for id, size, text in content["images"])
        plan = Plan(
            options=BuildOptions(**options, tables=TableOptions(**tables)),  # type: ignore[arg-type]
            basis=str(content["basis"]),
            images=images,
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): make it again") from None
    if not network:
        check_local(options, path)
    return plan


def open_worker(plan: Plan, progress: Progress | None = None, **local: Any) -> Prepared:
    """Open the models and the images of a plan in a worker.

    Parameters
    ----------
    plan : Plan
    progress : Progress, optional
    **local
        `provider` and `cache` of this worker, see `BuildOptions`.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        A model or the images are not there, or the models are not those of the plan.
    """
    prepared = prepare(replace(plan.options, **local), progress or Silent())
    if prepared.encoding.basis != plan.basis:
        raise InputError(
            "the encoder or the teacher here is not the one of the plan: copy the model folders of the "
            "machine that made the plan, or make the plan again"
        )
    return prepared


def encode_part(
    plan: Plan,
    number: int,
    parts: int,
    worker: Prepared,
    store: ShardStore,
    progress: Progress | None = None,
    threads: int | None = None,
) -> tuple[int, int]:
    """Encode the shards of one part that are not in the store yet.

    Parameters
    ----------
    plan : Plan
    number, parts : int
        See `Plan.part`.
    worker : Prepared
        From `open_worker`.
    store : ShardStore
        Any number of workers may write to one store at once.
    progress : Progress, optional
    threads : int, optional
        Every available core by default.

    Returns
    -------
    encoded, reused : int
        Images; `reused` are of shards that were in the store.

    Raises
    ------
    InputError
        The part is out of range, an image is missing or has changed, or the store cannot be written.
    """
    if not 1 <= number <= parts:
        raise InputError(f"part {number}/{parts} is not from 1/{parts} to {parts}/{parts}")
    planned = plan.part(number, parts)
    by_id = worker.by_id
    absent = next((id for id, _, _ in planned if id not in by_id), None)
    if absent is not None:
        raise InputError(f"image {absent!r:.200} of the plan is not there: make the plan again")
    sources = read_versions([by_id[id] for id, _, _ in planned], progress or Silent())
    for source, (id, size, content) in zip(sources, planned):
        if (source.size, source.content) != (size, content):
            raise InputError(f"image {id!r:.200} has changed since the plan was made: make the plan again")
    _, reused = encode_shards(worker.encoding, store, sources, progress or Silent(), threads)
    return len(sources) - reused, reused


def store_of(encoding: Encoding, place: Path | str) -> ShardStore:
    """Return the store of the shards that these models make, in a folder or at a URL."""
    return ShardStore(place, encoding.basis)


def merge(
    plan: Plan, store: Path | str | None = None, progress: Progress | None = None, **local: Any
) -> Path:
    """Build the project of a plan from its shards.

    Parameters
    ----------
    plan : Plan
    store : Path or str, optional
        Folder or URL of the shards; `Plan.store` by default.
    progress : Progress, optional
    **local
        `provider`, `workers` and `cache` of this process, see `BuildOptions`.

    Returns
    -------
    Path
        The project folder, with the same arrays as from `build` in one process.

    Raises
    ------
    InputError
        Shards are missing, or another process builds the same project.
    """
    return build(replace(plan.options, **local), progress, store or plan.store)
