"""Build of the folders of ``core/assets`` from pinned packages and a trained projection.

The build is deterministic: equal packages and an equal ``projection.safetensors`` give equal graphs, which
a test checks.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from inficond.core.checksum import sha256_of
from inficond.export.embedded import imagenet, sources
from inficond.export.embedded.corpus import read_entries
from inficond.export.embedded.half_tensors import load_tensors, save_half
from inficond.export.embedded.network import (
    CLASSES,
    MID_CHANNELS,
    TEXT_DIM,
    TOP_CHANNELS,
    EmbeddedEncoder,
    EmbeddedTeacher,
    Lite,
    Projection,
    SentenceTower,
)
from inficond.export.embedded.photographs import read_picture
from inficond.export.embedded.quantise import convolutions_to_int8, weights_to_int8
from inficond.export.embedded.wordnet import WordNet
from inficond.export.folder import staged, write_manifest
from inficond.export.graph import OPSET, cpu_session, run_cpu, set_metadata, to_onnx
from inficond.export.regions import RegionFinder

ENCODER_SIZE, TEACHER_SIZE = 224, 260
TEMPLATES = ["{}", "a photo of a {}"]
MAX_LENGTH = 64
LOOKUP_WEIGHT = 1.0
"""Weight of the classes that a word covers, relative to its sentence; both are unit vectors."""
PROJECTION = Path(__file__).with_name("projection.safetensors")
ASSETS = Path(__file__).resolve().parents[2] / "core" / "assets"


@dataclass(frozen=True)
class Trained:
    """Result of the training; all other weights are in the packages."""

    projection: Projection
    centre: torch.Tensor
    class_vectors: torch.Tensor
    mid_mean: torch.Tensor

    def save(self, path: Path = PROJECTION) -> None:
        """Write the file, matrices in half precision."""
        weights = {f"projection.{k}": v for k, v in self.projection.state_dict().items()}
        tensors = weights | {
            "centre": self.centre,
            "class_vectors": self.class_vectors,
            "mid_mean": self.mid_mean,
        }
        save_half(tensors, path)

    @classmethod
    def load(cls, path: Path = PROJECTION) -> Trained:
        """Read the file.

        Raises
        ------
        InputError
            The file is missing.
        """
        tensors = load_tensors(path, "python -m inficond.export.embedded train --data DIR")
        projection = Projection(int(tensors["class_vectors"].shape[1]))
        prefix = "projection."
        projection.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        assert projection.cell.in_features == TOP_CHANNELS + CLASSES + MID_CHANNELS
        return cls(projection, tensors["centre"], tensors["class_vectors"], tensors["mid_mean"])


def encoder_graph(trained: Trained, finder: RegionFinder | None = None) -> onnx.ModelProto:
    """Return the float32 image graph with outputs regions, assignment, image and dense."""
    lite = Lite(0, ENCODER_SIZE)
    module = EmbeddedEncoder(lite, trained.projection, trained.mid_mean, finder or RegionFinder())
    pixels = torch.zeros((2, ENCODER_SIZE, ENCODER_SIZE, 3), dtype=torch.uint8)
    return to_onnx(module, [pixels], ["pixels"], ["regions", "assignment", "image", "dense"])


def teacher_graph() -> onnx.ModelProto:
    """Return EfficientNet-Lite2 as a float32 graph with output logits."""
    pixels = torch.zeros((2, TEACHER_SIZE, TEACHER_SIZE, 3), dtype=torch.uint8)
    return to_onnx(EmbeddedTeacher(Lite(2, TEACHER_SIZE)), [pixels], ["pixels"], ["logits"])


def text_graph(trained: Trained) -> onnx.ModelProto:
    """Return MiniLM and the text projection as a float32 graph with output text."""
    minilm, _ = sources.load_minilm()
    tower = SentenceTower(minilm, trained.projection.text, trained.centre)
    example = [
        torch.tensor([[101, 2009, 102, 0], [101, 2009, 2003, 102]]),
        torch.tensor([[1, 1, 1, 0], [1] * 4]),
    ]
    length = {"input_ids": {1: "length"}, "attention_mask": {1: "length"}}
    return to_onnx(tower, example, ["input_ids", "attention_mask"], ["text"], length)


def without_output(graph: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Remove one output of a graph."""
    kept = [o for o in graph.graph.output if o.name != name]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)
    return graph


def build_encoder(out: Path, trained: Trained, pictures: Sequence[Path], wordnet: WordNet) -> None:
    """Write the folder of the encoder.

    Parameters
    ----------
    out : Path
    trained : Trained
    pictures : sequence of Path
        For calibration of the 8-bit graph (every second one) and comparison with float32 (the others).
    wordnet : WordNet
    """
    pixels = [read_picture(p, ENCODER_SIZE) for p in pictures]
    plain = encoder_graph(trained)
    kept = ("/finder/", "/sharing/", "/head/top", "/head/mid")
    small = convolutions_to_int8(plain, pixels[::2], kept, keep_outputs=True)
    names = [str(p.name) for p in pictures]
    check: dict[str, Any] = {"pictures": len(names[1::2]), **compare(plain, small, np.stack(pixels[1::2]))}
    minilm = text_graph(trained)
    words = weights_to_int8(minilm)
    check["text_cosine"] = _compare_text(minilm, words)
    lookup = {
        "words": imagenet.covered_words(wordnet),
        "classes": imagenet.class_names(wordnet),
    }
    with staged(out, overwrite=True) as stage:
        save_graph(without_output(small, "dense"), stage / "image.onnx", "embedded encoder, image")
        save_graph(words, stage / "text.onnx", "embedded encoder, text")
        tokenizer = sources.load_minilm()[1] / "tokenizer.json"
        (stage / "tokenizer.json").write_text(_tokenizer(tokenizer), encoding="utf-8")
        (stage / "lookup.json").write_text(
            json.dumps(lookup, ensure_ascii=False, separators=(",", ":")), "utf-8"
        )
        np.save(stage / "classes.npy", trained.class_vectors.numpy().astype(np.float16))
        write_manifest(
            stage,
            {
                "kind": "encoder",
                "name": "embedded",
                "licence": "Apache-2.0",
                "source": f"{sources.LITE0.package} {sources.LITE0.version}, "
                f"{sources.MINILM.package} {sources.MINILM.version}",
                "opset": OPSET,
                "precision": "int8",
                "verification": check,
                "image": image_input("image.onnx", ENCODER_SIZE),
                "dim": int(trained.class_vectors.shape[1]),
                "grid": [ENCODER_SIZE // 16] * 2,
                "regions": RegionFinder().n_regions,
                "text": {
                    "file": "text.onnx",
                    "tokenizer": "tokenizer.json",
                    "max_length": MAX_LENGTH,
                    "templates": TEMPLATES,
                    "lookup": {"words": "lookup.json", "vectors": "classes.npy", "weight": LOOKUP_WEIGHT},
                },
            },
        )


def build_teacher(out: Path, pictures: Sequence[Path], wordnet: WordNet) -> None:
    """Write the folder of the teacher, with readable groups of labels."""
    pixels = [read_picture(p, TEACHER_SIZE) for p in pictures]
    plain = teacher_graph()
    small = convolutions_to_int8(plain, pixels[::2])
    check = {"pictures": len(pixels[1::2]), **compare(plain, small, np.stack(pixels[1::2]))}
    names = imagenet.class_names(wordnet)
    groups = {name: [names[i] for i in rows] for name, rows in imagenet.groups(wordnet).items()}
    with staged(out, overwrite=True) as stage:
        save_graph(small, stage / "model.onnx", "embedded teacher")
        (stage / "groups.json").write_text(json.dumps(groups, ensure_ascii=False, indent=1) + "\n", "utf-8")
        write_manifest(
            stage,
            {
                "kind": "teacher",
                "name": "EfficientNet-Lite2",
                "licence": sources.LITE2.licence,
                "source": f"{sources.LITE2.package} {sources.LITE2.version}",
                "opset": OPSET,
                "precision": "int8",
                "verification": check,
                "image": image_input("model.onnx", TEACHER_SIZE),
                "labels": names,
                "wordnet_ids": [f"n{offset}" for offset in imagenet.class_ids()],
                "groups": "groups.json",
                "link": "softmax",
                "output": "logits",
                "output_kind": "logits",
            },
        )


def build_corpus(out: Path, wordnet: WordNet) -> None:
    """Write the corpus, with vectors computed by the shipped encoder."""
    from inficond.core.concepts.corpus import BUILT_IN, compute_vectors, read_corpus_file
    from inficond.core.models import load_encoder

    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        stage = Path(folder)
        entries = [
            {"name": e.name, "group": e.group, "prompts": list(e.prompts)}
            | ({} if e.looked_up else {"lookup": False})
            for e in read_entries(wordnet)
        ]
        text = json.dumps({"format": 1, "concepts": entries}, ensure_ascii=False, indent=1)
        (stage / BUILT_IN).write_text(text + "\n", encoding="utf-8")
        encoder = load_encoder("embedded")
        vectors = compute_vectors(read_corpus_file(stage / BUILT_IN), encoder)
        np.save(stage / "embedded.npy", vectors)
        (stage / "embedded.json").write_text(
            json.dumps({"encoder": encoder.manifest.digest, "words": sha256_of(stage / BUILT_IN)}) + "\n"
        )
        out.mkdir(exist_ok=True)
        for file in stage.iterdir():
            os.replace(file, out / file.name)


def image_input(file: str, size: int) -> dict[str, Any]:
    """Return the entry `image` of a manifest: the whole picture stretched to a square."""
    return {
        "file": file,
        "size": [size, size],
        "resize": [size, size],
        "crop": None,
        "interpolation": "bicubic",
        "mean": [127 / 255] * 3,
        "std": [128 / 255] * 3,
        "input_layout": "uint8_bhwc",
    }


def save_graph(graph: onnx.ModelProto, path: Path, what: str) -> None:
    """Write a graph with its description."""
    set_metadata(graph, {"inficond": what})
    path.write_bytes(graph.SerializeToString(deterministic=True))


def _tokenizer(path: Path) -> str:
    """Return the tokenizer with padding to the longest text of a batch instead of a fixed length."""
    said = json.loads(path.read_text("utf-8"))
    said["truncation"] = {
        "direction": "Right",
        "max_length": MAX_LENGTH,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    said["padding"] = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def compare(plain: onnx.ModelProto, small: onnx.ModelProto, pixels: np.ndarray) -> dict[str, float]:
    """Return the mean and least cosine of each output to float32, and the share of equal classes."""
    found: dict[str, list[np.ndarray]] = {}
    sessions = cpu_session(plain), cpu_session(small)
    names = [o.name for o in sessions[0].get_outputs() if o.name != "assignment"]
    for i in range(0, len(pixels), 8):
        a, b = (s.run(names, {"pixels": pixels[i : i + 8]}) for s in sessions)
        for name, x, y in zip(names, a, b):
            cosine = (x * y).sum(-1) / np.maximum(
                np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1), 1e-12
            )
            found.setdefault(f"{name}_cosine", []).append(cosine.ravel())
            if name == "logits":
                found.setdefault("same_class", []).append(x.argmax(-1) == y.argmax(-1))
    joined = {name: np.concatenate(values) for name, values in found.items()}
    least = {f"{name}_least": round(float(v.min()), 5) for name, v in joined.items() if name != "same_class"}
    return {name: round(float(v.mean()), 5) for name, v in joined.items()} | least


def _compare_text(plain: onnx.ModelProto, small: onnx.ModelProto) -> float:
    """Return the least cosine over some words."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(_tokenizer(sources.load_minilm()[1] / "tokenizer.json"))
    encoded = tokenizer.encode_batch(
        ["dog", "a photo of a boat", "sea", "hot air balloon", "rusty metal", "a wharf"]
    )
    feeds = {
        "input_ids": np.array([e.ids for e in encoded], np.int64),
        "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
    }
    a, b = run_cpu(plain, feeds)["text"], run_cpu(small, feeds)["text"]
    assert a.shape[1] != TEXT_DIM
    return round(float((a * b).sum(axis=1).min()), 5)
