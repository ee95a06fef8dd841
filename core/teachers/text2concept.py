"""Words in a teacher's own feature space: an encoder made of a teacher's graph and a linear map.

After Moayeri et al., "Text-to-Concept (and Back) via Cross-Model Alignment" (ICML 2023). A ridge regression
maps the teacher's features of the user's images to the image embeddings of an encoder of words and images,

    min_W Σ_i ‖y_i − ȳ − W (f_i − f̄)‖² + λ ‖W‖²,

with λ chosen by the error of leaving one image out, which has a closed form. Words keep their text vectors,
so a word is read as a direction of the teacher's features. The map is applied to each cell of the teacher's
last feature map; nine windows of cells are the regions. A teacher without a feature map has one region, the
image.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError
from inficond.core.models import onnx_protobuf
from inficond.core.models.encoder import Encoder
from inficond.core.models.graph_file import read_graph
from inficond.core.models.manifest import FORMAT, MANIFEST, checksum_of
from inficond.core.models.sessions import GraphSession, open_session
from inficond.core.models.teacher import Teacher
from inficond.core.teachers.teacher_features import Features, find_features

TEXT2CONCEPT = "text2concept"
"""Name of this encoder in `--encoder`."""

GRAPH = "image.onnx"
PENALTIES = tuple(float(10.0**e) for e in range(-3, 6))
"""λ that are compared, relative to the mean variance of a feature."""
LEAST_IMAGES = 20
SIDE = 3
"""Windows in a row and in a column."""


@dataclass(frozen=True)
class LinearMap:
    """A linear map from features to embeddings: ``features @ weights + bias``.

    Parameters
    ----------
    weights : (F, D) float32
    bias : (D,) float32
    penalty : float
        The chosen λ, relative to the mean variance of a feature.
    explained : float
        Share of the embeddings' variance that is explained on images left out.
    images : int
        Number of images it is fitted on.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    penalty: float
    explained: float
    images: int


def fit_map(features: NDArray[np.floating], embeddings: NDArray[np.floating]) -> LinearMap:
    """Fit the map by ridge regression.

    Parameters
    ----------
    features : (n, F)
    embeddings : (n, D)

    Raises
    ------
    InputError
        There are too few images, or the features do not vary.
    """
    if len(features) < LEAST_IMAGES:
        raise InputError(
            f"{TEXT2CONCEPT} fits its map on {len(features)} images, and needs at least {LEAST_IMAGES}: give "
            "more images, or use the embedded encoder"
        )
    F, Y = np.asarray(features, np.float64), np.asarray(embeddings, np.float64)
    f_mean, y_mean = F.mean(axis=0), Y.mean(axis=0)
    F, Y = F - f_mean, Y - y_mean
    variance = float(F.var(axis=0).mean())
    if not variance > 0:
        raise InputError(f"{TEXT2CONCEPT}: the features of the teacher are the same for every image")
    U, s, Vt = np.linalg.svd(F, full_matrices=False)
    projected = U.T @ Y
    total = float(np.square(Y * len(Y) / (len(Y) - 1)).sum())
    errors = []
    for penalty in PENALTIES:
        shrink = s**2 / (s**2 + penalty * variance * len(F))
        leverage = np.square(U) @ shrink + 1 / len(F)
        left = (Y - U @ (shrink[:, None] * projected)) / np.maximum(1 - leverage, 1e-6)[:, None]
        errors.append(float(np.square(left).sum()))
    best = int(np.argmin(errors))
    gain = s / (s**2 + PENALTIES[best] * variance * len(F))
    W = (Vt.T * gain) @ projected
    return LinearMap(
        W.astype(np.float32),
        (y_mean - f_mean @ W).astype(np.float32),
        PENALTIES[best],
        1 - errors[best] / total,
        len(F),
    )


class FeatureReader:
    """Features of a teacher as a function of pixels.

    Parameters
    ----------
    teacher : Teacher
    scratch : Path
        Folder for the reduced graph.

    Raises
    ------
    InputError
        The teacher shows no features.
    """

    def __init__(self, teacher: Teacher, scratch: Path) -> None:
        self.teacher = teacher
        graph, self.found = find_features(teacher)
        wanted = [self.found.pooled, *([self.found.map] if self.found.map else [])]
        graph.keep_only(wanted)
        graph.outputs = {n: onnx_protobuf.value(n, onnx_protobuf.FLOAT, None) for n in wanted}
        scratch.mkdir(parents=True, exist_ok=True)
        path = scratch / "features.onnx"
        with replacing(path) as file:
            file.write(graph.dump("inficond features"))
        self._session: GraphSession = open_session(read_graph(path), teacher.provider, 1)
        probe = self.run(np.zeros((2, *teacher.manifest.image.size, 3), np.uint8))
        if probe[0].ndim != 2 or len(probe[0]) != 2:
            raise InputError(
                f"the teacher {teacher.name!r} shows no features: the input of its last linear layer is "
                "not one vector for each image; use the embedded encoder, or another teacher"
            )
        self.dim = int(probe[0].shape[1])
        self.grid = (1, 1) if probe[1] is None else (int(probe[1].shape[2]), int(probe[1].shape[3]))

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the features (B, F) and the feature map (B, F, h, w) of a batch."""
        names = [self.found.pooled, *([self.found.map] if self.found.map else [])]
        feeds = {"pixels": self.teacher.preprocess.graph_input(pixels)}
        found = self._session.run(feeds, names)
        pooled = found[0].reshape(len(pixels), -1) if found[0].ndim == 4 else found[0]
        return pooled, found[1] if len(found) > 1 else None


def write_encoder(
    folder: Path, teacher: Teacher, reader: FeatureReader, words: Encoder, fitted: LinearMap
) -> Path:
    """Write the encoder: the teacher's graph, the map, the regions, and the text tower of `words`.

    Parameters
    ----------
    folder : Path
        Created where missing.
    teacher : Teacher
    reader : FeatureReader
        Of the same teacher.
    words : Encoder
        Whose embeddings the map was fitted to.
    fitted : LinearMap

    Returns
    -------
    Path
        The folder.
    """
    graph, found = find_features(teacher)
    data, regions = _with_regions(graph, found, reader.grid, fitted)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / GRAPH) as file:
        file.write(data)
    raw = words.manifest.raw
    text = raw.get("text") or {}
    lookup = text.get("lookup") or {}
    names = [text["file"], text["tokenizer"], *(lookup[k] for k in ("words", "vectors") if k in lookup)]
    for name in names:
        shutil.copyfile(words.manifest.path_of(name), folder / name)
    said = {
        **{k: v for k, v in teacher.manifest.raw.items() if k in ("opset", "precision")},
        "format": FORMAT,
        "kind": "encoder",
        "name": f"{TEXT2CONCEPT} of {teacher.name}",
        "licence": " and ".join(dict.fromkeys([teacher.manifest.licence, words.manifest.licence])),
        "source": f"features of {teacher.name} {teacher.manifest.digest[:12]}, mapped to {words.name} "
        f"{words.manifest.digest[:12]}",
        "image": {**teacher.manifest.raw["image"], "file": GRAPH},
        "dim": words.dim,
        "grid": list(reader.grid),
        "regions": regions,
        "text": text,
        "map": {"images": fitted.images, "penalty": fitted.penalty, "explained": round(fitted.explained, 4)},
        "verification": {},
        "files": {
            GRAPH: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
            **{name: dict(words.manifest.files[name]) for name in names},
        },
    }
    said["checksum"] = checksum_of(json.loads(json.dumps(said)))
    with replacing(folder / MANIFEST) as file:
        file.write((json.dumps(said, ensure_ascii=False, indent=1) + "\n").encode())
    return folder


def _with_regions(
    graph: onnx_protobuf.Graph, found: Features, grid: tuple[int, int], fitted: LinearMap
) -> tuple[bytes, int]:
    """Return the extended graph as bytes, and the number of regions."""
    node, add = onnx_protobuf.node, graph.add
    cells, windows = grid[0] * grid[1], _windows(grid)
    dim, even = fitted.weights.shape[1], np.full((1, 1, cells), 1 / cells, np.float32)
    graph.keep_only([found.map or found.pooled])

    def name(part: str) -> str:
        return f"text2concept_{part}"

    # (B, F, h, w) or (B, F) to (B, cells, F)
    shape = add(name("cells_shape"), np.array([0, fitted.weights.shape[0], cells], np.int64))
    graph.nodes += [
        node("Reshape", [found.map or found.pooled, shape], [name("columns")]),
        node("Transpose", [name("columns")], [name("cells")], perm=[0, 2, 1]),
        node("MatMul", [name("cells"), add(name("weights"), fitted.weights)], [name("product")]),
        node("Add", [name("product"), add(name("bias"), fitted.bias)], [name("mapped")]),
        # The mean of cells is the map of the mean of their features.
        node("MatMul", [add(name("windows"), windows[None]), name("mapped")], [name("means")]),
        node("MatMul", [add(name("even"), even), name("mapped")], [name("mean_row")]),
        node("Reshape", [name("mean_row"), add(name("row"), np.array([0, dim], np.int64))], [name("mean")]),
    ]
    ones, least = (
        add(name("ones"), np.ones((dim, 1), np.float32)),
        add(name("least"), np.array(1e-24, np.float32)),
    )
    for mean, unit in (("means", "regions"), ("mean", "image")):
        graph.nodes += [
            node("Mul", [name(mean), name(mean)], [name(f"squares_{unit}")]),
            node("MatMul", [name(f"squares_{unit}"), ones], [name(f"sum_{unit}")]),
            node("Max", [name(f"sum_{unit}"), least], [name(f"above_{unit}")]),
            node("Sqrt", [name(f"above_{unit}")], [name(f"length_{unit}")]),
            node("Div", [name(mean), name(f"length_{unit}")], [unit]),
        ]
    nearest = windows.argmax(axis=0).astype(np.uint8)
    graph.nodes += [
        node("Shape", ["image"], [name("image_shape")]),
        node("Gather", [name("image_shape"), add(name("first"), np.array([0], np.int64))], [name("batch")]),
        node(
            "Concat",
            [name("batch"), add(name("cell_count"), np.array([cells], np.int64))],
            [name("to")],
            axis=0,
        ),
        node("Expand", [add(name("nearest"), nearest[None]), name("to")], ["assignment"]),
    ]
    value = onnx_protobuf.value
    graph.outputs = {
        "regions": value("regions", onnx_protobuf.FLOAT, ["batch", len(windows), dim]),
        "assignment": value("assignment", onnx_protobuf.UINT8, ["batch", cells]),
        "image": value("image", onnx_protobuf.FLOAT, ["batch", dim]),
    }
    return graph.dump("inficond text2concept"), len(windows)


def _windows(grid: tuple[int, int]) -> NDArray[np.float32]:
    """Return the weights (R, cells) of windows that divide the grid."""
    rows, columns = (np.arange(n) * min(SIDE, n) // n for n in grid)
    of = (rows[:, None] * (columns.max() + 1) + columns[None]).ravel()
    weights = (of[None] == np.arange(of.max() + 1)[:, None]).astype(np.float64)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
