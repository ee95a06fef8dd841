"""Teachers that are Python objects: functions of pictures, scikit-learn pipelines, transformers pipelines."""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from inficond.core.errors import Cancelled, InputError, one_line, unknown
from inficond.core.images import ImageRecord, UnreadableImage
from inficond.core.models.teacher import apply_link
from inficond.core.progress import Progress

BATCH = 16
"""Pictures in a call."""
SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Answers:
    """Answers of a Python teacher.

    Parameters
    ----------
    name : str
    ids : tuple of n str
        The images that were answered.
    classes : tuple of C str
    values : (n, C) float32 in [0, 1]
    skipped : tuple of (id, reason)
    notes : tuple of str
        How the answers were understood, one line each.
    """

    name: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    values: np.ndarray
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def is_callable_name(spec: object) -> bool:
    """Return whether a text names a Python object: ``package.module:object``."""
    return isinstance(spec, str) and SPEC.fullmatch(spec) is not None and not os.path.exists(spec)


def load_callable(spec: str) -> Any:
    """Import the object of ``package.module:object``; modules of the current folder are found too.

    Raises
    ------
    InputError
        The module cannot be imported or lacks the object.
    """
    module, _, name = spec.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # the module's own code may raise anything
        raise InputError(
            f"--teacher {spec}: {module} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    finally:
        sys.path.pop(0)
    for part in name.split("."):
        if not hasattr(found, part):
            raise unknown(f"object of {module}", part, [n for n in dir(found) if not n.startswith("_")])
        found = getattr(found, part)
    return found


def made(teacher: Any) -> Any:
    """Return what a function without parameters returns, which gives a teacher; other objects as they are."""
    if not inspect.isfunction(teacher) or inspect.signature(teacher).parameters:
        return teacher
    return teacher()


def is_torch_module(teacher: Any) -> bool:
    """Return whether an object is a `torch.nn.Module`; torch itself is not imported."""
    return "torch.nn.modules.module.Module" in _kinds(teacher)


def is_keras_model(teacher: Any) -> bool:
    """Return whether an object is a `keras.Model`; Keras itself is not imported."""
    return "keras.src.models.model.Model" in _kinds(teacher)


def _kinds(value: Any) -> set[str]:
    return {f"{kind.__module__}.{kind.__name__}" for kind in type(value).__mro__}


def own_labels(teacher: Any) -> list[str] | None:
    """Return the class names that an object states, as ``labels``, ``classes_`` or a configuration."""
    config: Any = getattr(getattr(teacher, "model", None), "config", None)
    if getattr(config, "id2label", None):
        return [str(config.id2label[i]) for i in range(len(config.id2label))]
    for attribute in ("labels", "classes_"):
        found = getattr(teacher, attribute, None)
        if found is not None and not callable(found):
            return [str(name) for name in found]
    return None


def answer(
    teacher: Any,
    records: Sequence[ImageRecord],
    labels: Sequence[str] | None,
    label_names: Sequence[str],
    progress: Progress,
) -> Answers:
    """Let a Python teacher answer images, a batch at a time.

    Parameters
    ----------
    teacher : callable or object with ``predict_proba``
        A callable takes a list of Pillow images and returns (n, C) numbers, probabilities or logits, or, as a
        pipeline of transformers does, a list of labels and scores for each image. ``predict_proba`` of
        scikit-learn gets the same list.
    records : sequence of ImageRecord
    labels : sequence of C str, optional
        Names of the classes; by default those of the object (``labels``, ``classes_``), else `label_names` if
        their number fits.
    label_names : sequence of str
        Names of the labels of the images.
    progress : Progress

    Returns
    -------
    Answers
        Images that cannot be read, on which the teacher raises, or that it answers with NaN are skipped.

    Raises
    ------
    InputError
        The teacher answers no image, or for another number of classes than there are names.
    """
    name = getattr(teacher, "__name__", None) or type(teacher).__name__
    asked = _function(teacher)
    skipped: list[tuple[str, str]] = []
    ids: list[str] = []
    rows: list[np.ndarray] = []
    known = labels or own_labels(teacher)
    progress.start(f"asking {name}", len(records))
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        pictures: list[tuple[str, Image.Image]] = []
        for record in part:
            try:
                pictures.append((record.id, record.open().image))
            except UnreadableImage as error:
                skipped.append((record.id, error.reason))
        for id, found in _answered(asked, pictures, known, name):
            if isinstance(found, str):
                skipped.append((id, found))
            elif rows and len(found) != len(rows[0]):
                raise InputError(
                    f"{name} returns {len(found)} numbers for {id} and {len(rows[0])} for others"
                )
            else:
                ids.append(id)
                rows.append(found)
        progress.advance(len(part))
    if not rows:
        raise InputError(f"{name} answers none of the images; the first: {skipped[0][0]}: {skipped[0][1]}")
    values, note = _probabilities(np.stack(rows), name)
    names, source = _names(known, label_names, values.shape[1], name)
    notes = (f"{name}: {len(names)} classes from {source}", note)
    return Answers(name, tuple(ids), names, values, tuple(skipped), notes)


def _function(teacher: Any) -> Callable[[list[Image.Image]], Any]:
    if hasattr(teacher, "predict_proba"):
        return teacher.predict_proba
    if getattr(teacher, "task", None) == "image-classification" and hasattr(teacher, "model"):
        labels = len(teacher.model.config.id2label)
        return lambda pictures: teacher(pictures, top_k=labels, batch_size=len(pictures))
    if callable(teacher):
        return teacher
    raise InputError(
        f"a teacher must be a callable from Pillow images to (n, C) numbers, or have predict_proba; "
        f"{type(teacher).__name__} is neither"
    )


def _answered(
    ask: Callable[[list[Image.Image]], Any],
    pictures: list[tuple[str, Image.Image]],
    labels: Sequence[str] | None,
    name: str,
) -> list[tuple[str, np.ndarray | str]]:
    """Return the row of each picture, or why there is none; a batch that fails is asked one by one."""
    if not pictures:
        return []
    try:
        rows = _rows(ask([picture for _, picture in pictures]), labels, len(pictures), name)
    except (Cancelled, InputError):
        raise
    except Exception as error:  # the teacher's own code may raise anything
        if len(pictures) == 1:
            return [(pictures[0][0], f"{name} raised {type(error).__name__}: {one_line(error, 200)}")]
        return [found for one in pictures for found in _answered(ask, [one], labels, name)]
    return [
        (id, row if np.isfinite(row).all() else f"{name} answers NaN or an infinite value")
        for (id, _), row in zip(pictures, rows)
    ]


def _rows(found: Any, labels: Sequence[str] | None, count: int, name: str) -> np.ndarray:
    """Return answers as (n, C) float32."""
    if isinstance(found, list) and found and isinstance(found[0], list | dict):
        if isinstance(found[0], dict):
            found = [found]
        names = list(labels or sorted(entry["label"] for entry in found[0]))
        scores = [{entry["label"]: entry["score"] for entry in one} for one in found]
        found = [[row.get(label, 0.0) for label in names] for row in scores]
    detach = getattr(found, "detach", None)
    if detach is not None:  # a tensor of torch
        found = detach().cpu().numpy()
    rows = np.asarray(found, np.float32)
    if rows.ndim != 2 or len(rows) != count:
        raise InputError(
            f"{name} returns an array of shape {rows.shape} for {count} images: ({count}, classes) is needed"
        )
    return rows


def _probabilities(values: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    if values.min() >= -1e-4 and values.max() <= 1 + 1e-4:
        return np.clip(values, 0, 1), f"{name}: its answers lie between 0 and 1: used as probabilities"
    return apply_link(values, "softmax"), (
        f"{name}: its answers reach from {values.min():.3g} to {values.max():.3g}: used as logits of a "
        "softmax"
    )


def _names(
    known: Sequence[str] | None, of_images: Sequence[str], count: int, name: str
) -> tuple[tuple[str, ...], str]:
    if known is None and len(of_images) == count:
        return tuple(of_images), "the labels of the images, in alphabetical order"
    if known is None:
        raise InputError(
            f"{name} returns {count} numbers per image and does not name its classes: give their names with "
            "--labels-file, or as its attribute `labels`"
        )
    if len(known) != count:
        raise InputError(f"{name} returns {count} numbers per image for {len(known)} class names")
    return tuple(known), "its labels"
