"""Short names of image-text models that `inficond export encoder` supports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A recommended encoder.

    Parameters
    ----------
    model : str
        Hugging Face id.
    advice : str
        When to choose it, in one line.
    """

    model: str
    advice: str


ENCODERS = {
    "clip-b16": Preset("openai/clip-vit-base-patch16", "first choice with a network: words and regions, MIT"),
    "clip-l14": Preset("openai/clip-vit-large-patch14", "finer words, about four times slower, MIT"),
    "tipsv2-b": Preset("google/tipsv2-b14", "trained for regions; read the licence of its weights"),
    "tipsv2-l": Preset("google/tipsv2-l14", "regions of finer words, slow without a GPU"),
    "siglip2-b16": Preset("google/siglip2-base-patch16-224", "words in many languages, weaker regions"),
    "metaclip2-b16": Preset(
        "facebook/metaclip-2-worldwide-b16", "words in 300 languages; its licence excludes commercial use"
    ),
}
"""Name → encoder. Figures and sources are in docs/encoders.md."""
