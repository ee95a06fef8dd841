"""Image processors of transformers, as functions whose preprocessing is measured."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inficond.core.errors import InputError, first_line
from inficond.export.preprocessing import Preprocessing
from inficond.export.preprocessing_measurement import (
    FILTERS,
    LARGEST,
    LEVELS,
    Process,
    Stated,
    VaryingSize,
    measure,
    stretching,
)
from inficond.export.source import Source
from inficond.export.torchvision_import import import_torchvision

NAMED_FILTERS = {4: "box", 5: "hamming"}
"""Pillow's numbers of filters that a manifest cannot name."""
LEVELS_TORCHVISION = 3.0
"""As `LEVELS`, for processors that resample with torchvision, whose weights are rounded differently."""


@dataclass(frozen=True)
class ImageProcessor:
    """The image processor of a transformers model folder, as a function of one picture.

    Attributes
    ----------
    name : str
        Class name, for messages.
    stated : Stated
    process : Process
    exact : bool
        Whether it resamples with Pillow, as inference does.
    """

    name: str
    stated: Stated
    process: Process
    exact: bool


def load_processor(source: Source) -> ImageProcessor:
    """Load the image processor of a transformers model folder.

    Parameters
    ----------
    source : Source

    Raises
    ------
    InputError
        The folder has no image processor, or one that cannot be loaded.
    """
    import_torchvision()  # before transformers looks for it
    from transformers import AutoImageProcessor

    names = ("preprocessor_config.json", "processor_config.json")
    if not any((source.folder / name).is_file() for name in names):
        raise InputError(
            f"{source.name} has no preprocessor_config.json, which states how pictures are resized and "
            "normalised: copy the file from the model it was trained from, or write it with "
            "AutoImageProcessor.from_pretrained(…).save_pretrained(…)"
        )
    for name in names:
        _check_processor_file(source.folder / name, source.name)
    try:
        loaded = AutoImageProcessor.from_pretrained(
            source.folder, local_files_only=True, trust_remote_code=False, backend="pil"
        )
    except ImportError as error:
        raise InputError(
            f"the image processor of {source.name} needs a library that is missing: {first_line(error)}"
        ) from None
    except Exception as error:  # a malformed file fails anywhere in the library
        _check_processor_kind(source)
        raise InputError(
            f"{source.name}: its preprocessor_config.json cannot be used ({first_line(error)}): copy the "
            "file "
            "from the model it was trained from"
        ) from None
    name = type(loaded).__name__.removesuffix("Pil")
    if not hasattr(loaded, "preprocess"):
        raise InputError(
            f"{source.name}: its preprocessor_config.json names {name}, which does not read pictures: copy "
            "the file from the model it was trained from"
        )
    _check_sizes(loaded, f"the image processor of {source.name} ({name})")
    number = getattr(loaded, "resample", None)
    if number in NAMED_FILTERS and getattr(loaded, "do_resize", True):
        raise InputError(
            f"the image processor of {source.name} ({name}) resizes with filter {int(number)} of Pillow "
            f"({NAMED_FILTERS[number]}); only {', '.join(FILTERS.values())} can be exported"
        )
    return ImageProcessor(
        name=name,
        stated=_stated(loaded),
        process=_Transformers(loaded, f"the image processor of {source.name} ({name})"),
        exact=getattr(loaded, "backend", None) == "pil",
    )


def _check_processor_file(path: Path, name: str) -> None:
    """Refuse a processor's file that is not a JSON object or that needs code of its own."""
    if not path.is_file():
        return
    copy = "copy the file from the model it was trained from"
    try:
        stated = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: its {path.name} is not valid JSON ({first_line(error)}): {copy}") from None
    if not isinstance(stated, dict):
        raise InputError(f"{name}: its {path.name} does not hold a JSON object: {copy}")
    if not stated:
        raise InputError(f"{name}: its {path.name} states nothing: {copy}")
    if stated.get("auto_map"):
        raise InputError(
            f"{name}: its image processor needs its own Python code (auto_map in {path.name}), which is "
            "never run: save the model with an image processor that transformers includes"
        )


def _check_processor_kind(source: Source) -> None:
    """Refuse a folder whose file names an image processor that transformers does not include."""
    import transformers

    path = source.folder / "preprocessor_config.json"
    kind = (
        json.loads(path.read_text(encoding="utf-8-sig")).get("image_processor_type") if path.is_file() else ""
    )
    if isinstance(kind, str) and kind and kind not in dir(transformers):
        raise InputError(
            f"{source.name}: its {path.name} names the image processor {kind[:60]!r}, which transformers "
            f"{transformers.__version__} does not include: upgrade transformers, or copy the file from the "
            "model it was trained from"
        )


def _check_sizes(processor: Any, title: str) -> None:
    """Refuse stated sizes that no picture can have, or that a single picture would fill the memory with."""
    for name in ("size", "crop_size"):
        stated = getattr(processor, name, None)
        sides = dict(stated) if stated is not None and not isinstance(stated, int) else {"side": stated}
        for side in sides.values():
            if isinstance(side, int | float) and not 1 <= side <= LARGEST:
                raise InputError(
                    f"{title} states {side} pixels as {name}; a side must have 1 to {LARGEST:,} pixels: "
                    "correct preprocessor_config.json, or copy it from the model it was trained from"
                )
    for name in ("image_mean", "image_std"):
        values = getattr(processor, name, None)
        if (
            getattr(processor, "do_normalize", False)
            and isinstance(values, list | tuple)
            and len(values) != 3
        ):
            raise InputError(
                f"{title} states {len(values)} values as {name}, and a picture has 3 channels: write three "
                "in preprocessor_config.json (a model of grey pictures cannot be exported)"
            )
    deviations = getattr(processor, "image_std", None)
    if getattr(processor, "do_normalize", False) and isinstance(deviations, list | tuple) and 0 in deviations:
        raise InputError(
            f"{title} divides by a standard deviation of 0 (image_std): correct preprocessor_config.json"
        )


def _stated(processor: Any) -> Stated:
    number = getattr(processor, "resample", None)
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    usable = all(isinstance(v, list | tuple) and len(v) == 3 for v in (mean, std))
    size = getattr(processor, "size", None)
    shortest = size.get("shortest_edge") if isinstance(size, dict) else getattr(size, "shortest_edge", None)
    rescale = getattr(processor, "rescale_factor", None)
    return Stated(
        interpolation=FILTERS.get(int(number)) if isinstance(number, int) else None,
        mean=tuple(map(float, mean)) if usable and mean else None,
        std=tuple(map(float, std)) if usable and std else None,
        rescale=float(rescale) if isinstance(rescale, int | float) and rescale > 0 else 1 / 255,
        resize=(shortest,) if isinstance(shortest, int) else (),
    )


class _Transformers:
    """Calls a transformers image processor; every failure names the processor."""

    def __init__(self, processor: Any, title: str) -> None:
        self.processor, self.title = processor, title

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        try:
            found = self.processor(Image.fromarray(picture), return_tensors="pt")
        except Exception as error:  # any value in its configuration may be wrong
            height, width = picture.shape[:2]
            raise InputError(
                f"{self.title} fails on a picture of {width}×{height} pixels ({first_line(error, 200)}): "
                "correct preprocessor_config.json, or copy it from the model it was trained from"
            ) from None
        if not isinstance(found, Mapping) or "pixel_values" not in found:
            made = ", ".join(found) if isinstance(found, Mapping) else f"a {type(found).__name__}"
            raise InputError(f"{self.title} makes {made} of a picture, not pixel values")
        values = found["pixel_values"].float().numpy()
        if "spatial_shapes" in found:
            return self._join(values[0], found["spatial_shapes"][0])
        if values.ndim != 4 or len(values) != 1:
            raise InputError(
                f"{self.title} makes an array of shape {values.shape[1:]} of a picture, where a classifier "
                "here takes one picture with three channels"
            )
        return values[0]

    def _join(self, patches: np.ndarray, shape: Any) -> np.ndarray:
        """Picture (3, h, w) of patches (n, p·p·3), of which h/p · w/p are used."""
        rows, columns = (int(n) for n in shape)
        side = round((patches.shape[1] / 3) ** 0.5)
        grid = patches[: rows * columns].reshape(rows, columns, side, side, 3)
        return grid.transpose(4, 0, 2, 1, 3).reshape(3, rows * side, columns * side)


def read_preprocessing(
    source: Source, size: tuple[int, int] | None = None, native: tuple[int, int] | None = None
) -> tuple[Preprocessing, list[str]]:
    """Measure the preprocessing of a transformers model folder.

    Parameters
    ----------
    source : Source
    size : (H, W), optional
        Input size that the user asked for; by default the processor's own.
    native : (H, W), optional
        The model's own input size, used where the processor's results vary in size.

    Returns
    -------
    preprocessing : Preprocessing
    notes : list of str
        How it deliberately differs from the processor.

    Raises
    ------
    InputError
        There is no image processor, or no manifest can express its result; the message contains the
        difference.
    """
    processor = load_processor(source)
    title = f"the image processor of {source.name} ({processor.name})"
    tolerance = LEVELS if processor.exact else LEVELS_TORCHVISION
    try:
        found = measure(processor.process, processor.stated, title, tolerance)
    except VaryingSize as varying:
        (h, w), (to_h, to_w) = varying.sizes[0]
        (h2, w2), (to_h2, to_w2) = varying.sizes[-1]
        said = (
            f"{title} makes inputs of different sizes ({w}×{h} pixels become {to_w}×{to_h}, {w2}×{h2} become "
            f"{to_w2}×{to_h2})"
        )
        wanted = size or native
        if wanted is None:
            raise InputError(
                f"{said}, and an exported model has one input size: save a processor that crops "
                "(do_center_crop with crop_size), or give --size N to stretch every picture to N×N pixels"
            ) from None
        found = stretching(processor.process, processor.stated, wanted, title)
        return found, [f"{said}: here every picture is stretched to {wanted[1]}×{wanted[0]} pixels"]
    if size is None or size == found.size:
        return found, []
    return found.at(size), [
        f"input size {size[1]}×{size[0]} as asked for; {title} uses {found.size[1]}×{found.size[0]}"
    ]
