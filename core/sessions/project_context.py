"""What all sessions on one project share, made once: the workspace, the history file, words as vectors."""

import hashlib
import json
import threading
import weakref
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inficond.core import __version__
from inficond.core.errors import InputError
from inficond.core.history.node import Node
from inficond.core.history.store import History
from inficond.core.progress import Progress
from inficond.core.project import files
from inficond.core.tuning.workspace import Workspace

if TYPE_CHECKING:
    from inficond.core.project.project import Project

_lock = threading.Lock()
_all: "weakref.WeakKeyDictionary[Project, Shared]" = weakref.WeakKeyDictionary()


def shared_of(project: "Project") -> "Shared":
    """The one `Shared` of a project."""
    with _lock:
        if project not in _all:
            _all[project] = Shared(project)
        return _all[project]


class Shared:
    """Beside the project itself, all that sessions on it have in common.

    Parameters
    ----------
    project : Project
        Read-only.
    """

    def __init__(self, project: "Project") -> None:
        # Weakly, or the project would live as long as the registry that knows it.
        self._project = weakref.ref(project)
        self._words: dict[str, NDArray[np.float32]] = {}
        self._vocabulary: tuple[tuple[str, ...], NDArray[np.float32]] | None = None
        self._lock = threading.RLock()
        self._nodes: weakref.WeakValueDictionary[str, Node] = weakref.WeakValueDictionary()
        self.history = History(project.path / files.HISTORY, self.data_hash)

    @property
    def project(self) -> "Project":
        """The project."""
        project = self._project()
        if project is None:
            raise RuntimeError("the project was closed while a session still used it")
        return project

    @cached_property
    def data_hash(self) -> str:
        """Hash of the checksums of all that a fit depends on, 16 hexadecimal digits."""
        listed = self.project.config["files"]
        wanted = (files.CONCEPT_VECTORS, files.RESPONSES, files.IMAGES, files.CONCEPTS, files.STUDENTS)
        text = json.dumps({name: listed[name]["sha256"] for name in wanted if name in listed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def workspace(self) -> Workspace:
        """Arrays and caches."""
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

    def one_of(self, node: Node) -> Node:
        """The one copy of a node that all sessions share: its id is a hash of all it says."""
        with self._lock:
            return self._nodes.setdefault(node.id, node)

    @cached_property
    def groups(self) -> dict[str, int]:
        """How many concepts each group has."""
        counts: dict[str, int] = {}
        for group in self.project.concept_groups:
            counts[group] = counts.get(group, 0) + 1
        return counts

    def embedding(self, word: str) -> NDArray[np.float32]:
        """(D,) a word in the encoder's space, unit length: stored for the project's concepts, else encoded.

        Raises
        ------
        InputError
            The project's encoder cannot be loaded here.
        """
        p = self.project
        if word in self._columns and p.concept_embeddings is not None:
            return np.asarray(p.concept_embeddings[self._columns[word]], np.float32)
        with self._lock:
            if word not in self._words:
                self._words[word] = np.asarray(self.encoder.embed_words([word])[0], np.float32)
            return self._words[word]

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.project.concepts)}

    @cached_property
    def encoder(self) -> Any:
        """The project's encoder."""
        from inficond.core.models import load_encoder

        return self._same(load_encoder(_spec(self.project, "encoder")), "encoder")

    @cached_property
    def teacher(self) -> Any:
        """The project's teacher.

        Raises
        ------
        InputError
            It was a file of responses, which can say nothing of other images.
        """
        from inficond.core.models import load_teacher

        return self._same(load_teacher(_spec(self.project, "teacher")), "teacher")

    def _same(self, model: Any, kind: str) -> Any:
        """The model, if it is the one that the project was made with: another's numbers would differ.

        Raises
        ------
        InputError
            It has changed since.
        """
        said = (self.project.config.get(kind) or {}).get("digest")
        if said is not None and said != model.manifest.digest:
            raise InputError(
                f"{self.project.path} was made with another version of the {kind} {model.name}: put that one "
                "back, or make the project again with `inficond distill`"
            )
        return model

    def respond(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(C,) the teacher's responses to a picture, or None where it was only a file of responses."""
        named = self.project.config.get("class_labels")
        if not named or (self.project.config.get("teacher") or {}).get("link") == "responses":
            return None
        place = {label: i for i, label in enumerate(self.teacher.labels)}
        given = self.teacher.respond(self.teacher.preprocess(rgb)[None])[0].astype(np.float64)
        sums = [sum(given[place[label]] for label in named[cls]) for cls in self.project.classes]
        responses = np.clip(np.array(sums), 0.0, 1.0).astype(np.float32)
        share = self.project.config.get("class_share")
        if share:  # the demo's responses are given that one of its classes is there
            from inficond.core.models.class_sets import share_among

            return share_among(responses[None], float(share["temperature"]))[0]
        return responses

    def vocabulary(
        self, words: Sequence[str] | None = None, progress: Progress | None = None
    ) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Words beyond the project's concepts and their embeddings (V, D); each is embedded once."""
        if words is None and self._vocabulary is not None:
            return self._vocabulary
        from inficond.core.concepts import load_corpus
        from inficond.core.tuning.missing import vocabulary

        corpus = load_corpus()
        if (self.project.config.get("encoder") or {}).get("spec") == "embedded":
            with self._lock:  # the built-in corpus lies in this encoder's space already
                self._words = {**dict(zip(corpus.names, corpus.embeddings)), **self._words}
        chosen = tuple(dict.fromkeys((*corpus.names, *vocabulary()) if words is None else words))
        chosen = tuple(word for word in chosen if word not in self._columns)
        with self._lock:
            kept = self._word_file() if words is None else None
            if kept is not None:
                self._words = {**_read_words(kept), **self._words}
            todo = [word for word in chosen if word not in self._words]
            if todo and progress is not None:
                progress.start("words", len(todo))
            for start in range(0, len(todo), 64):
                block = todo[start : start + 64]
                self._words.update(zip(block, np.asarray(self.encoder.embed_words(block), np.float32)))
                if progress is not None:
                    progress.advance(len(block))
            made = [self._words[word] for word in chosen]
            if kept is not None and todo:
                _write_words(kept, dict(zip(chosen, made)))
        width = 0 if self.project.concept_embeddings is None else self.project.concept_embeddings.shape[1]
        found = chosen, np.stack(made) if made else np.zeros((0, width), np.float32)
        if words is None:
            self._vocabulary = found
        return found

    def _word_file(self) -> Path | None:
        """Where the vocabulary in this encoder's space is kept between runs: embedding it takes seconds."""
        from inficond.core.models.cache_directory import cache_folder

        digest = (self.project.config.get("encoder") or {}).get("digest")
        return cache_folder("words", f"{str(digest)[:32]}.npz") if str(digest).isalnum() else None

    def column(self, word: str) -> NDArray[np.float32]:
        """(N,) the concept vector entries of a word, from the stored regions."""
        from inficond.core.concepts import concept_vectors

        embedding = self.embedding(word)[None]
        regions = self.project.region_embeddings
        out = np.empty(len(regions), np.float32)
        for start in range(0, len(regions), 4096):
            out[start : start + 4096] = concept_vectors(regions[start : start + 4096], embedding)[:, 0]
        return out


def _spec(project: "Project", kind: str) -> str:
    section = project.config.get(kind) or {}
    spec = section.get("spec") or section.get("name")
    if not spec:
        raise InputError(f"the project {project.name!r} does not say which {kind} it was made with")
    return str(spec)


def _read_words(path: Path) -> dict[str, NDArray[np.float32]]:
    """What `_write_words` wrote; nothing where there is no such file or it is not whole."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names, vectors = file["names"], file["vectors"].astype(np.float32)
    except Exception:  # damage has many names in zip and NumPy, and the words are soon made again
        return {}
    if vectors.ndim != 2 or len(names) != len(vectors) or not np.isfinite(vectors).all():
        return {}
    return dict(zip(names.tolist(), vectors))


def _write_words(path: Path, words: dict[str, NDArray[np.float32]]) -> None:
    """Keep words and their vectors; a cache that cannot be written is no reason to stop."""
    from inficond.core.atomic_io import replacing

    try:
        with replacing(path) as file:
            np.savez(file, names=np.array(list(words)), vectors=np.stack(list(words.values())))
    except (InputError, OSError):
        return


@cache
def code_version() -> str:
    """Version of the program and a hash of the sources that decide what a fit gives."""
    core = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for package in ("solver", "tuning", "students", "concepts"):
        for source in sorted((core / package).rglob("*.py")):
            digest.update(source.relative_to(core).as_posix().encode())
            digest.update(source.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
