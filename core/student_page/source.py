"""Students that a page can be made of: those of a project, and those of an exported ONNX file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.facade import Project
from inficond.core.models import onnx_protobuf
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.core.models.predictor import Predictor, read_student
from inficond.core.models.protobuf import Malformed
from inficond.core.models.sessions import open_session
from inficond.core.onnx_student.export import word_embeddings
from inficond.core.onnx_student.graph import active_concepts
from inficond.core.sessions.exam_records import short_record
from inficond.core.sessions.session import Session


@dataclass(frozen=True)
class PageStudent:
    """C classes over the A concepts that have a weight.

    Parameters
    ----------
    name : str
        Of the project, or of the file.
    encoder : Encoder
    classes, concepts : list of str
    link : {"sigmoid", "softmax"}
    thresholds, bias : (C,)
    weights : (C, A)
        Standardised.
    mean, scale : (A,)
        Standardisation of the concept values.
    words : (A, D) float32
        Embeddings of the concepts.
    provenance : dict
        Project, node, and the figures of the exam (None if none was taken).
    """

    name: str
    encoder: Encoder
    classes: list[str]
    concepts: list[str]
    link: str
    thresholds: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    words: np.ndarray
    provenance: dict[str, Any]

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Return the logits (n, C) of concept values (n, A)."""
        return ((values - self.mean) / self.scale) @ self.weights.T + self.bias


def from_session(session: Session) -> PageStudent:
    """Return the students of a session's current node.

    Raises
    ------
    InputError
        The encoder cannot be loaded, or no concept has a weight.
    """
    students, words = session.students, word_embeddings(session)
    active = active_concepts(students)
    return PageStudent(
        name=session.project.name,
        encoder=session.context.encoder,
        classes=list(students.classes),
        concepts=[students.concepts[int(k)] for k in active],
        link=students.link,
        thresholds=students.thresholds,
        weights=students.weights[:, active],
        bias=students.bias,
        mean=students.mean[active],
        scale=students.scale[active],
        words=words[active],
        provenance={
            "project": session.project.name,
            "node": session.node,
            "exam": short_record(session.last_exam()),
        },
    )


def from_onnx(path: Path, encoder: str | Path = "embedded") -> PageStudent:
    """Return the students of a file written by `inficond export student`.

    Parameters
    ----------
    path : Path
    encoder : str or Path
        The encoder that the file was made with: the evidence of a word needs outputs that the file lacks.

    Raises
    ------
    InputError
        The file is not an exported student, or was made with another encoder.
    """
    graph = read_student(path)
    predictor = Predictor(open_session(graph, "cpu"), graph.facts.metadata)
    model = load_encoder(encoder)
    if model.manifest.digest != predictor.encoder.get("digest"):
        raise InputError(
            f"{path} was made with the encoder {predictor.encoder.get('name')!r}, not with {model.name!r}: "
            "name its folder with --encoder"
        )
    constants = onnx_protobuf.Graph.parse(graph.checked_content(), str(path)).initializers
    try:
        words, mean, scale, weights, bias = (
            onnx_protobuf.array_of(constants[f"student_{name}"])
            for name in ("words", "mean", "scale", "weights", "bias")
        )
    except (KeyError, Malformed) as error:
        raise InputError(f"{path} has no constants of a student ({error}): export it again") from None
    shapes = {
        "words": (model.dim, len(predictor.concepts)),
        "mean": (len(predictor.concepts),),
        "scale": (len(predictor.concepts),),
        "weights": (len(predictor.concepts), len(predictor.classes)),
        "bias": (len(predictor.classes),),
    }
    for (name, shape), array in zip(shapes.items(), (words, mean, scale, weights, bias), strict=True):
        if (
            array.shape != shape
            or not np.isfinite(array).all()
            or (name == "scale" and not (array > 0).all())
        ):
            raise InputError(f"{path}: the constant student_{name} is not that of an export: export it again")
    return PageStudent(
        name=str(predictor.provenance.get("project") or path.stem),
        encoder=model,
        classes=predictor.classes,
        concepts=predictor.concepts,
        link=predictor.link,
        thresholds=predictor.thresholds,
        weights=weights.T,
        bias=bias,
        mean=mean,
        scale=1 / scale,  # the graph multiplies by the reciprocal
        words=words.T,
        provenance={key: predictor.provenance.get(key) for key in ("project", "node", "exam")},
    )


def read_source(
    source: Path | Project | Session, node: str | None = None, encoder: str | Path = "embedded"
) -> tuple[PageStudent, Session | None]:
    """Return the students of a project, a session or an ONNX file, and the session if there is one.

    Raises
    ------
    InputError
        See `from_session` and `from_onnx`; or a node was named for an ONNX file.
    """
    if isinstance(source, Path | str):
        source = Path(source)
        if source.is_file():
            if node is not None:
                raise InputError(f"{source} is a file and has no nodes: name its project, or omit --node")
            return from_onnx(source, encoder), None
        source = Project.open(source)
    session = source if isinstance(source, Session) else source.session("main")
    if node is not None:
        session = Session(session.context)
        session.checkout(node)
    return from_session(session), session
