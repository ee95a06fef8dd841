"""Short names of image-text models that `inficond export encoder` supports."""

from dataclasses import dataclass
from pathlib import Path

from inficond.core.errors import InputError

OPEN_CLIP, HUB = "open_clip:", "hf-hub:"
"""Prefixes of models of open_clip: ``open_clip:ARCH/TAG`` and ``hf-hub:ORG/NAME``."""

OPEN_CLIP_ADVICE = "open_clip:ARCH/TAG or hf-hub:ORG/NAME, best where a CLIP of your domain exists"
"""When to choose a model of open_clip, in one line."""

TENSOR_FILES = (".safetensors", ".pt", ".pth", ".bin")
"""Endings of files of weights."""


@dataclass(frozen=True)
class Preset:
    """A recommended encoder.

    Parameters
    ----------
    model : str
        Hugging Face id, or a model of open_clip.
    advice : str
        When to choose it, in one line.
    refusal : str
        Why it cannot be used; empty if it can.
    """

    model: str
    advice: str
    refusal: str = ""


ENCODERS = {
    "clip-b16": Preset("openai/clip-vit-base-patch16", "first choice with a network: words and regions, MIT"),
    "clip-l14": Preset("openai/clip-vit-large-patch14", "finer words, about four times slower, MIT"),
    "tipsv2-b": Preset("google/tipsv2-b14", "trained for regions; read the licence of its weights"),
    "tipsv2-l": Preset("google/tipsv2-l14", "regions of finer words, slow without a GPU"),
    "siglip2-b16": Preset("google/siglip2-base-patch16-224", "words in many languages, weaker regions"),
    "metaclip2-b16": Preset(
        "facebook/metaclip-2-worldwide-b16", "words in 300 languages; its licence excludes commercial use"
    ),
    "pe-core-s": Preset(
        "open_clip:PE-Core-S-16-384/meta", "small and new, regions not measured; needs inficond[open-clip]"
    ),
    "radio-b": Preset(
        "nvidia/C-RADIOv3-B",
        "not usable: transformers includes its image tower only, without the words",
        "transformers includes the image tower of C-RADIO only (RadioModel): the adapter from its features "
        "to words, and the text tower that reads them, are code of NVIDIA's own repository, which is never "
        "run; choose clip-b16 or tipsv2-b",
    ),
}
"""Name → encoder. Figures and sources are in docs/encoders.md."""


def preset_model(spec: str) -> str:
    """Return the model that a preset names; a folder of that name and other specifications are unchanged.

    Raises
    ------
    InputError
        The preset cannot be used; the message says why.

    Examples
    --------
    >>> from inficond.core.models.presets import preset_model
    >>> preset_model("clip-b16")
    'openai/clip-vit-base-patch16'
    """
    preset = ENCODERS.get(spec)
    if preset is None or Path(spec).exists():
        return spec
    if preset.refusal:
        raise InputError(f"{spec}: {preset.refusal}")
    return preset.model
