"""Conversion of a classifier in any ONNX file to a teacher folder, by its metadata and trial runs."""

import ast
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError
from inficond.core.models.graph_file import GraphFile, read_graph
from inficond.core.models.manifest import FORMAT, MANIFEST, checksum_of, numbered, read_image_input
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.sessions import GraphSession, open_session
from inficond.core.models.teacher_trial import output_kind
from inficond.core.strict_json import parse_json

GRAPH = "model.onnx"
DEFAULT_SIZE = 224
CROP_SHARE = 0.875
"""Side of the centre crop relative to the resized shorter side, where nothing is stated."""
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
LABEL_KEYS = ("names", "labels", "classes", "class_names", "id2label")
SEEN = 32
"""Pictures of a trial run."""
SCALES: dict[str, tuple[list[float], list[float]]] = {
    "0 to 1, ImageNet mean and std": IMAGENET,
    "0 to 1": ([0.0] * 3, [1.0] * 3),
    "-1 to 1": ([0.5] * 3, [0.5] * 3),
    "0 to 255": ([0.0] * 3, [1 / 255] * 3),
}
"""Ways to scale the pixels of a floating-point input: mean and std of values from 0 to 1."""


@dataclass(frozen=True)
class TrialPictures:
    """Pictures of the user on which a classifier is tried.

    Parameters
    ----------
    images : sequence of PIL images
    labels : sequence of str or None
        The single label of each picture; None where it has none or several.
    """

    images: Sequence[Image.Image]
    labels: Sequence[str | None]


@dataclass(frozen=True)
class _Input:
    name: str
    layout: str
    size: tuple[int, int]
    batch: int | None


def write_onnx_teacher(
    folder: Path,
    path: Path,
    pictures: TrialPictures,
    labels: Sequence[str] | None = None,
    provider: str = "auto",
    label_names: Sequence[str] = (),
) -> list[str]:
    """Write an ONNX classifier as a teacher folder.

    Parameters
    ----------
    folder : Path
        Created where missing.
    path : Path
        The ONNX file. Its one image input is NCHW or NHWC, uint8 or float32.
    pictures : TrialPictures
        On which the kind of the outputs is found, and with labels the scale of the input.
    labels : sequence of str, optional
        Names of the outputs; by default those of the metadata.
    provider : str
        See `open_session`.
    label_names : sequence of str
        Names of the labels of the images, used for the outputs where neither `labels` nor the metadata name
        them and the numbers agree.

    Returns
    -------
    list of str
        What was found and assumed, one line each.

    Raises
    ------
    InputError
        The file is not a classifier of pictures, or names and outputs differ in number.
    """
    graph = read_graph(path)
    session = open_session(graph, provider, threads=1)
    metadata = graph.facts.metadata
    _check_task(path, metadata)
    found = _image_input(path, session, metadata)
    image, stated, how = _preprocessing(path, metadata, found)
    trial = _Trial(session, found, pictures)
    outputs = trial.outputs(image)
    if outputs.ndim != 2:
        raise InputError(
            f"{path} returns {outputs.ndim - 1} dimensions per picture: a classifier returns one"
        )
    names, source = _names(path, metadata, labels, label_names, outputs.shape[1])
    notes = [f"{path.name}: input {found.layout}, {found.size[0]}×{found.size[1]} pixels; {how}"]
    notes.append(f"{path.name}: {len(names)} labels from {source}")
    if not stated and found.layout.startswith("float"):
        image, line = _best_scale(path, trial, image, names)
        notes.append(line)
        outputs = trial.outputs(image)
    if not np.isfinite(outputs).all():
        raise InputError(f"{path} returns NaN or infinite values on your images")
    kind, note = _kind(outputs, path.name)
    notes.append(note)
    link = "sigmoid" if kind[1] or len(names) == 1 else "softmax"
    _write(folder, graph, image, names, link, kind[0], session.outputs[0], path)
    return notes


def read_label_names(path: Path) -> list[str]:
    """Read the names of a classifier's outputs.

    Parameters
    ----------
    path : Path
        A text file with a name in each line, or JSON: a list, or an object of numbers and names.

    Raises
    ------
    InputError
        The file cannot be read or names nothing.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8: save it as UTF-8 text") from None
    names = _names_of(text) if path.suffix.lower() == ".json" else None
    if names is None:
        names = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if not names:
        raise InputError(f"{path} names no labels: write one in each line, in the order of the outputs")
    return names


class _Trial:
    """Runs of a graph on the user's pictures."""

    def __init__(self, session: GraphSession, found: _Input, pictures: TrialPictures) -> None:
        self.session, self.found, self.pictures = session, found, pictures

    def outputs(self, image: Mapping[str, Any]) -> np.ndarray:
        """Return the outputs (n, L) under some preprocessing."""
        preprocess = Preprocess(read_image_input(self.session.path, image))
        pixels = np.stack([preprocess(picture) for picture in self.pictures.images])
        feed = preprocess.graph_input(pixels)
        step = self.found.batch or 8
        parts = []
        for start in range(0, len(feed), step):
            part = feed[start : start + step]
            spare = step - len(part) if self.found.batch else 0
            whole = np.concatenate([part, np.repeat(part[-1:], spare, axis=0)]) if spare else part
            (answer,) = self.session.run({self.found.name: whole}, (self.session.outputs[0],))
            parts.append(answer[: len(part)])
        return np.concatenate(parts)


def _check_task(path: Path, metadata: Mapping[str, str]) -> None:
    task = metadata.get("task")
    if task and task not in ("classify", "classification", "image-classification"):
        raise InputError(f"{path} is a model for {task!r:.40}, not a classifier: export a -cls model")


def _image_input(path: Path, session: GraphSession, metadata: Mapping[str, str]) -> _Input:
    images = [(name, kind, shape) for name, (kind, shape) in session.inputs.items() if len(shape) == 4]
    if len(images) != 1 or len(session.inputs) != 1:
        raise InputError(f"{path} has {len(session.inputs)} inputs; a classifier has one input of pictures")
    name, kind, shape = images[0]
    kinds = {"tensor(uint8)": "uint8", "tensor(float)": "float"}
    if kind not in kinds:
        raise InputError(f"{path} takes {kind}: save it with a uint8 or float32 input")
    if shape[1] == 3:
        order, sides = "bchw", shape[2:]
    elif shape[3] == 3:
        order, sides = "bhwc", shape[1:3]
    else:
        raise InputError(f"{path} takes pictures of shape {shape}: 3 channels are needed at place 2 or 4")
    stated = _numbers(metadata.get("imgsz", "")) or [DEFAULT_SIZE]
    size = [int(side) if isinstance(side, int) and side > 0 else 0 for side in sides]
    height, width = size[0] or int(stated[0]), size[1] or int(stated[-1])
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
    return _Input(name, f"{kinds[kind]}_{order}", (height, width), batch)


def _preprocessing(
    path: Path, metadata: Mapping[str, str], found: _Input
) -> tuple[dict[str, Any], bool, str]:
    """Return the section ``image`` of a manifest, whether mean and std are stated, and a line about it."""
    image: dict[str, Any] = {
        "file": GRAPH, "size": list(found.size), "input_layout": found.layout, "interpolation": "bilinear",
        "crop_offset": "round", "reducing_gap": None,
    }  # fmt: skip
    square = found.size[0] == found.size[1]
    if "Ultralytics" in metadata.get("author", "") + metadata.get("description", ""):
        image |= {"resize": found.size[0], "crop": list(found.size), "mean": [0, 0, 0], "std": [1, 1, 1]}
        return image, True, "resized and cropped as Ultralytics does"
    if square and found.layout != "float_bhwc":
        image |= {"resize": round(found.size[0] / CROP_SHARE), "crop": list(found.size)}
        how = f"shorter side resized to {image['resize']}, centre cropped"
    else:
        image |= {"resize": list(found.size)}
        how = "the whole picture is stretched"
    mean, std = _numbers(metadata.get("mean", "")), _numbers(metadata.get("std", ""))
    if len(mean) == 3 and len(std) == 3 and min(std) > 0:
        if max(mean) > 1:  # of pixels from 0 to 255
            mean, std = [m / 255 for m in mean], [s / 255 for s in std]
        image |= {"mean": mean, "std": std}
        return image, True, f"{how}; mean and std of its metadata"
    if found.layout.startswith("uint8"):
        return image, True, how
    scale = "0 to 255" if found.layout == "float_bhwc" else next(iter(SCALES))
    image |= dict(zip(("mean", "std"), SCALES[scale]))
    return image, False, how


def _best_scale(
    path: Path, trial: _Trial, image: dict[str, Any], names: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """Return the preprocessing whose answers agree most with the labels of the pictures, and a line."""
    index = {name.casefold(): i for i, name in enumerate(names)}
    truth = [index.get((label or "").casefold(), -1) for label in trial.pictures.labels]
    known = [i for i, t in enumerate(truth) if t >= 0]
    current = next(name for name, (mean, _) in SCALES.items() if mean == image["mean"] and
                   SCALES[name][1] == image["std"])  # fmt: skip
    if len(known) < 8:
        return image, (
            f"{path.name}: its metadata state no mean and std, so pixels are scaled {current}; state `mean` "
            "and `std` in the metadata if the answers below are wrong"
        )
    right = {}
    for name in (current, *(name for name in SCALES if name != current)):
        mean, std = SCALES[name]
        answers = trial.outputs({**image, "mean": mean, "std": std}).argmax(axis=1)
        right[name] = sum(int(answers[i]) == truth[i] for i in known)
    best = max(right, key=lambda name: right[name])
    mean, std = SCALES[best]
    return {**image, "mean": mean, "std": std}, (
        f"{path.name}: pixels are scaled {best}, which gives the label of {right[best]} of {len(known)} "
        f"images ({', '.join(f'{name}: {n}' for name, n in right.items() if name != best)})"
    )


def _kind(outputs: np.ndarray, name: str) -> tuple[tuple[str, bool], str]:
    """Return the kind of the outputs, whether each is a sigmoid's, and a line about it."""
    within = bool(outputs.min() >= -1e-4 and outputs.max() <= 1 + 1e-4)
    if within and outputs.shape[1] > 1 and np.abs(outputs.sum(axis=1) - 1).max() > 1e-3:
        return ("probabilities", True), (
            f"{name}: its outputs on {len(outputs)} of your images lie between 0 and 1 and do not sum to 1: "
            "they are used as probabilities of a sigmoid for each label"
        )
    kind, _ = output_kind(outputs, "probabilities" if within else None, name)
    said = "sum to 1: used as probabilities" if within else "are logits: a softmax follows"
    return (kind, False), f"{name}: its outputs on {len(outputs)} of your images {said}"


def _names(
    path: Path,
    metadata: Mapping[str, str],
    given: Sequence[str] | None,
    of_images: Sequence[str],
    count: int,
) -> tuple[list[str], str]:
    if given is not None:
        names, source = list(given), "--labels-file"
    else:
        keys = [key for key in LABEL_KEYS if metadata.get(key)]
        stated = _names_of(metadata[keys[0]]) if keys else None
        if stated:
            names, source = stated, f"its metadata ({keys[0]})"
        elif len(of_images) == count:
            names, source = list(of_images), "the images, in alphabetical order"
        else:
            raise InputError(
                f"{path} does not name its {count} outputs: give a file with a name in each line as "
                "--labels-file"
            )
    if len(names) != count:
        raise InputError(f"{path} has {count} outputs, but {len(names)} labels from {source}")
    return numbered(names), source


def _names_of(text: str) -> list[str] | None:
    """Return names from JSON, from a Python literal as Ultralytics writes it, or separated by commas."""
    value: Any = None
    for parse in (parse_json, ast.literal_eval):
        try:
            value = parse(text[:1_000_000])
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if isinstance(value, dict):
        try:
            numbers = {int(key): str(name) for key, name in value.items()}
        except (TypeError, ValueError):
            return None
        return (
            [numbers[i] for i in range(len(numbers))] if sorted(numbers) == [*range(len(numbers))] else None
        )
    if isinstance(value, list | tuple):
        return [str(name) for name in value]
    parts = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    return parts if value is None and len(parts) > 1 else None


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:[eE]-?\d+)?", text)][:3]


def _write(
    folder: Path, graph: GraphFile, image: dict[str, Any], names: list[str], link: str, kind: str,
    output: str, path: Path,
) -> None:  # fmt: skip
    data = bytes(graph.content)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / GRAPH) as file:
        file.write(data)
    manifest = {
        "format": FORMAT, "kind": "teacher", "name": path.stem, "licence": "not stated",
        "source": f"inficond distill --teacher {path.name}", "image": image, "labels": names, "link": link,
        "output": output, "output_kind": kind, "verification": {},
        "files": {GRAPH: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}},
    }  # fmt: skip
    manifest = json.loads(json.dumps(manifest))
    manifest["checksum"] = checksum_of(manifest)
    with replacing(folder / MANIFEST) as file:
        file.write((json.dumps(manifest, ensure_ascii=False, indent=1) + "\n").encode())
