"""A student as an ONNX graph: pixels in, probabilities out, a description in the metadata.

The encoder's graph is cut back to its `regions` output. The student follows, with the same arithmetic as in
the project (x is the concept vector; μ and s standardise it)::

    regions → float16 → float32        the precision in which a project stores them
    x_k = max(0, max_r r·t_k)          only concepts with a weight in some class
    logits = ((x − μ)/s)·Wᵀ + b        then sigmoid, or softmax over the classes

Needs neither torch nor the onnx package.
"""

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.models import onnx_protobuf
from inficond.core.models.encoder import Encoder
from inficond.core.models.manifest import ImageInput
from inficond.core.models.predictor import FORMAT, FORMAT_VERSION, with_checksum
from inficond.core.students import Students


def student_graph(
    encoder: Encoder, students: Students, words: np.ndarray, provenance: dict[str, Any]
) -> bytes:
    """Build the ONNX model of a student.

    Parameters
    ----------
    encoder : Encoder
        Its image graph is the first part of the model.
    students : Students
        C classes over K concepts.
    words : ndarray
        The concepts in the encoder's space, float32 (K, D), unit length.
    provenance : dict
        Written into the metadata.

    Returns
    -------
    bytes
        Input `pixels` uint8 (B, H, W, 3); outputs `probabilities` float32 (B, C) and `concepts` float32
        (B, A) for the A active concepts.

    Raises
    ------
    InputError
        No concept has a weight, or the embeddings do not have the encoder's dimension.
    """
    active = active_concepts(students)
    if words.shape != (students.n_concepts, encoder.dim):
        raise InputError(
            f"the concept embeddings have dimension {words.shape[-1]}, but the encoder {encoder.name} "
            f"has {encoder.dim}: build the project again"
        )
    source = encoder.session.read_file()
    graph = onnx_protobuf.Graph.parse(source.checked_content(), str(source.path))
    graph.keep_only(["regions"])
    add, f32 = graph.add, np.float32
    nodes = cosine_nodes(graph, words[active])
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
            "Sub", ["concepts", add("student_mean", students.mean[active].astype(f32))], ["student_centred"]
        ),
        onnx_protobuf.node(
            "Mul", ["student_centred", add("student_scale", scale.astype(f32))], ["student_standardised"]
        ),
        onnx_protobuf.node(
            "MatMul",
            ["student_standardised", add("student_weights", students.weights[:, active].T.astype(f32))],
            ["student_products"],
        ),
        onnx_protobuf.node(
            "Add", ["student_products", add("student_bias", students.bias.astype(f32))], ["student_logits"]
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
    return with_checksum(graph.dump("inficond student"))


def active_concepts(students: Students) -> NDArray[np.intp]:
    """Return the columns of the concepts with a weight in some class, ascending.

    Raises
    ------
    InputError
        There is none.
    """
    active = np.flatnonzero((students.weights != 0).any(axis=0))
    if not len(active):
        raise InputError("no concept has a weight in any class, so there is nothing to export: lower λ first")
    return active


def cosine_nodes(graph: onnx_protobuf.Graph, words: np.ndarray) -> list[bytes]:
    """Return the nodes from `regions` to `student_cosines`, float32 (B, R, A); add their constants.

    Parameters
    ----------
    graph : Graph
        An encoder's.
    words : (A, D) float32
        Embeddings of the concepts.
    """
    return [
        onnx_protobuf.node("Cast", ["regions"], ["student_half"], to=onnx_protobuf.FLOAT16),
        onnx_protobuf.node("Cast", ["student_half"], ["student_regions"], to=onnx_protobuf.FLOAT),
        onnx_protobuf.node(
            "MatMul",
            ["student_regions", graph.add("student_words", words.T.astype(np.float32))],
            ["student_cosines"],
        ),
    ]


def _metadata(
    encoder: Encoder, students: Students, active: np.ndarray, provenance: dict[str, Any]
) -> dict[str, str]:
    image = encoder.manifest.image
    fields: dict[str, Any] = {
        "classes": list(students.classes),
        "concepts": [students.concepts[k] for k in active],
        "thresholds": [float(t) for t in students.thresholds],  # type: ignore[union-attr]
        "image": image_fields(image),
        "encoder": {
            "name": encoder.name,
            "licence": encoder.manifest.licence,
            "digest": encoder.manifest.digest,
        },
        "provenance": provenance,
    }
    encoded = {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in fields.items()}
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "link": students.link,
        "students_sha256": _fingerprint(students),
        **encoded,
    }


def image_fields(image: ImageInput) -> dict[str, Any]:
    """Return the preprocessing of pictures as JSON values."""
    return {
        "size": list(image.size),
        "resize": image.resize if isinstance(image.resize, int) else list(image.resize),
        "crop": None if image.crop is None else list(image.crop),
        "interpolation": image.interpolation,
        "crop_offset": image.crop_offset,
        "reducing_gap": image.reducing_gap,
    }


def _fingerprint(students: Students) -> str:
    """Return the SHA-256 of everything that decides a student's probabilities."""
    digest = hashlib.sha256()
    names = [list(students.classes), list(students.concepts), students.link]
    digest.update(json.dumps(names, ensure_ascii=False).encode())
    for array in (students.weights, students.bias, students.mean, students.scale, students.thresholds):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()
