"""Export of a project's students as one verified ONNX file."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.atomic_io import temporary_name
from inficond.core.concepts import concept_vectors
from inficond.core.errors import InputError, system_reason
from inficond.core.facade import Project
from inficond.core.images import UnreadableImage, open_picture
from inficond.core.models.encoder import Encoder
from inficond.core.models.predictor import Predictor, read_student
from inficond.core.models.sessions import open_session
from inficond.core.models.trust import trust
from inficond.core.onnx_student.graph import student_graph
from inficond.core.progress import Progress, Silent
from inficond.core.project.folder import ProjectFolder
from inficond.core.sessions.exam_records import short_record
from inficond.core.sessions.session import Session
from inficond.core.students import Students

TOLERANCE = 1e-3
"""Largest accepted difference between the file's probabilities and the project's."""
CHECKED = 32
"""Images on which every export is compared with the project."""


def export_student(
    project: Path | Project | Session,
    out: Path,
    *,
    node: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the students of a project, or of a session, as one ONNX file.

    Parameters
    ----------
    project : Path, Project or Session
        A project is exported at the current node of its own history, a session at its current node.
    out : Path
        The file.
    node : str, optional
        Another node of the history.
    overwrite : bool
        Replace an existing file. An existing file with the same content is always accepted.
    progress : Progress, optional
        Reports the images compared.

    Returns
    -------
    dict
        `file`, `bytes`, `sha256`, `classes`, `concepts` (number with a weight), `node`, `max_error`,
        `images` (number compared).

    Raises
    ------
    InputError
        The project's encoder cannot be loaded or has changed, or the file's probabilities differ from the
        project's by more than 1e-3; nothing is written then.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.onnx_student.export import export_student
    >>> session = Project.open(demo_project()).session()
    >>> exported = export_student(session, Path("student.onnx"))
    >>> exported["images"], exported["max_error"] < 1e-3
    (32, True)
    """
    out, progress = Path(out), progress or Silent()
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file, such as {out / 'student.onnx'}")
    if isinstance(project, Path | str):
        project = Project.open(project)
    session = project if isinstance(project, Session) else project.session("main")
    if node is not None:
        session = Session(session.context)
        session.checkout(node)
    students, words, encoder = session.students, word_embeddings(session), session.context.encoder
    provenance = {
        "project": session.project.name,
        "node": session.node,
        "project_checksum": session.project.config.get("checksum"),
        "exam": short_record(session.last_exam()),
    }
    data = student_graph(encoder, students, words, provenance)
    if not overwrite and out.exists() and not _same(out, data):
        raise InputError(f"{out} exists already; name another file, or replace it with --overwrite")
    partial = temporary_name(out, "partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        predictor = _open(partial, session.context.encoder.session.trusted)
        largest, count = compare_with_project(predictor, session, words, progress)
        if not largest <= TOLERANCE:
            raise InputError(
                f"the exported student differs from the project by {largest:.1e}, more than the allowed "
                f"{TOLERANCE:.0e}; nothing was written"
            )
        os.replace(partial, out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {system_reason(error)}") from None
    finally:
        partial.unlink(missing_ok=True)
    return {
        "file": str(out),
        "bytes": len(data),
        "sha256": predictor.session.sha256,
        "classes": list(students.classes),
        "concepts": len(predictor.concepts),
        "node": session.node,
        "max_error": largest,
        "images": count,
    }


def _open(path: Path, trusted: bool) -> Predictor:
    """Open a file written by this process; it is as trusted as the encoder whose graph it contains."""
    graph = read_student(path)
    if trusted:
        with contextlib.suppress(InputError):  # without a writable cache it runs in a limited process
            trust(graph.sha256)
    return Predictor(open_session(graph), graph.facts.metadata)


def _same(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def word_embeddings(session: Session) -> np.ndarray:
    """Return the embeddings of a session's concepts, (K, D) float32, words added by hand included.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.onnx_student.export import word_embeddings
    >>> session = Project.open(demo_project()).session()
    >>> word_embeddings(session).shape[0] == len(session.concepts)
    True
    """
    stored = session.queries.embeddings
    if stored is not None:
        return np.asarray(stored, np.float32)
    return np.stack([session.context.words.embedding(concept) for concept in session.concepts])


def compare_with_project(
    predictor: Predictor,
    session: Session,
    words: np.ndarray,
    progress: Progress,
    images: int = CHECKED,
) -> tuple[float, int]:
    """Compare a file's probabilities with those that the project computes.

    Parameters
    ----------
    predictor : Predictor
        The exported file.
    session : Session
    words : (K, D) float32
        Embeddings of the session's concepts.
    progress : Progress
    images : int
        At most so many of the project's images, evenly spread; random pixels if no original can be read.

    Returns
    -------
    largest : float
        Largest difference of a probability.
    count : int
        Images compared.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.models.predictor import load_predictor
    >>> from inficond.core.onnx_student.export import compare_with_project, export_student, word_embeddings
    >>> from inficond.core.progress import Silent
    >>> session = Project.open(demo_project()).session()
    >>> _ = export_student(session, Path("student.onnx"))
    >>> predictor = load_predictor(Path("student.onnx"), "cpu")
    >>> largest, n = compare_with_project(predictor, session, word_embeddings(session), Silent(), images=4)
    >>> largest < 1e-3, n
    (True, 4)
    """
    encoder, students = session.context.encoder, session.students
    largest, count = 0.0, 0
    for pixels in compared_pixels(encoder, session.project, images, "file", progress):
        largest = max(largest, _difference(predictor, encoder, students, words, pixels))
        count += len(pixels)
    return largest, count


def compared_pixels(
    encoder: Encoder, project: ProjectFolder | None, images: int, kind: str, progress: Progress
) -> Iterator[np.ndarray]:
    """Yield preprocessed pictures on which an export is compared with its project.

    Parameters
    ----------
    encoder : Encoder
    project : ProjectFolder or None
        Source of pictures.
    images : int
        At most so many of the project's images, evenly spread.
    kind : str
        What is compared, for the progress.
    progress : Progress

    Yields
    ------
    (1, H, W, 3) uint8
        If no original can be read, one batch of eight pictures of random pixels instead.

    Examples
    --------
    >>> from inficond.core.models import load_encoder
    >>> from inficond.core.onnx_student.export import compared_pixels
    >>> from inficond.core.progress import Silent
    >>> encoder = load_encoder("embedded", provider="cpu")
    >>> batches = compared_pixels(encoder, None, 4, "file", Silent())
    >>> next(batches).shape == (8, *encoder.size, 3)
    True
    """
    number = 0 if project is None else len(project)
    rows = np.linspace(0, number - 1, min(images, number)).round().astype(int)
    progress.start(f"comparing the {kind} with the project", len(rows))
    found = False
    for row in dict.fromkeys(rows.tolist()):
        progress.advance()
        assert project is not None
        try:
            picture = open_picture(project.image_path(row), encoder.preprocess.at_least).image
        except (UnreadableImage, OSError, InputError):
            continue
        found = True
        yield encoder.preprocess(picture)[None]
    if not found:
        yield np.random.default_rng(0).integers(0, 256, (8, *encoder.size, 3), dtype=np.uint8)


def _difference(
    predictor: Predictor, encoder: Encoder, students: Students, words: np.ndarray, pixels: np.ndarray
) -> float:
    regions = encoder.encode(pixels).regions.astype(np.float16)
    expected = students.predict(concept_vectors(regions, words))
    return float(np.abs(predictor.predict(pixels) - expected).max())
