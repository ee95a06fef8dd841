"""Small model folders that compute mean colours, so that results can be computed by hand.

The encoder's four regions are the quarters of the picture. The embedding of a region is its mean colour and
a constant, rotated into eight dimensions. The teacher classifies the mean colour of the picture as red, green
or blue.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from PIL import Image

from inficond.core import Project

SIZE, TEACHER_SIZE, DIM, GRID = 32, 24, 8, 4
WORDS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1), "yellow": (1, 1, 0)}
ROTATION = np.linalg.qr(np.random.default_rng(5).standard_normal((DIM, DIM)))[0][:4].astype(np.float32)


COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 70), "red": (200, 50, 40)}


def write_class_folders(
    folder: Path,
    n: int = 16,
    seed: int = 0,
    *,
    colours: Mapping[str, tuple[int, int, int]] = COLOURS,
    shift: float = 30,
    size: tuple[int, int] = (48, 56),
    named: bool = False,
) -> Path:
    """Write a class folder for each colour with `n` noisy images of it, ``0.png`` or, `named`, ``red0.png``.

    `shift` is the standard deviation of the mean colour of an image.
    """
    rng = np.random.default_rng(seed)
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = np.asarray(colour) + rng.normal(0, shift, 3) + rng.normal(0, 25, (*size, 3))
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(folder / name / f"{name if named else ''}{i}.png")
    return folder


def write_words_project(root: Path, words: str, n: int = 16, **photos: Any) -> Path:
    """Build a project of `write_class_folders` with these words, separated by spaces; return its folder."""
    write_class_folders(root / "photos", n, **photos)
    (root / "words.txt").write_text("\n".join(words.split()) + "\n")
    Project.create(
        images=root / "photos", out=root / "project", encoder=str(write_encoder(root / "encoder")),
        concepts=root / "words.txt", teacher="labels",
    )  # fmt: skip
    return root / "project"


def embedding(rgb: tuple[float, float, float] | np.ndarray) -> np.ndarray:
    """Return the embedding of a region of this mean colour (0…1)."""
    vector = np.array([*(2 * np.asarray(rgb) - 1), 0.2], np.float32) @ ROTATION
    return vector / np.linalg.norm(vector)


def _save(folder: Path, name: str, graph: onnx.GraphProto) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / name)


def _entries(folder: Path) -> dict[str, dict[str, object]]:
    return {
        p.name: {"sha256": hashlib.sha256(p.read_bytes()).hexdigest(), "bytes": p.stat().st_size}
        for p in sorted(folder.iterdir())
        if p.name != "manifest.json"
    }


def _constant(name: str, array: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(array, name)


def write_encoder(folder: Path) -> Path:
    """Write a model folder of kind encoder, with a text tower."""
    folder.mkdir(parents=True)
    quarter = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), GRID // 2, 0), GRID // 2, 1).reshape(
        1, -1
    )
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=T.FLOAT),
        helper.make_node("Transpose", ["float"], ["bchw"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["bchw"], ["pooled"], kernel_shape=[SIZE // 2] * 2, strides=[SIZE // 2] * 2
        ),
        helper.make_node("Reshape", ["pooled", "as_cells"], ["cells"]),
        helper.make_node("Transpose", ["cells"], ["colours"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["colours", "rotation"], ["rotated"]),
        helper.make_node("Add", ["rotated", "offset"], ["shifted"]),
        helper.make_node("LpNormalization", ["shifted"], ["regions"], axis=-1, p=2),
        helper.make_node("ReduceMean", ["shifted"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["image"], axis=-1, p=2),
        helper.make_node("Shape", ["pixels"], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "one"], ["repeats"], axis=0),
        helper.make_node("Tile", ["quarters", "repeats"], ["assignment"]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("pixels", T.UINT8, ["B", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("regions", T.FLOAT, ["B", 4, DIM]),
            helper.make_tensor_value_info("assignment", T.UINT8, ["B", GRID * GRID]),
            helper.make_tensor_value_info("image", T.FLOAT, ["B", DIM]),
        ],
        [
            _constant("as_cells", np.array([0, 3, 4], np.int64)),
            _constant("rotation", (2 / 255 * ROTATION[:3]).astype(np.float32)),
            _constant("offset", (0.2 * ROTATION[3] - ROTATION[:3].sum(0)).astype(np.float32)),
            _constant("one", np.array([1], np.int64)),
            _constant("quarters", quarter),
        ],
    )
    _save(folder, "image.onnx", graph)
    _write_text(folder)
    manifest = {
        "format": 1, "kind": "encoder", "name": "tiny-colours", "licence": "Apache-2.0", "source": "tests",
        "opset": 17, "files": _entries(folder), "verification": {},
        "image": {"file": "image.onnx", "size": [SIZE, SIZE], "resize": SIZE, "crop": [SIZE, SIZE],
                  "interpolation": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1],
                  "input_layout": "uint8_bhwc"},
        "dim": DIM, "grid": [GRID, GRID], "regions": 4,
        "text": {"file": "text.onnx", "tokenizer": "tokenizer.json", "max_length": 8, "templates": ["{}"]},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _write_text(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{word: i + 2 for i, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]", length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.zeros((len(vocabulary), DIM), np.float32)
    table[1] = -ROTATION[3]
    for word, index in vocabulary.items():
        if word in WORDS:
            table[index] = embedding(WORDS[word])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["each"], axis=0),
        helper.make_node("ReduceSum", ["each", "axis"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["text"], axis=-1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "text",
        [helper.make_tensor_value_info("input_ids", T.INT64, ["B", "L"])],
        [helper.make_tensor_value_info("text", T.FLOAT, ["B", DIM])],
        [_constant("table", table), _constant("axis", np.array([1], np.int64))],
    )
    _save(folder, "text.onnx", graph)


def write_teacher(
    folder: Path, link: str = "softmax", labels: tuple[str, ...] = ("red", "green", "blue")
) -> Path:
    """Write a model folder of kind teacher, whose logits are 8 times the mean colour, centred."""
    folder.mkdir(parents=True)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=T.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["colour"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["colour", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "four"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("pixels", T.UINT8, ["B", TEACHER_SIZE, TEACHER_SIZE, 3])],
        [helper.make_tensor_value_info("logits", T.FLOAT, ["B", 3])],
        [_constant("scale", np.array(8 / 255, np.float32)), _constant("four", np.array(4, np.float32))],
    )
    _save(folder, "teacher.onnx", graph)
    manifest = {
        "format": 1, "kind": "teacher", "name": "tiny-teacher", "licence": "Apache-2.0", "source": "tests",
        "opset": 17, "files": _entries(folder), "verification": {}, "labels": list(labels), "link": link,
        "output": "logits",
        "image": {"file": "teacher.onnx", "size": [TEACHER_SIZE] * 2, "resize": TEACHER_SIZE,
                  "crop": TEACHER_SIZE, "interpolation": "bilinear"},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_photos(folder: Path, n: int, seed: int = 0, side: int = 48) -> Path:
    """Write images of coloured noise, JPEG and PNG, in two folders; red, green or blue dominates each."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    for i in range(n):
        base = rng.uniform(40, 140, 3)
        base[i % 3] += rng.uniform(20, 110)
        noise = rng.normal(0, 25, (side, side + 8 * (i % 3), 3))
        pixels = np.clip(base + noise, 0, 255).astype(np.uint8)
        file = folder / ("a" if i % 2 else "b/c") / f"{i:05d}.{'png' if i % 5 == 0 else 'jpg'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file, quality=90)
    return folder
