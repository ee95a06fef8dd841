"""A probe as a model folder: the graph of its base teacher, followed by the probe.

In the graph, as in `inficond.core.teachers.features`: log-probabilities of the base teacher, standardisation,
one linear layer, softmax or sigmoid.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inficond.core.atomic_io import replacing
from inficond.core.models import onnx_protobuf
from inficond.core.models.manifest import FORMAT, MANIFEST, checksum_of
from inficond.core.models.teacher import Teacher
from inficond.core.teachers.features import SMALLEST
from inficond.core.teachers.ridge import LinearClassifier

GRAPH = "model.onnx"


def write_probe(folder: Path, base: Teacher, classifier: LinearClassifier, classes: Sequence[str]) -> Path:
    """Write a teacher folder, so that the probe can predict new images.

    Parameters
    ----------
    folder : Path
        Created where missing.
    base : Teacher
        Its responses are the features of the probe.
    classifier : LinearClassifier
        Over the features of `base`.
    classes : sequence of C str
        Labels of the new teacher.

    Returns
    -------
    Path
        The folder.
    """
    manifest = base.manifest
    source = base.session.read_file()
    graph = onnx_protobuf.Graph.parse(source.checked_content(), str(source.path))
    output = manifest.output or next(iter(graph.outputs))
    graph.keep_only([output])
    node, add = onnx_protobuf.node, graph.add

    def name(part: str) -> str:
        """Return a name that is unique even if the base teacher is a probe."""
        return f"probe_{manifest.digest[:8]}_{part}"

    if manifest.output_kind == "probabilities":
        smallest = add(name("smallest"), np.array(SMALLEST, np.float32))
        graph.nodes += [
            node("Max", [output, smallest], [name("positive")]),
            node("Log", [name("positive")], [name("features")]),
        ]
    elif base.link == "softmax":
        floor = add(name("floor"), np.log(np.array(SMALLEST, np.float32)))
        graph.nodes += [
            node("LogSoftmax", [output], [name("log")], axis=-1),
            node("Max", [name("log"), floor], [name("features")]),
        ]
    else:
        smallest = add(name("smallest"), np.array(SMALLEST, np.float32))
        graph.nodes += [
            node("Sigmoid", [output], [name("probabilities")]),
            node("Max", [name("probabilities"), smallest], [name("positive")]),
            node("Log", [name("positive")], [name("features")]),
        ]
    weights = (classifier.weights / classifier.scale).T
    bias = classifier.bias - classifier.mean @ weights
    graph.nodes += [
        node("MatMul", [name("features"), add(name("weights"), weights.astype(np.float32))], [name("sum")]),
        node("Add", [name("sum"), add(name("bias"), bias.astype(np.float32))], [name("logits")]),
    ]
    value = onnx_protobuf.value(name("logits"), onnx_protobuf.FLOAT, ["batch", len(classes)])
    graph.outputs = {name("logits"): value}
    data = graph.dump("inficond probe")
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / GRAPH) as file:
        file.write(data)
    said = {
        **{k: v for k, v in manifest.raw.items() if k in ("opset", "precision")},
        "format": FORMAT,
        "kind": "teacher",
        "name": f"probe on {manifest.name}",
        "licence": manifest.licence,
        "source": f"inficond distill --teacher probe on {manifest.name} {manifest.digest[:12]}",
        "image": {**manifest.raw["image"], "file": GRAPH},
        "labels": list(classes),
        "link": classifier.link,
        "output": name("logits"),
        "output_kind": "logits",
        "verification": {},
        "files": {GRAPH: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}},
    }
    said["checksum"] = checksum_of(json.loads(json.dumps(said)))
    with replacing(folder / MANIFEST) as file:
        file.write((json.dumps(said, ensure_ascii=False, indent=1) + "\n").encode())
    return folder
