"""Training of the evidence network's learned parts on pictures with outlined labels.

Pictures: the training part of COCO's 114 pictures (86 of them; the others have a file name whose md5 ends in
0, 1 or 2), each also mirrored. The label of a cell is the one that covers most of it. All else is frozen.

- *likeness* K: of the share of a cell, as much as possible goes to cells with the same label. No word is
  involved, so it serves any word.
- *correction* V: two contrasts on cosines, of a labelled cell with the labels of all pictures, and of a label
  with the cells of one picture. A third term keeps the cosines with the built-in words near those without
  correction, so that words other than the labels of these pictures are found as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inficond.core.bench.encoder_measures import read_table, spelled, word_vectors
from inficond.core.concepts import load_corpus
from inficond.core.errors import InputError
from inficond.core.models.encoder import load_encoder
from inficond.core.models.resolve import embedded_folder
from inficond.core.progress import Progress
from inficond.export.embedded.build import Trained
from inficond.export.embedded.evidence_network import EVIDENCE_SIZE, EvidenceInputs, EvidenceParts
from inficond.export.embedded.network import Lite
from inficond.export.embedded.photographs import is_validation, read_picture


@dataclass(frozen=True, kw_only=True)
class EvidenceSettings:
    """Options of the training; the shipped graph uses the defaults."""

    epochs: int = 8
    batch: int = 16
    dropout: float = 0.3
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    kept: float = 1000.0
    """Weight of the mean square change of the cosines with the built-in words."""
    kept_at_once: int = 160
    likeness_epochs: int = 12
    likeness_batch: int = 8
    likeness_dropout: float = 0.2
    likeness_learning_rate: float = 3e-3
    likeness_weight_decay: float = 0.1


@dataclass(frozen=True)
class OutlinedCells:
    """Inputs of the learned parts for P pictures, and the label of each cell.

    Attributes
    ----------
    cells, correction, likeness : Tensor (P, n, ·)
        See `EvidenceInputs`.
    labels : Tensor (P, n) of int64
        Row of `words`, or −1.
    words : Tensor (L, D)
        Vectors of the labels.
    others : Tensor (K, D)
        Vectors of the built-in words.
    """

    cells: Tensor
    correction: Tensor
    likeness: Tensor
    labels: Tensor
    words: Tensor
    others: Tensor


def train_evidence(
    data: Path, trained: Trained, progress: Progress, settings: EvidenceSettings | None = None
) -> EvidenceParts:
    """Train the learned parts.

    Parameters
    ----------
    data : Path
        Folder of the photographs, with ``coco``.
    trained : Trained
        The embedded encoder.
    progress : Progress
    settings : EvidenceSettings, optional

    Raises
    ------
    InputError
        The folder has no readable ``coco/panoptic.json`` with training pictures, or the embedded encoder was
        built from another projection.
    """
    built = np.load(embedded_folder("encoder") / "classes.npy", allow_pickle=False)
    if not np.array_equal(built, trained.class_vectors.numpy().astype(np.float16)):
        raise InputError(
            "the embedded encoder was not built from projection.safetensors: run the step `build` first"
        )
    pictures = outlined_cells(data / "coco", trained, progress)
    return fit_parts(pictures, settings or EvidenceSettings())


@torch.no_grad()
def outlined_cells(folder: Path, trained: Trained, progress: Progress) -> OutlinedCells:
    """Compute the inputs for the training part of a folder, each picture also mirrored."""
    rows = [row for row in read_table(folder / "panoptic.json") if not is_validation(row["image"])]
    if not rows:
        raise InputError(f"{folder} has no training pictures (md5 of the file name ends in 3 to f)")
    names = sorted({label for row in rows for label in row["grid14"] if label})
    number = {name: i for i, name in enumerate(names)} | {"": -1}
    inputs = EvidenceInputs(Lite(0, EVIDENCE_SIZE), trained.projection, trained.mid_mean).eval()
    found: list[tuple[Tensor, ...]] = []
    labels = []
    progress.start("cells of outlined pictures", len(rows))
    for row in rows:
        views = [read_picture(folder / "images" / row["image"], EVIDENCE_SIZE, v) for v in ("full", "flip")]
        found.append(inputs(torch.from_numpy(np.stack(views))))
        side = round(len(row["grid14"]) ** 0.5)
        grid = torch.tensor([number[label] for label in row["grid14"]]).reshape(side, side)
        labels.append(torch.stack([grid, grid.flip(1)]).flatten(1))
        progress.advance()
    encoder = load_encoder("embedded")
    words = torch.from_numpy(word_vectors(encoder, [spelled(name) for name in names])).float()
    others = torch.from_numpy(np.array(load_corpus(None, encoder).embeddings, np.float32))
    cells, correction, likeness = (torch.cat(parts) for parts in zip(*found))
    return OutlinedCells(cells, correction, likeness, torch.cat(labels), words, F.normalize(others, dim=1))


def fit_parts(pictures: OutlinedCells, settings: EvidenceSettings, seed: int = 0) -> EvidenceParts:
    """Fit both parts; equal pictures and seeds give equal parts on one machine."""
    torch.manual_seed(seed)
    parts = EvidenceParts(pictures.cells.shape[2])
    _fit_likeness(parts.likeness, pictures, settings)
    _fit_correction(parts.correction, pictures, settings)
    return parts.eval()


def _fit_likeness(layer: nn.Linear, pictures: OutlinedCells, settings: EvidenceSettings) -> None:
    mean, scale = _standardisation(pictures.likeness)
    inputs = (pictures.likeness - mean) / scale
    sharpness = nn.Parameter(torch.tensor(5.0).log())
    batches = _Batches(len(inputs), settings.likeness_batch, settings.likeness_epochs)
    step = _Steps(
        layer, sharpness, settings.likeness_learning_rate, settings.likeness_weight_decay, len(batches)
    )
    for rows in batches:
        key = F.normalize(layer(F.dropout(inputs[rows], settings.likeness_dropout)), dim=2)
        labels = pictures.labels[rows]
        known = labels >= 0
        share = (key @ key.transpose(1, 2) * sharpness.exp()).masked_fill(~known[:, None, :], -1e9)
        same = (labels[:, :, None] == labels[:, None, :]) & known[:, :, None]
        within = torch.logsumexp(F.log_softmax(share, dim=2).masked_fill(~same, -1e9), dim=2)
        weight = known / same.sum(dim=2).clamp(min=1)  # each label of a picture counts once
        step(-(within * weight).sum() / weight.sum())
    _fold(layer, mean, scale)


def _fit_correction(layer: nn.Linear, pictures: OutlinedCells, settings: EvidenceSettings) -> None:
    mean, scale = _standardisation(pictures.correction)
    inputs = (pictures.correction - mean) / scale
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    sharpness = nn.Parameter(torch.full((2,), 10.0).log())
    counts = torch.bincount(pictures.labels[pictures.labels >= 0], minlength=len(pictures.words))
    rare = 1 / counts.clamp(min=1).float().sqrt()
    batches = _Batches(len(inputs), settings.batch, settings.epochs)
    step = _Steps(layer, sharpness, settings.learning_rate, settings.weight_decay, len(batches))
    for rows in batches:
        before, labels = pictures.cells[rows], pictures.labels[rows]
        after = F.normalize(before + layer(F.dropout(inputs[rows], settings.dropout)), dim=2)
        some = torch.randperm(len(pictures.others))[: settings.kept_at_once]
        change = (after - F.normalize(before, dim=2)) @ pictures.others[some].T
        cosines = after @ pictures.words.T
        known = labels >= 0
        by_cell = F.cross_entropy(cosines[known] * sharpness[0].exp(), labels[known], weight=rare)
        by_word = _of_words(cosines * sharpness[1].exp(), labels)
        step(by_cell + by_word + settings.kept * change.square().mean())
    _fold(layer, mean, scale)


def _of_words(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the contrast of each label that covers a part of a picture, over the cells of the picture."""
    own = F.one_hot(labels.clamp(min=0), logits.shape[2]) * (labels >= 0)[:, :, None]
    count = own.sum(dim=1)
    part = (count > 0) & (count < labels.shape[1])
    mean = -(own * F.log_softmax(logits, dim=1)).sum(dim=1) / count.clamp(min=1)
    return (mean[part] - count[part].float().log()).mean()


class _Batches:
    """Rows of random batches."""

    def __init__(self, pictures: int, batch: int, epochs: int) -> None:
        self._rows = [
            rows
            for epoch in range(epochs)
            for rows in np.array_split(
                np.random.default_rng(epoch).permutation(pictures), -(-pictures // batch)
            )
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Tensor]:
        return (torch.from_numpy(rows) for rows in self._rows)


class _Steps:
    """Steps of AdamW on a layer and on the sharpness of its softmax, which does not decay."""

    def __init__(self, layer: nn.Linear, sharpness: Tensor, rate: float, decay: float, total: int) -> None:
        self._optimiser = torch.optim.AdamW(
            [
                {"params": list(layer.parameters()), "weight_decay": decay},
                {"params": [sharpness], "weight_decay": 0.0},
            ],
            lr=rate,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._optimiser, rate, total_steps=total)

    def __call__(self, loss: Tensor) -> None:
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._schedule.step()


def _standardisation(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(dim=(0, 1)), values.std(dim=(0, 1)) + 1e-3


@torch.no_grad()
def _fold(layer: nn.Linear, mean: Tensor, scale: Tensor) -> None:
    """Fold the standardisation of the inputs into a layer."""
    layer.weight.div_(scale)
    layer.bias.sub_(layer.weight @ mean)
