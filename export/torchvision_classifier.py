"""Image classifiers of torchvision by name, with the transforms of their weights."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from inficond.core.errors import InputError, first_line, unknown
from inficond.export.labels import check_label_count, label_notes
from inficond.export.library_model import LibraryModel, PictureTransform
from inficond.export.preprocessing_measurement import FILTERS, Stated
from inficond.export.source import check_safetensors, first_bad_weight
from inficond.export.torchvision_import import import_torchvision

PREFIX = "torchvision/"
_AUXILIARY = ("aux", "AuxLogits")
"""Heads that are used in training only (GoogLeNet, Inception)."""


def torchvision_by_name(spec: str, checkpoint: Path | None, labels: list[str] | None) -> LibraryModel:
    """Load a classifier of torchvision by its name.

    Parameters
    ----------
    spec : str
        ``torchvision/NAME``, with or without the name of its weights, which also state the preprocessing
        (``torchvision/resnet50.IMAGENET1K_V1``).
    checkpoint : Path, optional
        The model's ``state_dict`` as safetensors or as a ``.pth`` file of tensors, in place of the weights
        that torchvision downloads.
    labels : list of str or None
        Names given by the user; None for those of the weights.

    Raises
    ------
    InputError
        torchvision is not installed, has no such model or weights, or the weights cannot be had.
    """
    import_torchvision(spec)
    import torchvision  # pyright: ignore[reportMissingImports]

    models = torchvision.models
    name, _, tag = spec.removeprefix(PREFIX).partition(".")
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("classifier of torchvision", name, known)
    choices = {weights.name: weights for weights in models.get_model_weights(name)}
    if tag and tag not in choices:
        raise unknown(f"weights of {PREFIX}{name}", tag, list(choices))
    weights = choices[tag] if tag else models.get_model_weights(name).DEFAULT
    if checkpoint is None:
        model = _downloaded(models, name, weights, spec)
    else:
        model = _of_checkpoint(models, name, checkpoint, spec)
    model = model.eval().requires_grad_(False)
    bad = first_bad_weight(model)
    if bad:
        raise InputError(f"{spec} has NaN or infinite values in {bad}: download it again")
    outputs = _outputs(model)
    transform = weights.transforms()
    stated = Stated(
        interpolation=_interpolation(transform),
        mean=tuple(getattr(transform, "mean", ())) or None,
        std=tuple(getattr(transform, "std", ())) or None,
    )
    where = "the labels file"
    if labels is None:
        categories, where = list(weights.meta.get("categories", [])), "its weights"
        labels = categories if len(categories) == outputs else [f"LABEL_{i}" for i in range(outputs)]
    check_label_count(outputs, labels, spec, where)
    process = PictureTransform(transform, f"the transforms of {spec}")
    return LibraryModel(spec, model, labels, process, stated, label_notes(labels, spec))


def _downloaded(models: Any, name: str, weights: Any, spec: str) -> nn.Module:
    try:
        model: nn.Module = models.get_model(name, weights=weights)
    except Exception as error:  # downloads fail in many ways
        first = first_line(error)
        raise InputError(
            f"the weights of {spec} cannot be downloaded ({first}): give them to `inficond export teacher "
            f"{spec}` with --checkpoint FILE"
        ) from None
    return model


def _of_checkpoint(models: Any, name: str, path: Path, spec: str) -> nn.Module:
    """Build the model with as many outputs as the stored weights have, and load them."""
    stored = _read(path)
    empty: nn.Module = models.get_model(name, weights=None)
    head = _head(empty)
    layer = stored.get(f"{head}.weight")
    if layer is None:
        raise InputError(f"{path} has no layer {head}.weight: it holds weights of another model than {spec}")
    model: nn.Module = models.get_model(name, weights=None, num_classes=int(layer.shape[0]))
    expected = model.state_dict()
    optional = {key for key in expected if key.startswith(_AUXILIARY)}
    missing = sorted(expected.keys() - stored.keys() - optional)
    other = sorted(k for k in expected.keys() & stored.keys() if expected[k].shape != stored[k].shape)
    further = sorted(key for key in stored.keys() - expected.keys() if not key.startswith(_AUXILIARY))
    if missing or other or further:
        raise InputError(
            f"{path} does not fit {spec}: {len(missing)} weights are missing, {len(further)} are unknown and "
            f"{len(other)} have another shape, {(missing or further or other)[0]} among them; name the model "
            "that it was trained as"
        )
    model.load_state_dict({k: stored[k] for k in expected.keys() & stored.keys()}, strict=False)
    return model


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint; a `.pth` file is read without running code in it."""
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        check_safetensors(path)
        return load_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"the checkpoint {path} does not exist") from None
    except Exception:  # pickle and zipfile raise many types
        raise InputError(
            f"{path} is not a file of tensors: save it with torch.save(model.state_dict(), FILE) or as "
            "safetensors"
        ) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise InputError(f"{path} holds no state_dict: save it with torch.save(model.state_dict(), FILE)")
    return {str(key).removeprefix("module."): value for key, value in found.items()}


def _head(model: nn.Module) -> str:
    """Return the name of the last layer with weights in two or four dimensions: the classification head."""
    layers = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and not name.startswith(_AUXILIARY)
    ]
    return layers[-1]


def _outputs(model: nn.Module) -> int:
    layer = model.get_submodule(_head(model))
    return int(getattr(layer, "out_features", 0) or getattr(layer, "out_channels", 0))


def _interpolation(transform: Any) -> str | None:
    """Return the filter that the transforms state, by its Pillow name."""
    value = str(getattr(getattr(transform, "interpolation", None), "value", ""))
    return value if value in FILTERS.values() else None
