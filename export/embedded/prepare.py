"""From photographs, captions and WordNet to what training takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from inficond.core.errors import InputError
from inficond.core.progress import Progress
from inficond.export.embedded import imagenet
from inficond.export.embedded.build import ENCODER_SIZE, MAX_LENGTH, Trained
from inficond.export.embedded.features import maps
from inficond.export.embedded.network import Lite, TextTower
from inficond.export.embedded.photographs import is_validation, read_captions
from inficond.export.embedded.sources import load_minilm
from inficond.export.embedded.training import Classes, Pictures, Settings, cell_inputs, train, vocabulary
from inficond.export.embedded.wordnet import WordNet

VIEWS = ("full", "flip", "crop1")


def train_from(
    data: Path, wordnet: WordNet, cache: Path, progress: Progress, settings: Settings | None = None
) -> Trained:
    """Train the projection on the training part of Flickr8k and on ImageNet's class names.

    Parameters
    ----------
    data : Path
        The folder of the photographs.
    wordnet : WordNet
    cache : Path
        Where features are kept between runs (2 GB).
    progress : Progress
    settings : Settings, optional

    Raises
    ------
    InputError
        There are too few captioned pictures.
    """
    settings = settings or Settings()
    lite = Lite(0, ENCODER_SIZE)
    paths, captions = read_captions(data)
    rows = [i for i, p in enumerate(paths) if not is_validation(p.name)]
    if len(rows) < settings.batch:
        raise InputError(f"{data} has {len(rows)} training pictures; {settings.batch} is the least")
    captions = [captions[i] for i in rows]
    embed = Sentences()
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
        mid, top = maps(lite, [paths[i] for i in rows], ENCODER_SIZE, view, cache)
        views.append(cell_inputs(mid, top, classes))
    pictures = Pictures(
        views=views,
        captions=list(flat.split([len(texts) for texts in captions])),
        vocabulary=F.normalize(spoken, dim=1),
        word_share=share,
    )
    return Trained(*train(pictures, classes, settings, progress))


def class_sentences(wordnet: WordNet) -> list[tuple[str, str, str]]:
    """Three wordings of every ImageNet class: its name, a caption, all its names and what it is."""
    found = []
    for offset in imagenet.class_ids():
        synset = wordnet.synsets[offset]
        name = synset.lemmas[0]
        found.append((name, f"a photo of a {name}", f"{', '.join(synset.lemmas)}: {synset.definition}"))
    return found


class Sentences:
    """MiniLM's sentence embeddings, (n, 384), unit length."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        model, folder = load_minilm()
        self._tower = TextTower(model)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.enable_padding()

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], batch: int = 128) -> torch.Tensor:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
        out = torch.empty((len(texts), 384))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            encoded = self._tokenizer.encode_batch([texts[i] for i in rows])
            out[rows] = self._tower(
                torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])
            )
        return out
