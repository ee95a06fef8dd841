"""Image classifiers of timm, by name or from a folder in timm's layout."""

from pathlib import Path
from typing import Any

from torch import nn

from inficond.core.errors import InputError, first_line
from inficond.export.labels import check_label_count, label_notes
from inficond.export.library_model import LibraryModel, PictureTransform
from inficond.export.preprocessing_measurement import FILTERS, Process, Stated
from inficond.export.source import first_bad_weight
from inficond.export.torchvision_import import import_torchvision

PREFIX = "timm/"
WRAPPER, WRAPPED = "timm_wrapper", "timm_model."
"""The `model_type` of the wrapper of transformers around timm, and the prefix of its weights."""


def _library_model(
    name: str, model: nn.Module, labels: list[str] | None, described: dict[str, Any] | None = None
) -> LibraryModel:
    """Combine a model with its labels and timm's preprocessing.

    Parameters
    ----------
    name : str
        For messages.
    model : nn.Module
    labels : list of str or None
        Names given by the user; None for timm's names.
    described : dict, optional
        Further facts that may name the labels, from a `config.json` of timm.
    """
    import timm.data  # pyright: ignore[reportMissingImports]

    module = model.eval().requires_grad_(False)
    bad = first_bad_weight(model)
    if bad:
        raise InputError(f"{name} has NaN or infinite values in {bad}: download it again")
    config = timm.data.resolve_model_data_config(model)
    process: Process = PictureTransform(
        timm.data.create_transform(**config, is_training=False), f"the transform of {name}"
    )
    stated = Stated(
        interpolation=config["interpolation"] if config["interpolation"] in FILTERS.values() else None,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )
    outputs = int(getattr(model, "num_classes", 0))
    if outputs < 1:
        raise InputError(f"{name} has no classification head: name a checkpoint trained as a classifier")
    where = "the labels file"
    if labels is None:
        labels, where = _label_names(model, outputs, described or {}), "its configuration"
    check_label_count(outputs, labels, name, where)
    return LibraryModel(name, module, labels, process, stated, label_notes(labels, name))


def import_timm(needed_by: str) -> Any:
    """Import timm.

    Raises
    ------
    InputError
        It is not installed, or not together with a torchvision that works.
    """
    import_torchvision(needed_by)
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        missing = error.name or "timm"
        raise InputError(f"{needed_by} needs {missing}, which is not installed: pip install timm") from None
    return timm


def is_timm_layout(config: dict[str, Any]) -> bool:
    """Return whether a `config.json` is in the layout of timm, or of its wrapper in transformers."""
    return config.get("model_type", WRAPPER) == WRAPPER and isinstance(config.get("architecture"), str)


def timm_of_folder(folder: Path, config: dict[str, Any], name: str, labels: list[str] | None) -> LibraryModel:
    """Load a classifier from a folder that timm or the wrapper of transformers around timm wrote.

    The folder has a `config.json` with `architecture`, and safetensors.

    Parameters
    ----------
    folder : Path
    config : dict
        Content of its `config.json`.
    name : str
        For messages.
    labels : list of str or None
        Names given by the user.

    Raises
    ------
    InputError
        timm is not installed, does not know the architecture, or the weights do not fit it.
    """
    architecture = config["architecture"]
    timm = import_timm(f"{name} is a model of timm (architecture {architecture} in config.json): it")
    settings = config.get("pretrained_cfg") or {}
    outputs = config.get("num_classes", settings.get("num_classes"))
    model = _create(
        timm,
        name,
        architecture,
        pretrained=False,
        pretrained_cfg=settings,
        **({"num_classes": int(outputs)} if outputs is not None else {}),
        **(config.get("model_args") or {}),
    )
    load_weights(model, next(iter(sorted(folder.glob("*.safetensors")))), name)
    return _library_model(name, model, labels, config)


def timm_by_name(spec: str, checkpoint: Path | None, labels: list[str] | None) -> LibraryModel:
    """Load a classifier of timm by its name.

    Parameters
    ----------
    spec : str
        ``timm/NAME``, with or without the tag of its weights (``timm/resnet50.a1_in1k``).
    checkpoint : Path, optional
        Weights as safetensors, in place of those that timm downloads.
    labels : list of str or None
        Names given by the user.

    Raises
    ------
    InputError
        timm is not installed, has no such model, or its weights cannot be had.
    """
    timm = import_timm(spec)
    name = spec.removeprefix(PREFIX)
    if not timm.is_model(name.split(".")[0]):
        from inficond.core.errors import unknown

        raise unknown("model of timm", name.split(".")[0], timm.list_models())
    if checkpoint is None:
        return _library_model(spec, _create(timm, spec, name, pretrained=True), labels)
    count = outputs_of_checkpoint(checkpoint, timm.get_pretrained_cfg_value(name, "classifier"))
    model = _create(timm, spec, name, pretrained=False, **({} if count is None else {"num_classes": count}))
    load_weights(model, checkpoint, spec)
    return _library_model(spec, model, labels)


def _create(timm: Any, title: str, name: str, **options: Any) -> nn.Module:
    try:
        return timm.create_model(name, exportable=True, **options)
    except Exception as error:  # download, architecture and arguments fail in many ways
        first = first_line(error)
        if not options.get("pretrained"):
            raise InputError(
                f"{title}: timm {timm.__version__} cannot build the architecture {name} ({first}): upgrade "
                "timm"
            ) from None
        raise InputError(
            f"the weights of {title} cannot be downloaded ({first}): give them with --checkpoint "
            "FILE.safetensors"
        ) from None


def outputs_of_checkpoint(path: Path, head: Any) -> int | None:
    """Number of outputs of a checkpoint's head, by the name of its layer; None where there is none."""
    from safetensors import safe_open

    from inficond.export.source import check_safetensors

    check_safetensors(path)
    with safe_open(path, "pt") as file:
        for layer in [head] if isinstance(head, str) else list(head or []):
            if f"{layer}.weight" in file.keys():  # noqa: SIM118 - the file is not a mapping
                return int(file.get_slice(f"{layer}.weight").get_shape()[0])
    return None


def load_weights(model: nn.Module, path: Path, name: str) -> None:
    """Load safetensors into a model, all of them.

    Parameters
    ----------
    model : nn.Module
    path : Path
    name : str
        Of the model, for messages.

    Raises
    ------
    InputError
        The file is damaged, or its weights are not those of the model.
    """
    from safetensors.torch import load_file

    from inficond.export.source import check_safetensors

    check_safetensors(path)
    expected = model.state_dict()
    stored = {key.removeprefix(WRAPPED): value for key, value in load_file(path).items()}
    missing = sorted(expected.keys() - stored.keys())
    other = sorted(k for k in expected.keys() & stored.keys() if expected[k].shape != stored[k].shape)
    if missing or other:
        key = (missing or other)[0]
        shapes = "" if missing else f" ({tuple(stored[key].shape)} in place of {tuple(expected[key].shape)})"
        problem = f"lack {len(missing)} of the weights" if missing else f"differ in {len(other)} shapes"
        raise InputError(
            f"{name}: the weights in {path.name} {problem} of this architecture, {key}{shapes} among them: "
            "they "
            "belong to another model"
        )
    model.load_state_dict({k: stored[k].to(expected[k].dtype) for k in expected})


def _label_names(model: nn.Module, outputs: int, described: dict[str, Any]) -> list[str]:
    """Label names from timm's configuration, of ImageNet, or numbers."""
    import timm.data  # pyright: ignore[reportMissingImports]

    settings = {**(getattr(model, "pretrained_cfg", None) or {}), **(described.get("pretrained_cfg") or {})}
    names = described.get("label_names") or settings.get("label_names")
    texts = described.get("label_descriptions") or settings.get("label_descriptions") or {}
    if isinstance(names, list | tuple) and len(names) == outputs:
        return [str(texts.get(n, n)) if isinstance(texts, dict) else str(n) for n in names]
    subset = timm.data.infer_imagenet_subset(model) if outputs >= 1000 else None
    if subset:
        known = timm.data.ImageNetInfo(subset)
        found = known.label_descriptions()
        if len(found) == outputs:
            return [text.split(",")[0] for text in found]
    return [f"LABEL_{i}" for i in range(outputs)]
