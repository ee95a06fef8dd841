"""What a model's own image processor does to a picture, in the terms of a manifest."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.export.source import Source

FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize, crop and normalisation.

    Attributes
    ----------
    size : tuple of int
        Height and width that the graph takes.
    resize : int or tuple of int
        The shorter side becomes this, or the picture is stretched to exactly this (h, w).
    crop : tuple of int or None
        Centre part kept.
    interpolation : str
        One of Pillow's filters.
    mean, std : tuple of float
        Per channel, in units of full scale.
    rescale : float
        What a byte is multiplied by first.
    """

    size: tuple[int, int]
    resize: int | tuple[int, int]
    crop: tuple[int, int] | None
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rescale: float = 1 / 255

    def at(self, size: tuple[int, int]) -> "Preprocessing":
        """The same for another input size; a margin that is cut off stays the same part of the picture."""
        if isinstance(self.resize, int):
            shorter = max(round(self.resize * min(size) / min(self.size)), *size)
            return replace(self, size=size, resize=shorter, crop=size)
        return replace(self, size=size, resize=size, crop=None)

    def manifest(self, file: str) -> dict[str, Any]:
        """The `image` entry of a manifest for a graph of ours."""
        return {
            "file": file,
            "size": list(self.size),
            "resize": self.resize if isinstance(self.resize, int) else list(self.resize),
            "crop": None if self.crop is None else list(self.crop),
            "interpolation": self.interpolation,
            "mean": [m * (1 / 255) / self.rescale for m in self.mean],
            "std": [s * (1 / 255) / self.rescale for s in self.std],
            "input_layout": "uint8_bhwc",
        }


def read_preprocessing(source: Source, fallback: tuple[int, int] | None) -> Preprocessing:
    """Preprocessing of a transformers model folder.

    Parameters
    ----------
    source : Source
        Holds `preprocessor_config.json`.
    fallback : tuple of int, optional
        Input size where the processor states none (SigLIP 2's keeps each picture's own).

    Raises
    ------
    InputError
        If there is no processor, or it does something no manifest can say.
    """
    if not any((source.folder / n).is_file() for n in ("preprocessor_config.json", "processor_config.json")):
        raise InputError(
            f"{source.name} has no preprocessor_config.json, so how its pictures must be resized "
            "and normalised is unknown"
        )
    processor = _load_processor(source)
    channels = getattr(processor, "image_mean", None) or (0.0, 0.0, 0.0)
    spread = getattr(processor, "image_std", None) or (1.0, 1.0, 1.0)
    if not getattr(processor, "do_normalize", True):
        channels, spread = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if len(channels) != 3 or len(spread) != 3:
        raise InputError(f"{source.name} takes {len(channels)} channels; only RGB models can be exported")
    rescale = float(processor.rescale_factor) if getattr(processor, "do_rescale", True) else 1.0
    number = getattr(processor, "resample", None)
    interpolation = FILTERS.get(int(number) if number is not None else 2)
    if interpolation is None:
        raise InputError(f"{source.name} resizes with filter {number}, which no manifest can say")
    size, resize, crop = _geometry(processor, fallback, source.name)
    return Preprocessing(
        size=size,
        resize=resize,
        crop=crop,
        interpolation=interpolation,
        mean=(float(channels[0]), float(channels[1]), float(channels[2])),
        std=(float(spread[0]), float(spread[1]), float(spread[2])),
        rescale=rescale,
    )


def _load_processor(source: Source) -> Any:
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(
            source.folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"the image processor of {source.name} cannot be read: {first}") from None


def _pair(value: Any) -> tuple[int, int] | None:
    """A size as (h, w) where it states both."""
    if isinstance(value, int):
        return value, value
    height, width = _field(value, "height"), _field(value, "width")
    return (height, width) if height and width else None


def _field(value: Any, name: str) -> int | None:
    found = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    return None if found is None else int(found)


def _geometry(
    processor: Any, fallback: tuple[int, int] | None, name: str
) -> tuple[tuple[int, int], int | tuple[int, int], tuple[int, int] | None]:
    """Input size, resize and crop of a processor."""
    stated = getattr(processor, "size", None)
    exact = _pair(stated) if stated is not None else None
    shorter = None if exact or stated is None else _field(stated, "shortest_edge")
    crop = _pair(processor.crop_size) if getattr(processor, "do_center_crop", False) else None
    if not getattr(processor, "do_resize", True):
        exact, shorter = None, None
    margin = getattr(processor, "crop_pct", None)
    if margin and shorter:  # ConvNeXt: below 384 the picture is resized larger and its margin cut off
        if shorter < 384:
            return (shorter, shorter), int(shorter / margin), (shorter, shorter)
        return (shorter, shorter), (shorter, shorter), None
    if shorter:
        size = crop or (shorter, shorter)
        return size, max(shorter, *size), size
    if exact:
        if crop and (crop[0] > exact[0] or crop[1] > exact[1]):
            raise InputError(
                f"{name} crops {crop} from pictures of {exact}: its preprocessor_config.json is inconsistent"
            )
        return crop or exact, exact, crop
    if fallback:
        return fallback, fallback, None
    raise InputError(f"{name} does not say its input size; give one with --size")


def prepare(preprocessing: Preprocessing) -> Callable[[np.ndarray], np.ndarray]:
    """What turns a decoded picture into a graph's input: the very code that runs at inference."""
    from inficond.core.models.manifest import ImageInput
    from inficond.core.models.preprocess import Preprocess

    return Preprocess(
        ImageInput(
            file="image.onnx",
            size=preprocessing.size,
            resize=preprocessing.resize,
            crop=preprocessing.crop,
            interpolation=preprocessing.interpolation,
        )
    )
