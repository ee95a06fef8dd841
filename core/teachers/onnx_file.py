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
from inficond.core.models.label_names import KEYS, count_hint, names_of_value
from inficond.core.models.manifest import FORMAT, MANIFEST, checksum_of, numbered, read_image_input
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.sessions import GraphSession, open_session
from inficond.core.models.teacher import rows_of_outputs
from inficond.core.models.teacher_trial import check_batch_independence
from inficond.core.strict_json import parse_json
from inficond.core.teachers.onnx_input import GraphInput, image_input, numbers_of
from inficond.core.teachers.onnx_outputs import ENOUGH, SURE, choose_output, find_kind, other_order

GRAPH = "model.onnx"
CROP_SHARE = 0.875
"""Side of the centre crop relative to the resized shorter side, where nothing is stated."""
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
OF_BYTES = 2.0
"""Largest mean and std of pixels from 0 to 1; those of pixels from 0 to 255 are larger."""
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
    found = image_input(path, session, metadata)
    image, stated, how = _preprocessing(path, metadata, found)
    trial = _Trial(session, found, pictures)
    stated_names, source = _stated_names(path, metadata, labels)
    known = len(stated_names) if stated_names else None
    chosen, chosen_note = trial.choose(image, known, metadata.get("output"))
    outputs = trial.outputs(image)
    names, source = _names(path, stated_names, source, label_names, outputs.shape[1])
    notes = [f"{path.name}: input {found.layout}, {found.size[0]}×{found.size[1]} pixels; {how}"]
    notes += [f"{path.name}: {len(names)} labels from {source}", *chosen_note]
    if not stated and found.layout.startswith("float"):
        image, line = _best_scale(path, trial, image, names)
        notes.append(line)
        outputs = trial.outputs(image)
    if not np.isfinite(outputs).all():
        raise InputError(f"{path} returns NaN or infinite values on your images")
    check_batch_independence(outputs, trial.alone(image), str(path))
    _check_meaning(path, trial, image, outputs, names)
    kind, link, note = find_kind(outputs, path.name, metadata.get("link"))
    notes.append(note)
    _write(folder, graph, image, names, link, kind, chosen, path)
    return notes


class _Trial:
    """Runs of a graph on the user's pictures."""

    def __init__(self, session: GraphSession, found: GraphInput, pictures: TrialPictures) -> None:
        self.session, self.found, self.pictures = session, found, pictures
        self.output = session.outputs[0]

    def choose(
        self, image: Mapping[str, Any], labels: int | None, stated: str | None
    ) -> tuple[str, list[str]]:
        """Choose the output to read by one batch of pictures; see `choose_output`."""
        batch = self._feed(image, False)[: self.found.batch or 8]
        if self.found.batch and len(batch) < self.found.batch:
            batch = np.concatenate([batch, np.repeat(batch[-1:], self.found.batch - len(batch), axis=0)])
        answers = dict(zip(self.session.outputs, self.session.run({self.found.name: batch}), strict=True))
        self.output, notes = choose_output(self.session.path, answers, len(batch), labels, stated)
        return self.output, notes

    def _feed(self, image: Mapping[str, Any], reverse: bool) -> np.ndarray:
        preprocess = Preprocess(read_image_input(self.session.path, image))
        pixels = np.stack([preprocess(picture) for picture in self.pictures.images])
        feed = preprocess.graph_input(pixels[..., ::-1] if reverse else pixels)
        return feed if self.found.dtype is None else feed.astype(self.found.dtype)

    def truth(self, names: Sequence[str]) -> list[int]:
        """Return the index of each picture's label among the names, -1 where it is none of them."""
        index = {name.casefold(): i for i, name in enumerate(names)}
        return [index.get((label or "").casefold(), -1) for label in self.pictures.labels]

    def outputs(self, image: Mapping[str, Any], reverse: bool = False) -> np.ndarray:
        """Return the outputs (n, L) under some preprocessing; `reverse` feeds the channels as BGR."""
        return self._run(self._feed(image, reverse), self.found.batch or 8)

    def alone(self, image: Mapping[str, Any]) -> np.ndarray:
        """Return the outputs (1, L) of the first picture without the others."""
        return self._run(self._feed(image, False)[:1], self.found.batch or 1)

    def _run(self, feed: np.ndarray, step: int) -> np.ndarray:
        parts = []
        for start in range(0, len(feed), step):
            part = feed[start : start + step]
            spare = step - len(part) if self.found.batch else 0
            whole = np.concatenate([part, np.repeat(part[-1:], spare, axis=0)]) if spare else part
            (answer,) = self.session.run({self.found.name: whole}, (self.output,))
            parts.append(rows_of_outputs(answer, len(whole), self.session.path)[: len(part)])
        return np.concatenate(parts)


def _check_task(path: Path, metadata: Mapping[str, str]) -> None:
    task = metadata.get("task")
    if task and task not in ("classify", "classification", "image-classification"):
        raise InputError(f"{path} is a model for {task!r:.40}, not a classifier: export a -cls model")


def _preprocessing(
    path: Path, metadata: Mapping[str, str], found: GraphInput
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
    if metadata.get("mean") or metadata.get("std"):
        image |= _stated_scale(path, metadata)
        return image, True, f"{how}; mean and std of its metadata"
    if found.layout.startswith("uint8"):
        return image, True, how
    scale = "0 to 255" if found.layout == "float_bhwc" else next(iter(SCALES))
    image |= dict(zip(("mean", "std"), SCALES[scale]))
    return image, False, how


def _stated_scale(path: Path, metadata: Mapping[str, str]) -> dict[str, list[float]]:
    """Return mean and std of the metadata for pixels from 0 to 1; one number is that of all channels."""
    found = {}
    for key in ("mean", "std"):
        text = metadata.get(key, "")
        numbers = numbers_of(text)
        found[key] = numbers * 3 if len(numbers) == 1 else numbers
        if len(found[key]) != 3 or (key == "std" and min(found[key]) <= 0):
            positive = " above 0" if key == "std" else ""
            raise InputError(
                f"{path}: its metadata state {key} as {text[:60]!r}: state three numbers{positive}, one for "
                "each channel, for example 0.5,0.5,0.5"
            )
    if max(map(abs, found["mean"])) > OF_BYTES or max(found["std"]) > OF_BYTES:
        return {key: [number / 255 for number in numbers] for key, numbers in found.items()}
    return found


def _best_scale(
    path: Path, trial: _Trial, image: dict[str, Any], names: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """Return the preprocessing whose answers agree most with the labels of the pictures, and a line."""
    truth = trial.truth(names)
    known = [i for i, t in enumerate(truth) if t >= 0]
    current = next(name for name, (mean, _) in SCALES.items() if mean == image["mean"] and
                   SCALES[name][1] == image["std"])  # fmt: skip
    if len(known) < ENOUGH:
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
    chosen = {**image, "mean": mean, "std": std}
    return chosen, (
        f"{path.name}: pixels are scaled {best}, which gives the label of {right[best]} of {len(known)} "
        f"images ({', '.join(f'{name}: {n}' for name, n in right.items() if name != best)})"
    )


def _check_meaning(
    path: Path, trial: _Trial, image: Mapping[str, Any], outputs: np.ndarray, names: Sequence[str]
) -> None:
    """Find out why few answers agree with the labels of the pictures: channels, labels or signs.

    Raises
    ------
    InputError
        Nearly all answers are right with the channels as BGR, with the labels in another order, or if the
        lowest output is the answer.
    """
    truth = np.asarray(trial.truth(names))
    known = truth >= 0
    right = int((outputs.argmax(axis=1) == truth)[known].sum())
    if known.sum() < ENOUGH or right > 0.5 * known.sum():
        return
    reasons = []
    turned = int((trial.outputs(image, reverse=True).argmax(axis=1) == truth)[known].sum())
    if turned >= SURE * known.sum():
        reasons.append(
            f"it gives the label of {turned} of them if the channels are blue, green, red (OpenCV, Caffe): "
            "reverse the channels inside the graph"
        )
    order = other_order(outputs.argmax(axis=1)[known], truth[known], names)
    lowest = int((outputs.argmin(axis=1) == truth)[known].sum())
    if len(names) > 2 and lowest >= SURE * known.sum():
        reasons.append(
            f"the lowest output is the label of {lowest} of them, as of distances, errors or negative "
            "logarithms: negate the outputs inside the graph"
        )
    elif order:
        reasons.append(f"{order}: list the labels in the order of the outputs in --labels-file")
    if reasons:
        raise InputError(
            f"{path} gives the label of {right} of {known.sum()} of your images; {'; or '.join(reasons)}"
        )


def _stated_names(
    path: Path, metadata: Mapping[str, str], given: Sequence[str] | None
) -> tuple[list[str] | None, str]:
    """Return the names that the user or the metadata state, and where they come from."""
    if given is not None:
        return list(given), "--labels-file"
    key = next((key for key in KEYS if metadata.get(key)), None)
    return (
        (None, "") if key is None else (_names_of(metadata[key], f"{path}: {key}"), f"its metadata ({key})")
    )


def _names(
    path: Path, stated: list[str] | None, source: str, of_images: Sequence[str], count: int
) -> tuple[list[str], str]:
    if not stated:
        if len(of_images) != count:
            raise InputError(
                f"{path} does not name its {count} outputs: give a file with a name in each line as "
                "--labels-file"
            )
        return numbered(list(of_images)), "the images, in alphabetical order"
    if len(stated) != count:
        hint = count_hint(stated, count)
        raise InputError(
            f"{path} has {count} outputs, but {len(stated)} labels from {source}{hint}: give --labels-file "
            f"with {count} names"
        )
    return numbered(stated), source


def _names_of(text: str, where: str) -> list[str] | None:
    """Return names from JSON, from a Python literal as Ultralytics writes it, or separated by commas.

    Raises
    ------
    InputError
        A list or an object does not give each output one name.
    """
    value: Any = None
    for parse in (parse_json, ast.literal_eval):
        try:
            value = parse(text[:1_000_000])
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if isinstance(value, dict | list | tuple):
        try:
            return names_of_value(value, f"{where} in its metadata")[0]
        except InputError as error:
            raise InputError(f"{error}; correct it, or give the names as --labels-file") from None
    parts = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    return parts if value is None and len(parts) > 1 else None


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
