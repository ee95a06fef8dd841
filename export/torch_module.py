"""Export of a classifier that is a `torch.nn.Module` of the user's own code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from inficond.core.errors import InputError
from inficond.core.progress import Progress, Silent
from inficond.export.preprocessing import Preprocessing
from inficond.export.teacher import Classifier, write_teacher

DEFAULTS: dict[str, Any] = {
    "size": 224, "resize": 256, "interpolation": "bilinear", "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}  # fmt: skip
"""Preprocessing of a module that states none: the usual one of ImageNet classifiers."""


def export_module(
    module: nn.Module, labels: Sequence[str], folder: Path, progress: Progress | None = None
) -> Path:
    """Export a module as a verified teacher folder.

    Parameters
    ----------
    module : nn.Module
        Normalised pixels (B, 3, H, W) to logits or probabilities (B, C). Its attribute ``preprocessing`` may
        state some of ``size``, ``resize``, ``interpolation``, ``mean`` and ``std``.
    labels : sequence of C str
    folder : Path
        Model folder to write.
    progress : Progress, optional
        Receives the stages and notes.

    Returns
    -------
    Path
        The model folder.

    Raises
    ------
    InputError
        The stated preprocessing is invalid, or the module cannot be exported.
    """
    stated = getattr(module, "preprocessing", {})
    unknown = set(stated) - set(DEFAULTS) if isinstance(stated, Mapping) else {"preprocessing"}
    if unknown:
        raise InputError(
            f"the module's `preprocessing` may state {', '.join(DEFAULTS)}; not {min(unknown)!r}"
        )
    facts = {**DEFAULTS, **stated}
    height, width = (facts["size"],) * 2 if isinstance(facts["size"], int) else facts["size"]
    size = int(height), int(width)
    name = type(module).__name__
    progress = progress or Silent()
    progress.start("exporting", 3)
    said = ", ".join(f"{key} {value}" for key, value in facts.items())
    classifier = Classifier(
        name=name,
        licence="not stated",
        origin={"source": f"torch.nn.Module {type(module).__module__}.{name}"},
        module=module.eval(),
        preprocessing=Preprocessing(
            size=size,
            resize=facts["resize"],
            crop=size,
            interpolation=facts["interpolation"],
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
            crop_offset="round",
        ),
        process=None,
        labels=list(labels),
        link="softmax",
        notes=[
            f"{name}: preprocessing {'of its attribute' if stated else 'of ImageNet classifiers'}: {said}"
        ],
    )
    progress.advance()
    return write_teacher(classifier, folder, None, True, progress)
