"""Zero-shot classification through an encoder's two towers, as a teacher folder.

The graph is the encoder's image tower, followed by the cosine with the embedding of each class and a division
by a temperature (Radford et al. 2021).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from inficond.core.atomic_io import replacing
from inficond.core.concepts.corpus import Concept, compute_vectors
from inficond.core.models import onnx_protobuf
from inficond.core.models.encoder import Encoder
from inficond.core.models.manifest import FORMAT, MANIFEST, checksum_of
from inficond.core.models.trust import trust

GRAPH = "model.onnx"
TEMPERATURE = 0.02
"""Cosines are divided by it before the softmax."""


def write_zero_shot(
    folder: Path, encoder: Encoder, prompts: Mapping[str, Sequence[str]], temperature: float = TEMPERATURE
) -> Path:
    """Write a teacher folder that classifies by the words of classes.

    Parameters
    ----------
    folder : Path
        Created where missing.
    encoder : Encoder
        With a text tower.
    prompts : mapping
        Class -> phrases; where there are none, the class itself in the encoder's templates.
    temperature : float
        Above 0.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        The encoder has no text tower.
    """
    manifest = encoder.manifest
    concepts = [Concept(name, "classes", tuple(phrases), True) for name, phrases in prompts.items()]
    vectors = compute_vectors(concepts, encoder)
    source = encoder.session.read_file()
    graph = onnx_protobuf.Graph.parse(source.checked_content(), str(source.path))
    graph.keep_only(["image"])
    weights = graph.add("zero_shot_words", np.ascontiguousarray(vectors.T / temperature, np.float32))
    graph.nodes += [onnx_protobuf.node("MatMul", ["image", weights], ["zero_shot_logits"])]
    value = onnx_protobuf.value("zero_shot_logits", onnx_protobuf.FLOAT, ["batch", len(prompts)])
    graph.outputs = {"zero_shot_logits": value}
    data = graph.dump("inficond zero-shot")
    digest = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / GRAPH) as file:
        file.write(data)
    if encoder.session.trusted:  # a product with constants was added, nothing else
        trust(digest)
    said = {
        **{key: value for key, value in manifest.raw.items() if key in ("opset", "precision")},
        "format": FORMAT, "kind": "teacher", "name": f"zero-shot on {manifest.name}",
        "licence": manifest.licence, "source": f"inficond distill --teacher zero-shot on {manifest.name}",
        "image": {**manifest.raw["image"], "file": GRAPH}, "labels": list(prompts), "link": "softmax",
        "output": "zero_shot_logits", "output_kind": "logits", "verification": {},
        "files": {GRAPH: {"sha256": digest, "bytes": len(data)}},
    }  # fmt: skip
    said["checksum"] = checksum_of(json.loads(json.dumps(said)))
    with replacing(folder / MANIFEST) as file:
        file.write((json.dumps(said, ensure_ascii=False, indent=1) + "\n").encode())
    return folder
