"""State shared by all sessions on one project: workspace, history file, models, word embeddings."""

import hashlib
import json
import threading
import weakref
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inficond.core.cache import Cache
from inficond.core.concepts import concept_vectors, load_corpus
from inficond.core.concepts.cells import ENCODER, Cells, CellStore, encode_cells, load_cell_encoder
from inficond.core.concepts.clearness import ClearnessOfWords
from inficond.core.errors import InputError
from inficond.core.history.node import Node
from inficond.core.history.store import History
from inficond.core.images.crop import centre_crop
from inficond.core.models.class_sets import share_among
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.core.models.manifest import read_manifest
from inficond.core.models.resolve import embedded_folder
from inficond.core.models.teacher import Teacher, load_teacher
from inficond.core.progress import Progress
from inficond.core.project import files
from inficond.core.project.folder import ProjectFolder
from inficond.core.project.image_map import ImageMap, image_map, stored_map
from inficond.core.sessions.renamed_concepts import original_word
from inficond.core.sessions.shown_concepts import SUFFIX
from inficond.core.sessions.word_embeddings import WordEmbeddings
from inficond.core.tuning.workspace import Workspace
from inficond.core.version import __version__

Model = TypeVar("Model", Encoder, Teacher)

FITTING_PACKAGES = ("concepts", "evaluation", "solver", "students", "tuning")
"""Packages of core whose sources decide the result of a fit or its metrics."""
CELL_BYTES = 48 * 2**20
"""Size of the encoded cells that are kept, for about 650 images."""
CLEARNESS_VALUES = 100_000
"""Pairs of an image and a word whose clearness is kept."""


class ProjectContext:
    """State shared by all sessions on one project.

    Parameters
    ----------
    project : ProjectFolder
        Read-only.

    Attributes
    ----------
    history_store : History
        The project's history file.
    words : WordEmbeddings
    open_cell_store : callable or None
        Opens, for the graph of cells, a store of what it computes. None unless the owner of the machine works
        on the project, because the store grows with each image that is looked at.
    """

    def __init__(self, project: ProjectFolder) -> None:
        self.project = project
        self.open_cell_store: Callable[[Encoder], CellStore] | None = None
        self._lock = threading.Lock()
        self._map_lock = threading.Lock()
        self._image_map: ImageMap | None = None
        self._nodes: weakref.WeakValueDictionary[str, Node] = weakref.WeakValueDictionary()
        self.history_store = History(project.path / files.HISTORY, self.data_hash)
        self.words = WordEmbeddings(project, lambda: self.encoder)
        self._cells = Cache(CELL_BYTES, "cells")
        self._clearness = Cache(CLEARNESS_VALUES, "clearness")

    @cached_property
    def data_hash(self) -> str:
        """Hash of the checksums of all files that a fit depends on, 16 hexadecimal digits."""
        listed = self.project.config["files"]
        wanted = (files.CONCEPT_VECTORS, files.RESPONSES, files.IMAGES, files.CONCEPTS, files.STUDENTS)
        text = json.dumps({name: listed[name]["sha256"] for name in wanted if name in listed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def workspace(self) -> Workspace:
        """Arrays and caches of the tuning code."""
        p = self.project
        return Workspace(
            p.students,
            p.X,
            p.T,
            p.is_validation,
            image_ids=p.image_ids,
            concept_groups=p.concept_groups,
            image_groups=p.image_groups,
            labels=p.labels,
            column=self.column,
        )

    @cached_property
    def root(self) -> Node:
        """The node in which every history of this project begins."""
        return Node(
            id=hashlib.sha256(f"root {self.data_hash}".encode()).hexdigest()[:12],
            parent=None,
            kind="root",
            when=str(self.project.config.get("created", "")),
            who="inficond",
            lam=self.project.students.lam,
            solver={"link": self.project.students.link},
            data=self.data_hash,
            code=str(self.project.config.get("inficond", "")),
        )

    def image_map(self, progress: Progress | None = None) -> ImageMap:
        """Return the map of the images; the first call may take a second for each 50,000 images.

        Raises
        ------
        InputError
            The project has too few images for a map.
        """
        with self._map_lock:
            if self._image_map is None:
                self._image_map = image_map(self.project, progress)
            return self._image_map

    def known_map(self) -> ImageMap | None:
        """Return the map of the images if it is computed already, without waiting."""
        if self._image_map is None:
            self._image_map = stored_map(self.project)
        return self._image_map

    def intern_node(self, node: Node) -> Node:
        """Return the copy of a node that all sessions share; a node's id is a hash of its content."""
        with self._lock:
            return self._nodes.setdefault(node.id, node)

    @cached_property
    def encoder(self) -> Encoder:
        """The project's encoder.

        Raises
        ------
        InputError
            It cannot be loaded, or its files have changed since the project was made.
        """
        return self._checked(load_encoder(self._spec("encoder"), download=False), "encoder")

    @cached_property
    def teacher(self) -> Teacher:
        """The project's teacher.

        Raises
        ------
        InputError
            It cannot be loaded, or its files have changed since the project was made.
        """
        return self._checked(load_teacher(self._spec("teacher"), download=False), "teacher")

    def _spec(self, kind: str) -> str:
        section = self.project.config.get(kind) or {}
        spec = section.get("spec") or section.get("name")
        if not spec:
            raise InputError(f"the project {self.project.name!r} does not name its {kind}")
        if str(spec) == {"encoder": files.OWN_ENCODER, "teacher": files.OWN_TEACHER}[kind]:
            return str(self.project.path / str(spec))
        return str(spec)

    def _checked(self, model: Model, kind: str) -> Model:
        digest = (self.project.config.get(kind) or {}).get("digest")
        if digest is not None and digest != model.manifest.digest:
            raise InputError(
                f"{self.project.path} was made with another version of the {kind} {model.name}: restore that "
                "version, or make the project again with `inficond distill`"
            )
        return model

    def respond(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Return the teacher's responses to a picture, (C,), or None if the teacher was a response table."""
        labels_of = self.project.config.get("class_labels")
        if not labels_of or (self.project.config.get("teacher") or {}).get("link") == "responses":
            return None
        column = {label: i for i, label in enumerate(self.teacher.labels)}
        probabilities = self.teacher.respond(self.teacher.preprocess(rgb)[None])[0].astype(np.float64)
        sums = [sum(probabilities[column[label]] for label in labels_of[cls]) for cls in self.project.classes]
        responses = np.clip(np.array(sums), 0.0, 1.0).astype(np.float32)
        share = self.project.config.get("class_share")
        if share:  # the demo's responses are conditional on one of its classes being present
            return share_among(responses[None], float(share["temperature"]))[0]
        return responses

    def cells(self, row: int) -> Cells | None:
        """Return the encoded cells of an image's thumbnail, to show where a concept is.

        None if the encoder is not the embedded one, or if the encoder or the thumbnail cannot be read.
        """

        def make() -> Cells | None:
            if not self._shows_cells:
                return None
            try:
                made = self._encoded_cells(row)
            except InputError:
                return None
            return made if made.vectors.shape[:2] == self.project.assignment(row).shape else None

        found: Cells | None = self._cells.get(row, make, lambda made: made.nbytes if made else 1)
        return found

    def _encoded_cells(self, row: int) -> Cells:
        """Return the cells of an image's thumbnail from the store, or encode and keep them."""
        store, part = self._cell_store, self.project.crop(row)
        thumbnail = self.project.thumbnail_bytes(row)
        cells = None if store is None else store.get(thumbnail, part)
        if cells is None:
            cells = encode_cells(self.cell_encoder, self.project.thumbnail_image(row), part)
            if store is not None:
                store.put(thumbnail, part, cells)
        return cells

    @cached_property
    def _cell_store(self) -> CellStore | None:
        return None if self.open_cell_store is None else self.open_cell_store(self.cell_encoder)

    def cells_of(self, rgb: NDArray[np.uint8]) -> Cells | None:
        """Return the encoded cells of a picture (H, W, 3), or None if the encoder is not the embedded one.

        Raises
        ------
        InputError
            The graph of cells cannot be loaded.
        """
        if not self._shows_cells:
            return None
        share = (self.project.config.get("encoder") or {}).get("crop_share", 1.0)
        crop = centre_crop(rgb.shape[1], rgb.shape[0], share)
        return encode_cells(self.cell_encoder, Image.fromarray(rgb), crop)

    def clearness(self, row: int, concept: str) -> float | None:
        """Return the estimated probability that an image's evidence of a concept shows what it names.

        None where cells cannot tell: the encoder is not the embedded one, or the concept has no word.
        """
        if concept.endswith(SUFFIX) or not self._shows_cells:
            return None

        def measure() -> float | None:
            cells = self.cells(row)
            if cells is None:
                return None
            return self.clearness_in(cells, self.project.regions(row), self.project.assignment(row), concept)

        found: float | None = self._clearness.get((row, concept), measure, lambda value: 1)
        return found

    def clearness_in(
        self, cells: Cells, regions: NDArray[np.floating], assignment: NDArray[np.uint8], concept: str
    ) -> float | None:
        """Return `clearness` for a picture with encoded cells; None if the concept has no word."""
        if concept.endswith(SUFFIX):
            return None
        word, text = self.words.embedding(concept), self.words.text(concept)
        name = original_word(concept) or concept
        meter = ClearnessOfWords(word[None], text[None], load_corpus(None).embeddings, [name])
        return float(meter.of([cells], regions[None], assignment[None])[0, 0])

    @cached_property
    def cell_encoder(self) -> Encoder:
        """The graph of cells, in the space of the embedded encoder.

        Raises
        ------
        InputError
            It cannot be loaded.
        """
        return load_cell_encoder()

    @cached_property
    def _shows_cells(self) -> bool:
        """Whether the project's encoder is the embedded one, of the version in this installation."""
        config = self.project.config.get("encoder") or {}
        if config.get("spec") != ENCODER:
            return False
        try:
            shipped = read_manifest(embedded_folder("encoder"), "encoder").digest
        except InputError:
            return False
        return config.get("digest") in (None, shipped)

    def column(self, word: str) -> NDArray[np.float32]:
        """Compute the concept vector entries of a word from the stored regions, (N,)."""
        original = original_word(word)
        if original is not None and original in self.project.concepts:  # the values that the fit has seen
            return np.array(self.project.X[:, self.project.concepts.index(original)], np.float32)
        embedding = self.words.embedding(word)[None]
        regions = self.project.region_embeddings
        out = np.empty(len(regions), np.float32)
        for start in range(0, len(regions), 4096):
            out[start : start + 4096] = concept_vectors(regions[start : start + 4096], embedding)[:, 0]
        return out


@cache
def code_version() -> str:
    """Return the program's version and a hash of the sources that decide the result of a fit."""
    core = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for package in FITTING_PACKAGES:
        for source in sorted((core / package).rglob("*.py")):
            digest.update(source.relative_to(core).as_posix().encode())
            digest.update(source.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
