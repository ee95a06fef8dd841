"""Small models and random photographs for builds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import tiny_models


@dataclass(frozen=True)
class Tiny:
    """Inputs of a small build."""

    encoder: Path
    teacher: Path
    words: Path
    photos: Path

    def arguments(self, out: Path, **more: object) -> dict[str, object]:
        return {
            "images": self.photos, "out": out, "encoder": self.encoder, "teacher": self.teacher,
            "concepts": self.words, "provider": "cpu", "exam": False, **more,
        }  # fmt: skip


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Models, words and 300 photographs, made once; never written to by a test."""
    root = tmp_path_factory.mktemp("tiny")
    words = root / "words.txt"
    words.write_text("\n".join(tiny_models.WORDS))
    return Tiny(
        encoder=tiny_models.write_encoder(root / "encoder"),
        teacher=tiny_models.write_teacher(root / "teacher"),
        words=words,
        photos=tiny_models.write_photos(root / "photos", 300),
    )


@pytest.fixture
def photos(tiny: Tiny, tmp_path: Path) -> Path:
    """Twenty photographs in folders of their dominant colour."""
    for path in sorted(tiny.photos.rglob("*.*"))[::15]:
        picture = Image.open(path).convert("RGB")
        name = ("red", "green", "blue")[int(np.asarray(picture).mean(axis=(0, 1)).argmax())]
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / "photos" / name / f"{path.stem}.png")
    return tmp_path / "photos"
