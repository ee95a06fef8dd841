"""A student as one ONNX file: pixels in, probabilities out, and everything needed to read it as metadata.

The encoder's graph is cut back to its regions; what follows is the student, in the order of the project's own
arithmetic (X is the concept vector, μ and s standardise it)::

    regions → float16 → float32        as they are stored
    x_k = max(0, max_r r·t_k)          only concepts that some class weighs
    logits = ((x − μ)/s)·Wᵀ + b        then sigmoid, or softmax over the classes

Needs neither torch nor the onnx package.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.atomic_io import temporary_name
from inficond.core.errors import InputError
from inficond.core.models import onnx_protobuf
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.core.models.onnx_safety import check_graph
from inficond.core.models.predictor import FORMAT, FORMAT_VERSION, Predictor, load_predictor, sealed
from inficond.core.progress import Progress, Silent

if TYPE_CHECKING:
    from inficond.core.project.project import Project
    from inficond.core.sessions.session import Session
    from inficond.core.students import Students

TOLERANCE = 1e-3
CHECKED = 32
"""Images on which every export is held against the project."""


def student_graph(
    encoder: Encoder, students: "Students", words: np.ndarray, provenance: dict[str, Any]
) -> bytes:
    """The ONNX model of a student.

    Parameters
    ----------
    encoder : Encoder
        Whose image graph begins the file.
    students : Students
        C classes over K concepts.
    words : ndarray
        The concepts in the encoder's space, float32 (K, D), unit length.
    provenance : dict
        Goes into the metadata as it is.

    Returns
    -------
    bytes
        Input `pixels` uint8 (B, H, W, 3); outputs `probabilities` float32 (B, C) and `concepts` float32
        (B, A) for the A active concepts.

    Raises
    ------
    InputError
        If no concept has a weight, or words and encoder differ in size.
    """
    active = np.flatnonzero((students.weights != 0).any(axis=0))
    if not len(active):
        raise InputError("the students weigh no concept at all, so there is nothing to export: lower λ first")
    if words.shape != (students.n_concepts, encoder.dim):
        raise InputError(
            f"the concepts have {words.shape[-1]} numbers each and the encoder {encoder.name} "
            f"gives {encoder.dim}"
        )
    manifest = encoder.manifest
    path = manifest.path_of(manifest.image.file)
    graph = onnx_protobuf.Graph.parse(path.read_bytes(), str(path))
    graph.keep_only(["regions"])
    add, f32 = graph.add, np.float32
    nodes = [
        onnx_protobuf.node("Cast", ["regions"], ["student_half"], to=onnx_protobuf.FLOAT16),
        onnx_protobuf.node("Cast", ["student_half"], ["student_regions"], to=onnx_protobuf.FLOAT),
        onnx_protobuf.node(
            "MatMul",
            ["student_regions", add("student_words", words[active].T.astype(f32))],
            ["student_cosines"],
        ),
    ]
    if graph.opset >= 18:  # axes became an input
        axes = add("student_axis", np.array([1], np.int64))
        nodes.append(onnx_protobuf.node("ReduceMax", ["student_cosines", axes], ["student_best"], keepdims=0))
    else:
        nodes.append(
            onnx_protobuf.node("ReduceMax", ["student_cosines"], ["student_best"], axes=[1], keepdims=0)
        )
    scale = 1 / students.scale[active].astype(np.float64)
    nodes += [
        onnx_protobuf.node("Relu", ["student_best"], ["concepts"]),
        onnx_protobuf.node(
            "Sub", ["concepts", add("student_mean", students.mean[active].astype(f32))], ["student_apart"]
        ),
        onnx_protobuf.node(
            "Mul", ["student_apart", add("student_scale", scale.astype(f32))], ["student_standardised"]
        ),
        onnx_protobuf.node(
            "MatMul",
            ["student_standardised", add("student_weights", students.weights[:, active].T.astype(f32))],
            ["student_weighed"],
        ),
        onnx_protobuf.node(
            "Add", ["student_weighed", add("student_bias", students.bias.astype(f32))], ["student_logits"]
        ),
    ]
    if students.link == "softmax":
        nodes.append(onnx_protobuf.node("Softmax", ["student_logits"], ["probabilities"], axis=-1))
    else:
        nodes.append(onnx_protobuf.node("Sigmoid", ["student_logits"], ["probabilities"]))
    graph.nodes += nodes
    graph.outputs = {
        "probabilities": onnx_protobuf.value(
            "probabilities", onnx_protobuf.FLOAT, ["batch", students.n_classes]
        ),
        "concepts": onnx_protobuf.value("concepts", onnx_protobuf.FLOAT, ["batch", len(active)]),
    }
    graph.metadata = _metadata(encoder, students, active, provenance)
    return sealed(graph.dump("inficond student"))


def _metadata(
    encoder: Encoder, students: "Students", active: np.ndarray, provenance: dict[str, Any]
) -> dict[str, str]:
    image = encoder.manifest.image
    fields: dict[str, Any] = {
        "classes": list(students.classes),
        "concepts": [students.concepts[k] for k in active],
        "thresholds": [float(t) for t in students.thresholds],  # type: ignore[union-attr]
        "image": {
            "size": list(image.size),
            "resize": image.resize if isinstance(image.resize, int) else list(image.resize),
            "crop": None if image.crop is None else list(image.crop),
            "interpolation": image.interpolation,
            "crop_offset": image.crop_offset,
            "reducing_gap": image.reducing_gap,
        },
        "encoder": {
            "name": encoder.name,
            "licence": encoder.manifest.licence,
            "digest": encoder.manifest.digest,
        },
        "provenance": provenance,
    }
    said = {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in fields.items()}
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "link": students.link,
        "students_sha256": _fingerprint(students),
        **said,
    }


def _fingerprint(students: "Students") -> str:
    """SHA-256 over everything that decides a student's answers."""
    digest = hashlib.sha256()
    said = [list(students.classes), list(students.concepts), students.link]
    digest.update(json.dumps(said, ensure_ascii=False).encode())
    for array in (students.weights, students.bias, students.mean, students.scale, students.thresholds):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()


def export_student(
    project: "Path | Project | Session",
    out: Path,
    *,
    node: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the students of a project, or of a visitor's session, as one ONNX file.

    Parameters
    ----------
    project : Path, Project or Session
        A session exports the node where it stands.
    out : Path
        The file.
    node : str, optional
        A node of the history; the current one by default.
    overwrite : bool
        Replace a file that is there. Just the same file is no obstacle: a run that was killed at its very end
        can be repeated.
    progress : Progress, optional
        Told of the images checked.

    Returns
    -------
    dict
        `bytes`, `classes`, `concepts` (how many are active), `max_error`, `images`, `node`, `sha256`.

    Raises
    ------
    InputError
        If the project's encoder is not here or not the one it was made with, or the file's answers differ
        from the project's by more than 1e-3; then nothing is written.
    """
    from inficond.core.project.project import Project
    from inficond.core.sessions.session import Session

    out, progress = Path(out), progress or Silent()
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file, such as {out / 'student.onnx'}")
    if isinstance(project, Path | str):
        project = Project.open(project)
    session = project if isinstance(project, Session) else project.session("main")
    if node is not None:
        session = session.project.session()
        session.checkout(node)
    students, words = session.students, words_of(session)
    encoder = encoder_of(session.project)
    provenance = {
        "project": session.project.name,
        "node": session.node,
        "project_checksum": session.project.config.get("checksum"),
    }
    data = student_graph(encoder, students, words, provenance)
    if not overwrite and out.exists() and not _same(out, data):
        raise InputError(f"{out} is there already; name another file, or replace it with --overwrite")
    partial = temporary_name(out, "partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        check_graph(partial, str(out))
        predictor = load_predictor(partial)
        worst, count = compare_with_project(predictor, encoder, students, words, session.project, progress)
        if not worst <= TOLERANCE:
            raise InputError(
                f"the exported student differs from the project by {worst:.1e} ({TOLERANCE:.0e} is allowed);"
                " nothing was written"
            )
        os.replace(partial, out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return {
        "file": str(out),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "classes": list(students.classes),
        "concepts": len(predictor.concepts),
        "node": session.node,
        "max_error": worst,
        "images": count,
    }


def _same(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def words_of(session: "Session") -> np.ndarray:
    """The concepts of a session in the encoder's space, float32 (K, D), words added by hand included."""
    students = session.students
    if students.embeddings is not None and len(students.embeddings) == students.n_concepts:
        return np.asarray(students.embeddings, np.float32)
    return np.stack([np.asarray(session.shared.embedding(c), np.float32) for c in students.concepts])


def encoder_of(project: "Project") -> Encoder:
    """The encoder a project was made with.

    Raises
    ------
    InputError
        If it is not here, or its files have changed since.
    """
    said = project.config.get("encoder") or {}
    encoder = load_encoder(said.get("spec", "embedded"))
    digest = said.get("digest")
    if digest is not None and digest != encoder.manifest.digest:
        raise InputError(
            f"{project.path} was made with another version of the encoder {encoder.name}: its "
            "regions would differ;"
            " make the project again with `inficond distill`"
        )
    return encoder


def compare_with_project(
    predictor: Predictor,
    encoder: Encoder,
    students: "Students",
    words: np.ndarray,
    project: "Project",
    progress: Progress,
    images: int = CHECKED,
) -> tuple[float, int]:
    """Largest difference between a file's probabilities and the project's own, and on how many images.

    The project's originals where they can be read; noise in their place where none is left.
    """
    from inficond.core.concepts import concept_vectors
    from inficond.core.images import UnreadableImage, open_picture

    rows = np.linspace(0, len(project) - 1, min(images, len(project))).round().astype(int)
    progress.start("holding the file against the project", len(rows))
    worst, count = 0.0, 0
    for row in dict.fromkeys(rows.tolist()):
        progress.advance()
        try:
            picture = open_picture(project.image_path(row), encoder.preprocess.at_least).image
        except (UnreadableImage, OSError, InputError):
            continue
        pixels = encoder.preprocess(picture)[None]
        worst, count = (
            max(worst, _difference(predictor, encoder, students, words, pixels, concept_vectors)),
            count + 1,
        )
    if count == 0:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (8, *encoder.size, 3), dtype=np.uint8)
        worst, count = _difference(predictor, encoder, students, words, pixels, concept_vectors), 8
    return worst, count


def _difference(
    predictor: Predictor,
    encoder: Encoder,
    students: "Students",
    words: np.ndarray,
    pixels: np.ndarray,
    vectors: Any,
) -> float:
    own = students.predict(vectors(encoder.encode(pixels).regions.astype(np.float16), words))
    return float(np.abs(predictor.predict(pixels) - own).max())
