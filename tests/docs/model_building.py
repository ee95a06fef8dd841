"""Photographs for the commands of `docs/embedded-models.md`, and checks of the models that they build."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ONE_IN = 11
"""One in so many photographs is used, as the document says; `train` needs 256 of Flickr8k."""
CHANGED = {
    "export/embedded/projection.safetensors",
    "export/embedded/evidence.safetensors",
    "core/assets/encoder/image.onnx",
    "core/assets/encoder/text.onnx",
    "core/assets/encoder/classes.npy",
    "core/assets/teacher/model.onnx",
    "core/assets/evidence/evidence.onnx",
    "core/assets/concepts/embedded.npy",
    "core/assets/concepts/neutral.npy",
    "core/assets/concepts/vocabulary.npz",
    "core/assets/CARD.md",
}
"""Files that differ from the shipped ones after training with other photographs."""
USE = """
from pathlib import Path
import numpy as np
from inficond.core.concepts import load_corpus
from inficond.core.concepts.cells import load_cell_encoder
from inficond.core.images import decode
from inficond.core.models import load_encoder, load_teacher

photograph = decode(next(Path("photographs/scenes/images").iterdir()))
word = load_encoder("embedded").embed_words(["mountain"])[0]
for encoder in load_encoder("embedded"), load_cell_encoder():
    regions = encoder.encode(encoder.preprocess(photograph)[None]).regions[0]
    assert regions.shape == (encoder.n_regions, 192), regions.shape
    np.testing.assert_allclose(np.linalg.norm(regions, axis=1), 1, atol=1e-2)
    assert np.ptp(regions @ word) > 0.01
teacher = load_teacher("embedded")
assert teacher.respond(teacher.preprocess(photograph)[None]).shape == (1, 1000)
corpus = load_corpus()
assert corpus.embeddings.shape == (len(corpus.names), 192)
"""
"""Script that uses each built model."""


def few_photographs(source: Path, target: Path) -> None:
    """Copy one in `ONE_IN` photographs, with their tables."""
    for part in ("flickr8k/images", "scenes/images", "coco/images", "imagenet_sample"):
        (target / part).mkdir(parents=True)
        for path in sorted((source / part).glob("*.jpg"))[::ONE_IN]:
            shutil.copy(path, target / part)
    shutil.copy(source / "flickr8k" / "captions.csv", target / "flickr8k")  # may list other pictures too
    head, *rows = (source / "scenes" / "labels.csv").read_text("utf-8").splitlines()
    rows = [row for row in rows if (target / "scenes" / "images" / row.split(",")[0]).is_file()]
    (target / "scenes" / "labels.csv").write_text("\n".join([head, *rows, ""]), "utf-8")
    outlines = json.loads((source / "coco" / "panoptic.json").read_text("utf-8"))
    outlines = [row for row in outlines if (target / "coco" / "images" / row["image"]).is_file()]
    (target / "coco" / "panoptic.json").write_text(json.dumps(outlines), "utf-8")


def prepare_photographs(request: pytest.FixtureRequest, clone: Path) -> None:
    """Write the folder `photographs` of a clone; skip the test where data or WordNet are missing."""
    from inficond.export.embedded.wordnet import DEFAULT_DICT

    if not (DEFAULT_DICT / "data.noun").is_file():
        pytest.skip("needs WordNet 3.0: install the Debian package wordnet-base")
    few_photographs(request.getfixturevalue("shared_data"), clone / "photographs")


def check_models(clone: Path, environment: Mapping[str, str]) -> None:
    """Check that every trained and built file is new, that the models work, and the figures of the card."""
    changed = subprocess.run(
        ["git", "diff", "--name-only"], cwd=clone, check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(changed) >= CHANGED
    used = subprocess.run(
        [".venv/bin/python", "-c", USE], cwd=clone, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert used.returncode == 0, used.stderr[-2000:]
    card = (clone / "core" / "assets" / "CARD.md").read_text("utf-8")
    scenes = re.search(r"^\| scenes, zero-shot mAP \| ([\d.]+) \|.*\| (\d+) \|$", card, re.M)
    assert scenes is not None
    assert int(scenes[2]) == len(list((clone / "photographs" / "scenes" / "images").iterdir()))
    assert float(scenes[1]) > 0.4  # chance is 0.25: pictures and words are in one space
