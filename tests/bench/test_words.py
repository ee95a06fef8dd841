"""The benchmark of words: arguments, table, and the variants of one split."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.tiny_models import write_encoder

from inficond.core.bench.recorded import replace_table
from inficond.core.bench.words import BEGIN, END, table
from inficond.core.bench.words_sets import PhotoSet, parse_sets
from inficond.core.bench.words_variants import CHOSEN, DIRECTIONS, OWN_GROUNDED, Measured, Split
from inficond.core.cli.main import main
from inficond.core.concepts.corpus import Concept, Corpus
from inficond.core.concepts.neutral import NeutralRegions
from inficond.core.errors import InputError
from inficond.core.models.encoder import load_encoder


def measured(ap: float) -> Measured:
    return Measured(ap, 9.0, 0.25, 40, {})


def test_the_table_has_a_row_per_variant_and_the_means_over_splits() -> None:
    lines = table({"a": {CHOSEN: [measured(0.8), measured(0.9)]}, "b": {DIRECTIONS: [measured(0.5)]}}, 2, 10)
    assert f"| {CHOSEN} | 0.850 ± 0.050 (40, absent 0.25) | – |" in lines
    assert f"| {DIRECTIONS} | – | 0.500 ± 0.000 (40, absent 0.25) |" in lines


def test_the_table_is_written_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "words.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_table(page, (BEGIN, END), ["new"])
    assert page.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(InputError, match="has no markers"):
        replace_table(page, (BEGIN, END), ["new"])


def test_a_folder_may_name_a_file_of_own_words(tmp_path: Path) -> None:
    assert parse_sets([str(tmp_path), f"{tmp_path}=own.txt"]) == [
        (tmp_path, None),
        (tmp_path, Path("own.txt")),
    ]
    with pytest.raises(InputError, match="is not a folder"):
        parse_sets([str(tmp_path / "missing")])


def test_folders_without_labels_are_found_before_any_is_encoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    for name in ("good/red", "good/blue", "plain"):
        (tmp_path / name).mkdir(parents=True)
        for n in range(2):
            Image.new("RGB", (32, 32), (90 * n, 20, 70)).save(tmp_path / name / f"{n}.png")
    assert main(["bench", "words", str(tmp_path / "good"), str(tmp_path / "plain")]) == 2
    assert f"{tmp_path / 'plain'} has no labels" in capsys.readouterr().err
    assert not (tmp_path / "cache" / "bench-words").exists()


def test_the_variants_of_a_split_are_fitted_at_one_number_of_concepts(tmp_path: Path) -> None:
    encoder = load_encoder(write_encoder(tmp_path / "encoder"))
    rng = np.random.default_rng(0)

    def unit(x: np.ndarray) -> np.ndarray:
        return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)

    words = unit(rng.normal(size=(60, encoder.dim)))
    label = np.arange(120) % 3
    regions = unit(words[label][:, None] + 0.5 * unit(rng.normal(size=(120, 4, encoder.dim))))
    T = np.eye(3, dtype=np.float32)[label] * 0.8 + 0.2 / 3
    corpus = Corpus(tuple(Concept(f"w{k}") for k in range(60)), words)
    own = Corpus(corpus.concepts[:8], words[:8])
    photos = PhotoSet("set", ("class 1", "class 2", "class 3"), regions.astype(np.float16), T, "softmax", own)
    neutral = NeutralRegions(unit(rng.normal(size=(300, encoder.dim))))
    found = dict(Split(photos, rng.random(120) < 0.3, corpus, encoder, neutral, 2.0, 0).variants())
    assert all(one.nec <= 2.5 for one in found.values())
    assert found[OWN_GROUNDED].ap == 1.0
    assert found[OWN_GROUNDED].words["class 1"][0] == "w0"
