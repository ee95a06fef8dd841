"""Image-text models of transformers: CLIP, SigLIP, SigLIP 2, TIPSv2, Chinese-CLIP and their relatives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from inficond.core.errors import InputError
from inficond.export.encoder_model import EncoderModel
from inficond.export.preprocessing import Preprocessing
from inficond.export.processor import read_preprocessing
from inficond.export.source import Source, find_source, load_config, load_model
from inficond.export.text import Tokens, default_templates
from inficond.export.tips import TipsTower, is_tips
from inficond.export.towers import Dense, ImageTower, TextTower, check_architecture


@dataclass(kw_only=True)
class TransformersEncoder(EncoderModel):
    """A model of transformers.

    Attributes
    ----------
    source : Source
    model : object
        In evaluation mode.
    """

    source: Source
    model: Any

    def origin(self) -> dict[str, Any]:
        """Return the manifest's entries about the model's origin."""
        return self.source.describe()

    def tokens(self, templates: Sequence[str]) -> Tokens:
        """Return the tokenizer as it will be written."""
        return Tokens(self.source, self.model.config.text_config, templates)

    def text_tower(self) -> TextTower:
        """Return the text tower."""
        return TextTower(self.model).eval()

    def image_tower(self, preprocessing: Preprocessing, dense: Dense) -> ImageTower | TipsTower:
        """Return the image tower for an input size."""
        size, mean, std = preprocessing.size, list(preprocessing.mean), list(preprocessing.std)
        if is_tips(self.model):
            return TipsTower(self.model, size, mean, std, preprocessing.rescale)
        return ImageTower(self.model, size, mean, std, preprocessing.rescale, dense)

    def reference(self, tower: Any, x: Tensor) -> Tensor:
        """Return the model's own image embedding of normalised pixels (B, 3, H, W), unit length."""
        return tower.reference(self.model, x)

    def dense_facts(self, tower: Any, dense: Dense) -> dict[str, Any]:
        """Return the manifest's entry about the dense recipe."""
        if is_tips(self.model):
            return {"method": "TIPSv2, last block without attention"}
        return {"method": "NACLIP-reduced", "sigma": dense.sigma, "window": dense.window}


def load_transformers_encoder(spec: str, revision: str | None) -> TransformersEncoder:
    """Load an image-text model of transformers.

    Parameters
    ----------
    spec : str
        A preset, a Hugging Face id or a local folder.
    revision : str or None

    Raises
    ------
    InputError
        The model cannot be found, or is not an encoder of words and images.
    """
    source = find_source(spec, revision, "encoder")
    config = load_config(source)
    if config.model_type == "radio":
        raise InputError(RADIO.format(name=source.name))
    if not hasattr(config, "vision_config") or not hasattr(config, "text_config"):
        raise InputError(
            f"{source.name} has the architecture {config.model_type}, which is not an image-text encoder "
            "such as CLIP; an image classifier is exported with `inficond export teacher`"
        )
    from transformers import AutoModel

    model = load_model(source, AutoModel, attn_implementation="eager")
    if not is_tips(model):
        check_architecture(model, source.name)
    preprocessing, notes = read_preprocessing(source, native=_native_size(config.vision_config))
    return TransformersEncoder(
        name=source.name,
        licence=source.licence,
        preprocessing=preprocessing,
        templates=default_templates(config.model_type),
        notes=notes,
        source=source,
        model=model,
    )


RADIO = (
    "{name} is a C-RADIO model, of which transformers includes the image tower only: the adapter that maps "
    "its features to words, and the text tower of SigLIP 2 that reads them, are in NVIDIA's own repository; "
    "choose another encoder, such as clip-b16 or tipsv2-b"
)
"""Message for C-RADIO; `{name}` is the model."""


def _native_size(vision: Any) -> tuple[int, int]:
    """Return the input size for which the position embeddings were learned."""
    size = getattr(vision, "image_size", None)
    if size is None:
        size = round(vision.num_patches**0.5) * vision.patch_size
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
