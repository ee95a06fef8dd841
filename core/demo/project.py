"""The built-in demo project, created in the user's cache on first use.

Scenes and thumbnails are rendered; results of the encoder, the teacher and the fit are shipped as arrays.
Concept vectors are computed from the region embeddings, as in every project.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from inficond.core.demo.material import ASSETS
from inficond.core.demo.packed import unpack_bytes, unpack_regions
from inficond.core.demo.plan import HABITAT, Scene, scenes
from inficond.core.demo.render import render
from inficond.core.demo.words import group_of
from inficond.core.errors import InputError
from inficond.core.processors import available_processors
from inficond.core.version import __version__

ARRAYS = ASSETS / "arrays.npz"
STUDENTS = ASSETS / "students.safetensors"
BASELINE = ASSETS / "random.safetensors"
CONFIG = ASSETS / "project.json"
QUALITY = 88  # of the scenes' JPEG: they are both the images and the thumbnails
NAME = "Photo collages: birds, beasts and a shortcut"


def demo_project() -> Path:
    """Return the folder of the built-in project; create it on first use.

    It is in the user's cache (`INFICOND_CACHE`, else `XDG_CACHE_HOME` or the system's folder for caches),
    or in a temporary folder while that cannot be written. Several processes may call this at once.

    Returns
    -------
    Path
        What `Project.open` takes.

    Raises
    ------
    InputError
        No folder can be written, or the installed assets are damaged.
    """
    folder, refused = f"demo-{fingerprint()}", ""
    for place in _places():  # the second one only while the first cannot be written
        if _complete(place / folder):
            return place / folder
        try:
            return _make(place, folder)
        except OSError as error:
            refused = refused or f"{place}: {error.strerror or error}"
    raise InputError(
        f"the demo needs about 60 MB in the cache folder ({refused}): set INFICOND_CACHE to another folder"
    )


@cache
def fingerprint() -> str:
    """Return a short hash of the demo's contents and code: each version gets its own folder."""
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(ASSETS.rglob("*")):
        if path.suffix in (".webp", ".npz", ".json", ".safetensors"):
            digest.update(path.read_bytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _places() -> Iterator[Path]:
    """Yield the folders that may hold the project, the preferred one first."""
    from inficond.core.models.cache_directory import cache_folder

    yield cache_folder()
    owner = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    try:
        shared = Path(tempfile.gettempdir()) / f"inficond-{owner}"
    except FileNotFoundError:  # no folder for temporary files can be written either
        return
    if _is_private(shared):
        yield shared


def _is_private(folder: Path) -> bool:
    """Return whether only this account can write to a folder, whose name others can guess."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return folder.is_dir()
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and status.st_uid == os.getuid()
        and not status.st_mode & 0o022
    )


def _complete(folder: Path) -> bool:
    """Return whether the project is there and can be opened and written to, as its history is."""
    from inficond.core.facade import Project

    if not os.access(folder, os.W_OK):
        return False
    try:
        project = Project.open(folder)
    except InputError:
        return False
    return project.thumbnail_file(len(project.image_ids) - 1).is_file()


def _make(place: Path, folder: str) -> Path:
    """Build in a temporary folder and rename it; if another process was faster, use its result."""
    place.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder}-", dir=place))
    try:
        write_demo(building)
        for _ in range(2):
            try:
                building.replace(place / folder)
                return place / folder
            except OSError:
                if _complete(place / folder):
                    return place / folder
                # Incomplete, for instance because files were deleted: renamed, since it holds a history.
                (place / folder).replace(tempfile.mkdtemp(prefix=f"{folder}-damaged-", dir=place))
        raise OSError(f"{place / folder} cannot be replaced: rename or delete it")
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_demo(folder: Path) -> Path:
    """Write the built-in project into an empty folder.

    Parameters
    ----------
    folder : Path
        An empty folder.

    Returns
    -------
    Path
        The same.
    """
    from inficond.core.concepts import concept_vectors, load_corpus
    from inficond.core.project.files import thumbnail_name
    from inficond.core.project.image_table import ImageRow
    from inficond.core.project.writer import ImageBlock, ProjectContents, write_project

    arrays = load_arrays()
    corpus = load_corpus()
    groups = {c.name: group_of(c.name, c.group) for c in corpus.concepts}
    words = [k for k, concept in enumerate(corpus.concepts) if groups[concept.name] is not None]
    chosen = [corpus.concepts[k] for k in words]
    embeddings = np.ascontiguousarray(corpus.embeddings[words])
    plan = scenes()
    rows = [
        ImageRow(id=scene.id, path=thumbnail_name(i), group=scene.cutout, width=256, height=256)
        for i, scene in enumerate(plan)
    ]
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    with ThreadPoolExecutor(min(4, available_processors())) as pool:
        pictures = pool.map(scene_file, plan)
        regions = unpack_regions({key: arrays[f"regions_{key}"] for key in ("shape", "axes", "codes")})
        X = concept_vectors(regions, embeddings)
        grid = tuple(config.pop("grid"))
        assignment = unpack_bytes(arrays["assignment"], len(plan) * grid[0] * grid[1]).reshape(len(plan), -1)
        write_project(
            folder,
            ProjectContents(
                images=rows,
                T=arrays["teacher"],
                concepts=[c.name for c in chosen],
                classes=list(HABITAT),
                is_validation=np.array([scene.split == "val" for scene in plan]),
                students=_Shipped(STUDENTS),
                baseline=_Shipped(BASELINE),
                concept_groups=[str(groups[c.name]) for c in chosen],
                concept_prompts=[list(c.prompts) for c in chosen],
                concept_embeddings=embeddings,
                labels=labels(plan),
                config=config,
                name=NAME,
            ),
            [ImageBlock(X=X, regions=regions, assignment=assignment, thumbnails=pictures)],
            grid=grid,
            pack_thumbnails=False,  # they are the originals too
        )
    return folder


def scene_file(scene: Scene) -> bytes:
    """Return a scene as a JPEG file, which is both image and thumbnail."""
    out = io.BytesIO()
    render(scene).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def labels(plan: tuple[Scene, ...]) -> np.ndarray:
    """Return the ground truth of the scenes, (N, C) float32 of 0 and 1."""
    return np.array([[float(scene.klass == klass) for klass in HABITAT] for scene in plan], np.float32)


def load_arrays() -> dict[str, np.ndarray]:
    """Load the shipped arrays.

    Raises
    ------
    InputError
        They are missing or damaged.
    """
    try:
        with np.load(ARRAYS, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError) as error:
        raise InputError(f"the demo's arrays at {ARRAYS} are damaged: install InFiConD again") from error


class _Shipped:
    """Students that are shipped as a file."""

    def __init__(self, source: Path) -> None:
        self.source = source

    def save(self, path: Path) -> None:
        shutil.copyfile(self.source, path)
