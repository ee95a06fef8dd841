"""Tokenizer of a model as one `tokenizer.json`, and prompt templates of its text tower."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError, first_line
from inficond.export.source import Source

CLIP_TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of my {}.",
    "a close-up photo of a {}.",
    "a cropped photo of a {}.",
    "a photo of a large {}.",
    "a photo of a small {}.",
    "there is a {} in the scene.",
    "itap of a {}.",
)
"""A selection of the templates published with CLIP (Radford et al., 2021); their mean embeds a word."""

# SigLIP's tokenizer expects lower-case text without punctuation (Zhai et al., 2023, big_vision's `c4_en`).
SIGLIP_TEMPLATES = ("this is a photo of {}", "a photo of a {}", "{}", "a photo of the {}")
CHINESE_TEMPLATES = ("一张{}的照片。", "{}的照片。", "{}")

PROBES = ("dog", "Golden Retriever", "fire hydrant", "T-shirt", "grass", "café table")


def default_templates(model_type: str) -> tuple[str, ...]:
    """Return the prompt templates of an architecture; `{}` stands for the word."""
    if model_type.startswith("siglip"):
        return SIGLIP_TEMPLATES
    if model_type == "chinese_clip":
        return CHINESE_TEMPLATES
    return CLIP_TEMPLATES


def read_templates(path: Path) -> tuple[str, ...]:
    """Read templates from a text file, one per line.

    Raises
    ------
    InputError
        The file cannot be read, or a line does not contain `{}` once.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the templates in {path}: {error}") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    for line in lines:
        if line.count("{}") != 1:
            raise InputError(f"{path}: the template {line!r} must contain {{}} once, for the word")
    if not lines:
        raise InputError(f"{path} is empty: write one template per line, such as: a photo of a {{}}.")
    return tuple(lines)


class TokenizerFile:
    """A tokenizer with padding and truncation, ready to be written.

    Attributes
    ----------
    fixed : bool
        Whether every text is padded to `max_length`.
    max_length : int
        Tokens of the longest text.
    """

    fixed: bool
    max_length: int
    _tokenizer: Any

    def encode(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Return `input_ids` and `attention_mask`, int64 (B, L)."""
        encoded = self._tokenizer.encode_batch(list(texts))
        return {
            "input_ids": np.array([e.ids for e in encoded], np.int64),
            "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
        }

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        path.write_text(
            json.dumps(json.loads(self._tokenizer.to_str()), ensure_ascii=False), encoding="utf-8"
        )


class Tokens(TokenizerFile):
    """Tokenizer of a model of transformers.

    Parameters
    ----------
    source : Source
        The model folder.
    text_config : object
        The text tower's configuration.
    templates : sequence of str
        Texts on which it is compared with the model's own tokenizer.

    Raises
    ------
    InputError
        The tokenizer cannot be read, or cannot be written with the same ids.
    """

    def __init__(self, source: Source, text_config: Any, templates: Sequence[str]) -> None:
        self.name = source.name
        model_type = str(source.config.get("model_type", ""))
        self.fixed = model_type.startswith("siglip")  # trained on texts padded to one length
        self._original = _load(source)
        longest = int(getattr(text_config, "max_position_embeddings", 77))
        stated = int(getattr(self._original, "model_max_length", longest))
        self.max_length = min(longest, stated)
        self._tokenizer = self._equivalent([t.format(w) for t in templates for w in PROBES])

    def _equivalent(self, texts: Sequence[str]) -> Any:
        """Return the first form of the tokenizer that gives the same ids as the model's own."""
        from tokenizers import Tokenizer, normalizers

        want = self._original(
            list(texts),
            padding="max_length" if self.fixed else True,
            truncation=True,
            max_length=self.max_length,
        )["input_ids"]
        pad = self._original.pad_token_id
        if pad is None:
            pad = self._original.eos_token_id or 0
        side = getattr(self._original, "padding_side", "right")
        for lower in (False, True):
            tokenizer = Tokenizer.from_str(_backend(self._original).to_str())
            if lower:
                inner = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
                tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *inner])
            token = self._original.convert_ids_to_tokens(pad)
            tokenizer.enable_truncation(self.max_length)
            tokenizer.enable_padding(
                direction=side, pad_id=pad, pad_token=token, length=self.max_length if self.fixed else None
            )
            got = [e.ids for e in tokenizer.encode_batch(list(texts))]
            if got == [list(ids) for ids in want]:
                return tokenizer
        raise InputError(
            f"the tokenizer of {self.name} cannot be written as tokenizer.json with the same ids"
        )


def _load(source: Source) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare Exception for a malformed file
        first = first_line(error)
        raise InputError(
            f"the tokenizer of {source.name} cannot be read ({first}): copy tokenizer.json or "
            "the vocabulary files "
            "from the model it was trained from"
        ) from None


def _backend(tokenizer: Any) -> Any:
    """Return the fast tokenizer, converted where the model has a slow one."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        return fast
    from transformers.convert_slow_tokenizer import convert_slow_tokenizer

    try:
        return convert_slow_tokenizer(tokenizer)
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(
            f"the tokenizer {type(tokenizer).__name__} cannot be converted to tokenizer.json: {error}"
        ) from None
