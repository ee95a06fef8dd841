"""Training data: from photographs, captions and WordNet to tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from inficond.core.errors import InputError
from inficond.core.progress import Progress
from inficond.export.embedded import imagenet
from inficond.export.embedded.build import ENCODER_SIZE, MAX_LENGTH, Trained
from inficond.export.embedded.features import maps
from inficond.export.embedded.network import Lite, SentenceTower
from inficond.export.embedded.photographs import is_validation, read_captions
from inficond.export.embedded.sources import load_minilm
from inficond.export.embedded.training import (
    Classes,
    Settings,
    TrainingPictures,
    cell_inputs,
    train,
    vocabulary,
)
from inficond.export.embedded.wordnet import WordNet

VIEWS = ("full", "flip", "crop1")


def train_from(
    data: Path, wordnet: WordNet, cache: Path, progress: Progress, settings: Settings | None = None
) -> Trained:
    """Train the projection on the training pictures of Flickr8k and on ImageNet's class names.

    Parameters
    ----------
    data : Path
        The folder of the photographs.
    wordnet : WordNet
    cache : Path
        Folder of cached features (2 GB).
    progress : Progress
    settings : Settings, optional

    Raises
    ------
    InputError
        There are too few captioned pictures.
    """
    settings = settings or Settings()
    pictures, classes = material(data, wordnet, cache, settings.batch)
    return Trained(*train(pictures, classes, settings, progress, cache))


def material(data: Path, wordnet: WordNet, cache: Path, least: int) -> tuple[TrainingPictures, Classes]:
    """Return the inputs of `train`, with at least `least` training pictures."""
    lite = Lite(0, ENCODER_SIZE)
    paths, captions = read_captions(data)
    rows = [i for i, p in enumerate(paths) if not is_validation(p.name)]
    if len(rows) < least:
        raise InputError(
            f"{data / 'flickr8k'} has {len(rows)} training pictures with captions; add pictures until it has "
            f"{least}"
        )
    captions = [captions[i] for i in rows]
    embed = Sentences(cache)
    classes = Classes(
        lite.classify.weight.data,
        lite.classify.bias.data,
        torch.stack([embed(texts) for texts in zip(*class_sentences(wordnet))], dim=1),
    )
    words, share = vocabulary(captions, wordnet)
    spoken = embed([f"a photo of a {w}" for w in words]) + embed(words)
    flat = embed([text for texts in captions for text in texts])
    views = []
    for view in VIEWS:
        views.append(_inputs(lite, [paths[i] for i in rows], view, classes, cache))
    pictures = TrainingPictures(
        views=views,
        captions=list(flat.split([len(texts) for texts in captions])),
        vocabulary=F.normalize(spoken, dim=1),
        word_share=share,
    )
    return pictures, classes


def _inputs(lite: Lite, paths: Sequence[Path], view: str, classes: Classes, cache: Path) -> torch.Tensor:
    """Return the cells (N, g², INPUTS) of one view, from `cache` if possible."""
    key = hashlib.sha256("\n".join([view, *(p.name for p in paths)]).encode()).hexdigest()[:16]
    kept = cache / f"{key}-cells.npy"
    if not kept.is_file():
        mid, top = maps(lite, paths, ENCODER_SIZE, view, cache)
        np.save(kept, cell_inputs(mid, top, classes).numpy())
    return torch.from_numpy(np.load(kept))


def class_sentences(wordnet: WordNet) -> list[tuple[str, str, str]]:
    """Return three texts per ImageNet class: its name, a caption, all its names with the definition."""
    found = []
    for offset in imagenet.class_ids():
        synset = wordnet.synsets[offset]
        name = synset.lemmas[0]
        found.append((name, f"a photo of a {name}", f"{', '.join(synset.lemmas)}: {synset.definition}"))
    return found


class Sentences:
    """Sentence embeddings of MiniLM, (n, 384), unit length, cached on disk."""

    def __init__(self, cache: Path) -> None:
        from tokenizers import Tokenizer

        self._cache = cache
        model, folder = load_minilm()
        self._tower = SentenceTower(model)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.enable_padding()

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], batch: int = 128) -> torch.Tensor:
        kept = self._cache / f"{hashlib.sha256(chr(10).join(texts).encode()).hexdigest()[:16]}-text.npy"
        if kept.is_file():
            return torch.from_numpy(np.load(kept))
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths need little padding
        out = torch.empty((len(texts), 384))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            encoded = self._tokenizer.encode_batch([texts[i] for i in rows])
            out[rows] = self._tower(
                torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])
            )
        self._cache.mkdir(parents=True, exist_ok=True)
        np.save(kept, out.numpy())
        return out
