"""Image classifiers of transformers, loaded for export."""

import inspect
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from inficond.core.errors import InputError, first_line
from inficond.export import attention
from inficond.export.labels import check_label_count, label_notes, labels_of_config
from inficond.export.preprocessing import Preprocessing
from inficond.export.source import ShapeMismatch, Source, load_config, load_model

Link = Literal["sigmoid", "softmax"]
PIXEL_INPUTS = ("pixel_values", "inputs")


_LINK_OF_PROBLEM: dict[str, Link] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
}


class PixelClassifier(nn.Module):
    """uint8 pixels (B, H, W, 3) to the outputs of a classifier (B, L), with the normalisation inside.

    Parameters
    ----------
    model : nn.Module
        Takes normalised pixels (B, 3, H, W) and returns (B, L).
    preprocessing : Preprocessing
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model, self.channels = model, list(preprocessing.channels)
        self.in_order = self.channels == [0, 1, 2]
        scale = torch.tensor(preprocessing.std, dtype=torch.float64).reciprocal()
        offset = -torch.tensor(preprocessing.mean, dtype=torch.float64) * scale
        self.register_buffer("gain", (scale * preprocessing.rescale).float().view(1, 3, 1, 1))
        self.register_buffer("offset", offset.float().view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the model's outputs for uint8 pixels (B, H, W, 3)."""
        x = pixels.permute(0, 3, 1, 2).float()
        if not self.in_order:
            x = x[:, self.channels]
        return self.model(x * self.gain + self.offset)


class _Transformers(nn.Module):
    """A transformers classifier as a function of normalised pixels."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.input = model.main_input_name
        self.arguments: dict[str, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of normalised pixels (B, 3, H, W)."""
        return classifier_outputs(self.model(**{self.input: x}, **self.arguments))


def classifier_outputs(found: Any) -> Tensor:
    """Return the logits of a transformers output; PP-LCNet returns them as its last hidden state."""
    logits = getattr(found, "logits", None)
    return found.last_hidden_state if logits is None else logits


class _Patches(nn.Module):
    """A classifier that takes patches (SigLIP 2) as a function of normalised pixels of one size."""

    def __init__(self, model: Any, size: tuple[int, int], name: str) -> None:
        super().__init__()
        self.model = model
        embeddings = model.vision_model.embeddings
        self.patch = int(embeddings.patch_size)
        if size[0] % self.patch or size[1] % self.patch:
            raise InputError(
                f"{name} takes patches of {self.patch}×{self.patch} pixels: give --size as a multiple of "
                f"{self.patch}, not {size[1]}×{size[0]}"
            )
        self.grid = size[0] // self.patch, size[1] // self.patch
        count = self.grid[0] * self.grid[1]
        side = round(embeddings.position_embedding.num_embeddings**0.5)
        positions = embeddings.resize_positional_embeddings(
            embeddings.position_embedding.weight.reshape(side, side, -1), torch.tensor([self.grid]), count
        )
        # One size: the positions are a constant of the graph, and need no resampling in it.
        embeddings.resize_positional_embeddings = lambda *_, **__: positions

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of normalised pixels (B, 3, H, W)."""
        (h, w), p = self.grid, self.patch
        patches = x.reshape(-1, 3, h, p, w, p).permute(0, 2, 4, 3, 5, 1).reshape(-1, h * w, p * p * 3)
        return self.model(pixel_values=patches, spatial_shapes=torch.tensor([self.grid])).logits


class LoadedClassifier:
    """A transformers classifier with its labels.

    Attributes
    ----------
    model : PreTrainedModel
    labels : list of str
    fused : bool
        Whether its attention is exported as one node.
    notes : list of str
        Notes for the user.
    """

    def __init__(self, source: Source, fused: bool, labels: list[str] | None) -> None:
        self.name, self.notes = source.name, list[str]()
        raw = source.config
        where = "the labels file"
        if labels is None:
            labels, self.notes = labels_of_config(raw, source.name)
            where = "config.json (id2label)"
        kind, said = _architecture(source, raw)
        if said:
            self.notes.append(said)
        self.fused = fused and bool(getattr(kind, "_supports_attention_backend", False))
        self.model = self._load(source, raw, kind, labels)
        outputs = len(self.model.config.id2label)
        if labels is None:
            labels = [f"LABEL_{i}" for i in range(outputs)]
            self.notes.append(f"{self.name}: config.json has no id2label; the weights have {outputs} outputs")
        check_label_count(outputs, labels, self.name, where)
        self.labels = labels
        self.notes += label_notes(labels, self.name)

    def _load(self, source: Source, raw: dict[str, Any], kind: Any, labels: list[str] | None) -> Any:
        """Load the weights; the number of outputs is that of the weights, not of the configuration."""
        attention_kind = attention.register() if self.fused else "eager"

        def load(outputs: int | None) -> Any:
            given = {k: v for k, v in raw.items() if k not in ("id2label", "label2id", "num_labels")}
            if outputs is not None:
                given["num_labels"] = outputs  # some architectures read one, some the other
                given["id2label"] = {i: f"LABEL_{i}" for i in range(outputs)}
                given["label2id"] = {label: i for i, label in given["id2label"].items()}
            config = load_config(source, given)
            unused: list[str] = []
            model = load_model(source, kind, unused, config=config, attn_implementation=attention_kind)
            if unused:
                self.notes.append(
                    f"{self.name}: {len(unused)} of its weights are not part of a {kind.__name__} and are "
                    f"not used, {unused[0]} among them; check that its answers are right"
                )
            return model

        stated = len(labels) if labels else raw.get("num_labels")
        try:
            return load(stated if isinstance(stated, int) else None)
        except ShapeMismatch as mismatch:
            outputs = _outputs_of_head(mismatch)
            if outputs is None:
                raise
            return load(outputs)

    def module(self, size: tuple[int, int], asked: bool) -> nn.Module:
        """Return the classifier as a function of normalised pixels (B, 3, H, W) of one size.

        Parameters
        ----------
        size : (H, W)
        asked : bool
            Whether the user chose the size; then position embeddings may be interpolated.

        Raises
        ------
        InputError
            It cannot run on this size.
        """
        if "spatial_shapes" in inspect.signature(self.model.forward).parameters:
            return _Patches(self.model, size, self.name).eval()
        module = _Transformers(self.model).eval()
        attempts: list[dict[str, Any]] = [{}, {"interpolate_pos_encoding": True}] if asked else [{}]
        first: Exception | None = None
        for arguments in attempts:
            module.arguments = arguments
            try:
                with torch.no_grad():
                    outputs = module(torch.zeros(2, 3, *size))
            except Exception as error:  # each architecture refuses a size in its own way
                first = first or error
                continue
            if outputs.ndim == 2:
                check_label_count(outputs.shape[1], self.labels, self.name, "its configuration")
            else:
                raise InputError(
                    f"{self.name} returns an output of shape {tuple(outputs.shape)}, where a classifier "
                    "returns (pictures, labels)"
                )
            return module
        assert first is not None
        native = native_size(self.model.config)
        made_for = f"; it is made for {native[1]}×{native[0]}" if native and native != size else ""
        remedy = "leave --size out" if asked else "correct `size` in preprocessor_config.json"
        if native and native != size and native[0] == native[1]:
            remedy += f" or give --size {native[0]}"
        raise InputError(
            f"{self.name} cannot run on {size[1]}×{size[0]} pixels{made_for}: {remedy} ({first_line(first)})"
        )


def native_size(config: Any) -> tuple[int, int] | None:
    """Input size (H, W) that a transformers configuration states, or None."""
    size = getattr(getattr(config, "vision_config", config), "image_size", None)
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    return None


def _architecture(source: Source, raw: dict[str, Any]) -> tuple[Any, str]:
    """Return the transformers class of a classifier, and a note where the folder names another.

    Raises
    ------
    InputError
        It does not classify pixels.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

    config = load_config(source, {k: v for k, v in raw.items() if k not in ("id2label", "label2id")})
    try:
        known: Any = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(config)]
    except KeyError:
        also = "; an image-text model is exported with `inficond export encoder`"
        raise InputError(
            f"{source.name} has the architecture {config.model_type}, for which transformers "
            f"{transformers.__version__} has no image classifier: name a model trained as an image classifier"
            + (also if hasattr(config, "vision_config") else "")
        ) from None
    kinds = known if isinstance(known, tuple) else (known,)
    stated = raw.get("architectures")
    listed = [stated] if isinstance(stated, str) else list(stated or [])
    said = next((str(name) for name in listed if "ForImageClassification" in str(name)), None)
    if listed and not said:
        said = str(listed[0])
        raise InputError(
            f"{source.name} holds a {said}, which has no classification head: name a model trained as a "
            "classifier (its `architectures` in config.json ends in ForImageClassification)"
        )
    kind = next((k for k in kinds if k.__name__ == said), kinds[0])
    needed = getattr(kind, "main_input_name", "pixel_values")
    forward = inspect.signature(kind.forward).parameters
    if needed not in PIXEL_INPUTS and "pixel_values" not in forward:
        raise InputError(
            f"{source.name} has the architecture {config.model_type}, which reads {needed} (pictures "
            "reduced to a "
            "palette or to words), not pixels: it cannot become a teacher; export its answers as a table of "
            "image, class, probability instead"
        )
    if "input_ids" in forward:
        raise InputError(
            f"{source.name} has the architecture {config.model_type}, which needs a text beside the "
            "picture: it cannot "
            "become a teacher; export its answers as a table of image, class, probability instead"
        )
    if said in (None, kind.__name__):
        return kind, ""
    return kind, (
        f"{source.name}: config.json names the class {said[:60]!r}, which is not one of transformers for "
        f"{config.model_type}: read as {kind.__name__}; check that its answers are right"
    )


def _outputs_of_head(mismatch: ShapeMismatch) -> int | None:
    """Number of outputs that the weights have where nothing but the head's differs, else None."""
    counts = {stored[0] for _, stored, expected in mismatch.weights if stored[1:] == expected[1:]}
    return counts.pop() if len(counts) == 1 and all(s[1:] == e[1:] for _, s, e in mismatch.weights) else None


def choose_link(raw: dict[str, Any], outputs: int, asked: str | None, name: str) -> tuple[Link, list[str]]:
    """Decide how the outputs become probabilities.

    Parameters
    ----------
    raw : dict
        Content of `config.json`, of which `problem_type` and `function_to_apply` are read.
    outputs : int
        How many the classifier has.
    asked : {"sigmoid", "softmax"} or None
        What the user chose.
    name : str
        Of the model, for messages.

    Returns
    -------
    link : {"sigmoid", "softmax"}
    notes : list of str

    Raises
    ------
    InputError
        A regression model, or a single output, without an explicit choice of the sigmoid; or a configuration
        that contradicts itself.
    """
    kind, activation = raw.get("problem_type"), raw.get("function_to_apply")
    known = ("regression", *_LINK_OF_PROBLEM)
    if kind is not None and str(kind) not in known and asked is None:
        raise InputError(
            f"{name}: problem_type {str(kind)[:40]!r} in config.json is not one that transformers uses "
            f"({', '.join(known)}): correct it, or say with --link sigmoid or --link softmax how its outputs "
            "become probabilities"
        )
    if activation is not None and asked is None and kind != "regression":
        meant = _LINK_OF_PROBLEM.get(str(kind))
        if activation not in ("sigmoid", "softmax") or (meant and meant != activation):
            stated = f" and problem_type {kind!r}" if meant else ""
            raise InputError(
                f"{name}: config.json states function_to_apply {str(activation)[:40]!r}{stated}, which does "
                "not say how its outputs become probabilities: give --link sigmoid or --link softmax"
            )
        return cast(Link, activation), [f"{name}: {activation} as function_to_apply in config.json states"]
    if kind == "regression" and asked != "sigmoid":
        raise InputError(
            f"{name} is a regression model (problem_type in config.json): its outputs are scores, not class "
            "probabilities; if a sigmoid of its scores is what you want, give --link sigmoid"
        )
    if outputs == 1 and asked != "sigmoid":
        raise InputError(
            f"{name} has a single output, whose softmax is always 1: give --link sigmoid if it is the logit "
            "of "
            "a yes-or-no question; a regression model cannot be a teacher otherwise"
        )
    if asked is not None:
        notes = [f"{name}: a sigmoid of its regression scores, as asked for"] if kind == "regression" else []
        meant = _LINK_OF_PROBLEM.get(str(kind), activation)
        if meant not in (None, asked):
            notes = [f"{name}: {asked} as asked for, where config.json states {meant} ({kind or activation})"]
        return cast(Link, asked), notes
    if kind is not None:
        return _LINK_OF_PROBLEM[str(kind)], []
    return "softmax", [
        f"{name}: the model does not state its problem_type, so one label per picture is assumed "
        "(softmax); give --link sigmoid if several labels can hold at once"
    ]
