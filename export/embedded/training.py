"""Training of the text–image projection on captions, their words, and ImageNet's classes.

The loss is the sum of three losses on cosines in the joint space; the second has a weight:

- *captions*: InfoNCE (Oord et al., 2018) between a picture's mean cell and one of its captions, in both
  directions.
- *words*: for each visible noun of the captions, InfoNCE between the word and the pictures whose captions use
  it. The score of a picture is a smooth maximum over its cells (multiple-instance learning): only the cells
  that show the word must agree with it, which makes regions searchable.
- *classes*: InfoNCE between ImageNet's classes, each represented by its weights in Lite0's classifier, and
  their WordNet names and descriptions.

Inputs are standardised; the standardisation is folded into the weights of `Projection`. Several projections
with different seeds are fitted and concatenated, so that a cosine is the mean of theirs. The leading
directions of the joint space, computed from the training data, reduce it to D dimensions. All steps are
linear, so the result costs as much as one projection.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from inficond.core.progress import Progress, Silent
from inficond.export.embedded.imagenet import ABSTRACT_LEXNAMES
from inficond.export.embedded.network import MID_CHANNELS, TEXT_DIM, TOP_CHANNELS, Projection
from inficond.export.embedded.wordnet import WordNet

INPUTS = TOP_CHANNELS + TEXT_DIM + MID_CHANNELS
"""Top channels, the class probabilities' mean sentence (ConSE; Norouzi et al., 2014), middle channels."""
SHARED_MASK = 8
"""Number of pictures of a batch that share a dropout mask."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of the training; the shipped models use the defaults."""

    dim: int = 192
    epochs: int = 14
    word_weight: float = 1.0
    batch: int = 256
    dropout: float = 0.2
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    smoothing: float = 0.1
    classes_at_once: int = 400
    cells_at_once: int = 24
    """Cells of a picture in one step, drawn at random: cheaper, and a regularisation."""
    members: int = 3
    """Number of projections that are fitted and concatenated, with seeds 0, 1, …"""


@dataclass(frozen=True)
class Classes:
    """ImageNet classes: classifier weights (1000, 1280) and sentences (1000, n, 384) about each class."""

    weights: Tensor
    bias: Tensor
    sentences: Tensor

    @property
    def mean_sentence(self) -> Tensor:
        return F.normalize(self.sentences.mean(dim=1), dim=1)


@dataclass(frozen=True)
class TrainingPictures:
    """Training pictures: cells per view (N, g², INPUTS) float16, caption sentences, words.

    Attributes
    ----------
    views : list of Tensor
    captions : list of Tensor
        Per picture (n, 384).
    vocabulary : Tensor
        (V, 384), unit length.
    word_share : Tensor
        (N, V): the share of a picture's captions that use the word.
    """

    views: list[Tensor]
    captions: list[Tensor]
    vocabulary: Tensor
    word_share: Tensor


def cell_inputs(mid: np.ndarray, top: np.ndarray, classes: Classes, chunk: int = 64) -> Tensor:
    """Return cells (N, g², INPUTS) float16 of the maps of Lite0."""
    out = torch.empty((*top.shape[:2], INPUTS), dtype=torch.float16)
    mean = classes.mean_sentence
    for i in range(0, len(top), chunk):
        h = torch.from_numpy(np.array(top[i : i + chunk], np.float32))
        p = torch.softmax(h @ classes.weights.T + classes.bias, dim=2)
        out[i : i + chunk] = torch.cat(
            [h, p @ mean, torch.from_numpy(np.array(mid[i : i + chunk], np.float32))], dim=2
        ).half()
    return out


def vocabulary(
    captions: Sequence[Sequence[str]], wordnet: WordNet, least: int = 8, most: int = 2200
) -> tuple[list[str], Tensor]:
    """Return visible nouns (one or two words) that at least `least` and fewer than `most` pictures use.

    Returns
    -------
    words : list of str
    share : Tensor (N, V)
        The share of each picture's captions that use the word.
    """
    used: list[Counter[str]] = []
    for texts in captions:
        counter: Counter[str] = Counter()
        for text in texts:
            tokens = re.findall(r"[a-z]+", text.lower())
            counter.update(set(tokens) | {f"{a} {b}" for a, b in pairwise(tokens)})
        used.append(counter)
    in_pictures = Counter(word for counter in used for word in counter)
    words = sorted(w for w, n in in_pictures.items() if least <= n < most and _is_visible(w, wordnet))
    column = {w: j for j, w in enumerate(words)}
    share = torch.zeros((len(captions), len(words)))
    for i, counter in enumerate(used):
        for word, n in counter.items():
            if word in column:
                share[i, column[word]] = n / len(captions[i])
    return words, share


_VAGUE = frozenset(
    [
        "front",
        "back",
        "side",
        "top",
        "middle",
        "edge",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "group",
        "line",
        "set",
        "air",
        "area",
        "way",
        "right",
        "left",
        "end",
        "match",
        "day",
        "close",
        "down",
        "background",
        "corner",
        "couple",
        "piece",
        "part",
        "pair",
        "number",
        "bit",
        "body",
        "view",
        "look",
        "it",
        "is",
        "in",
        "a",
        "an",
        "on",
        "are",
        "at",
        "as",
        "out",
        "up",
        "over",
    ]
)
_VISIBLE = frozenset(range(3, 29)) - ABSTRACT_LEXNAMES | {4, 8, 14}


def _is_visible(word: str, wordnet: WordNet) -> bool:
    if len(word) < 3 or word in _VAGUE or word.split()[0] in ("the", "its", "his", "her"):
        return False
    senses = wordnet.find(word)
    return bool(senses) and wordnet.synsets[senses[0]].lexname in _VISIBLE


class _Net(nn.Module):
    mean: Tensor
    scale: Tensor
    centre: Tensor

    def __init__(self, settings: Settings, mean: Tensor, scale: Tensor, centre: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.register_buffer("centre", centre)
        self.cell = nn.Linear(INPUTS, settings.dim)
        self.cell.weight.data *= 0.5
        self.text = nn.Linear(TEXT_DIM, settings.dim)
        self.sharpness = nn.Parameter(
            torch.tensor([math.log(1 / 0.05), math.log(1 / 0.08), math.log(1 / 0.05)])
        )

    def cells(self, x: Tensor, dropout: float) -> Tensor:
        x = (x.float() - self.mean) / self.scale
        if not dropout:
            return self.cell(x)
        # The same inputs are dropped in every cell, or the mean over cells would undo it; a few pictures
        # share a mask, so that it falls on the small weights and not on the large inputs.
        weight, bias = self.cell.weight, self.cell.bias
        parts = []
        for part in x.split(SHARED_MASK):
            kept = (torch.rand(1, weight.shape[1]) > dropout) / (1 - dropout)
            parts.append(F.linear(part, weight * kept, bias))
        return torch.cat(parts)

    def sentences(self, e: Tensor) -> Tensor:
        return F.normalize(self.text(e - self.centre), dim=-1)


def train(
    pictures: TrainingPictures,
    classes: Classes,
    settings: Settings,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> tuple[Projection, Tensor, Tensor, Tensor]:
    """Fit the projections and join them.

    Parameters
    ----------
    pictures : TrainingPictures
    classes : Classes
    settings : Settings
    progress : Progress, optional
    cache : Path, optional
        Where the weights of each member are kept between runs.

    Returns
    -------
    projection : Projection
        Over [h, p, m], standardisation folded in.
    centre : Tensor (384,)
        ē of the text tower.
    class_vectors : Tensor (1000, D)
        Unit vectors of ImageNet's classes, for words that name some of them.
    mid_mean : Tensor (112,)
        Mean of the middle channels over every fourth training picture.
    """
    progress = progress or Silent()
    nets = [fit(pictures, classes, settings, seed, progress, cache) for seed in range(settings.members)]
    prototypes = _prototypes(classes, nets[0].mean, _length(pictures))
    with torch.no_grad():
        cell, text = _join(nets, pictures, prototypes, settings.dim)
        class_vectors = F.normalize(cell((prototypes[:, 0] - nets[0].mean) / nets[0].scale), dim=1)
        mid_mean = nets[0].mean[TOP_CHANNELS + TEXT_DIM :].clone()
        return _fold(nets[0], cell, text, classes), nets[0].centre.clone(), class_vectors, mid_mean


def _join(
    nets: Sequence[_Net], pictures: TrainingPictures, prototypes: Tensor, dim: int
) -> tuple[nn.Linear, nn.Linear]:
    """One pair of linear maps for several: side by side, then onto the leading `dim` directions.

    The directions are the eigenvectors of the sum of the second moments of unit cells, pictures, class
    prototypes and captions, which leave the inner products among these as they are as far as any `dim` can.
    """
    x = (pictures.views[0][::4].float() - nets[0].mean) / nets[0].scale
    few = (prototypes[:, 0] - nets[0].mean) / nets[0].scale
    captions = torch.cat(pictures.captions) - nets[0].centre
    cells, texts = [], []
    for net in nets:
        # Members differ in the length of their vectors; each shall count the same.
        a = 1 / net.cell(x.mean(dim=1)).norm(dim=1).mean()
        b = 1 / net.text(captions).norm(dim=1).mean()
        cells.append((net.cell.weight * a, net.cell.bias * a))
        texts.append((net.text.weight * b, net.text.bias * b))
    cell_weight, cell_bias = (torch.cat(t) for t in zip(*cells))
    text_weight, text_bias = (torch.cat(t) for t in zip(*texts))
    if len(nets) > 1:
        z = x @ cell_weight.T + cell_bias
        moments = torch.zeros((len(cell_bias), len(cell_bias)))
        for some in (
            z.flatten(0, 1),
            z.mean(dim=1),
            few @ cell_weight.T + cell_bias,
            captions @ text_weight.T + text_bias,
        ):
            unit = F.normalize(some, dim=1)
            moments += unit.T @ unit / len(unit)
        leading = torch.linalg.eigh(moments)[1][:, -dim:].T
        cell_weight, cell_bias = leading @ cell_weight, leading @ cell_bias
        text_weight, text_bias = leading @ text_weight, leading @ text_bias
    cell, text = nn.Linear(INPUTS, dim), nn.Linear(TEXT_DIM, dim)
    cell.weight.data, cell.bias.data = cell_weight, cell_bias
    text.weight.data, text.bias.data = text_weight, text_bias
    return cell, text


def _length(pictures: TrainingPictures) -> float:
    """Mean length of a cell's top channels."""
    return float(pictures.views[0][::4, :, :TOP_CHANNELS].float().norm(dim=2).mean())


def fit(
    pictures: TrainingPictures,
    classes: Classes,
    settings: Settings,
    seed: int,
    progress: Progress,
    cache: Path | None = None,
) -> _Net:
    """Fit one projection, or read it from the cache."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sample = pictures.views[0][::4].float().flatten(0, 1)
    mean, scale = sample.mean(dim=0), sample.std(dim=0)
    scale = scale + 0.02 * scale.mean()
    text = slice(TOP_CHANNELS, TOP_CHANNELS + TEXT_DIM)
    scale[text] = sample[:, text].std(dim=0).mean()  # one scale keeps the geometry of sentences
    prototypes = _prototypes(classes, mean, _length(pictures))
    net = _Net(settings, mean, scale, torch.cat(pictures.captions).mean(dim=0))
    n = len(pictures.captions)
    contents = torch.cat(pictures.captions).numpy().tobytes()
    key = hashlib.sha256(f"{settings} {seed} {n}".encode() + contents).hexdigest()[:16]
    kept = cache / f"{key}-member.safetensors" if cache else None
    if kept and kept.is_file():
        net.load_state_dict(load_file(kept))
        return net.eval()
    batches = n // settings.batch
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.epochs * batches, pct_start=0.15
    )
    progress.start(f"training projection {seed + 1}", settings.epochs)
    for _ in range(settings.epochs):
        order = rng.permutation(n)
        for b in range(batches):
            rows = order[b * settings.batch : (b + 1) * settings.batch]
            view = pictures.views[rng.integers(len(pictures.views))]
            some_cells = np.sort(rng.permutation(view.shape[1])[: settings.cells_at_once])
            z = net.cells(
                view[torch.from_numpy(rows)[:, None], torch.from_numpy(some_cells)], settings.dropout
            )
            chosen = [pictures.captions[i][rng.integers(len(pictures.captions[i]))] for i in rows]
            some = torch.from_numpy(rng.permutation(len(prototypes))[: settings.classes_at_once])
            about = classes.sentences[some, rng.integers(classes.sentences.shape[1])]
            loss = _captions(net, z, torch.stack(chosen)) + _classes(
                net, prototypes[some], about, settings.dropout
            )
            share = pictures.word_share[rows]
            loss = loss + settings.word_weight * _words(
                net, z, pictures.vocabulary, share, settings.smoothing
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        progress.advance()
    net.eval()
    if kept:
        save_file(net.state_dict(), kept)
    return net


def _both_ways(logits: Tensor) -> Tensor:
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def _captions(net: _Net, z: Tensor, sentences: Tensor) -> Tensor:
    image = F.normalize(z.mean(dim=1), dim=1)
    return _both_ways(image @ net.sentences(sentences).T * net.sharpness[0].exp())


def _words(net: _Net, z: Tensor, words: Tensor, share: Tensor, smoothing: float) -> Tensor:
    scores = F.normalize(z, dim=2) @ net.sentences(words).T
    peak = smoothing * (torch.logsumexp(scores / smoothing, dim=1) - math.log(scores.shape[1]))
    logits = peak * net.sharpness[1].exp()
    of_picture = share / (share.sum(dim=1, keepdim=True) + 1e-6)
    used = share.sum(dim=0) > 0
    of_word = share[:, used] / share[:, used].sum(dim=0)
    by_picture = -(of_picture * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    by_word = -(of_word * F.log_softmax(logits[:, used], dim=0)).sum(dim=0).mean()
    return (by_picture + by_word) / 2


def _classes(net: _Net, prototypes: Tensor, sentences: Tensor, dropout: float) -> Tensor:
    z = F.normalize(net.cells(prototypes, dropout)[:, 0], dim=1)
    return _both_ways(z @ net.sentences(F.normalize(sentences, dim=1)).T * net.sharpness[2].exp())


def _prototypes(classes: Classes, mean: Tensor, length: float) -> Tensor:
    """Return pseudo-cells of the classes, (1000, 1, INPUTS): scaled positive weights."""
    top = torch.relu(classes.weights)
    top = top / top.norm(dim=1, keepdim=True) * length
    mid = mean[TOP_CHANNELS + TEXT_DIM :].expand(len(top), -1)
    return torch.cat([top, classes.mean_sentence, mid], dim=1).unsqueeze(1)


def _fold(net: _Net, cell: nn.Linear, text: nn.Linear, classes: Classes) -> Projection:
    """Return the projection with the standardisation and the mean sentence folded into its weights."""
    projection = Projection(cell.out_features)
    weight = cell.weight.data / net.scale
    top, sentence, mid = weight.split([TOP_CHANNELS, TEXT_DIM, MID_CHANNELS], dim=1)
    projection.cell.weight.data = torch.cat([top, sentence @ classes.mean_sentence.T, mid], dim=1)
    projection.cell.bias.data = cell.bias.data - weight @ net.mean
    projection.text.load_state_dict(text.state_dict())
    return projection
