"""The command that trains, builds and measures the embedded models: one line for each bad input."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("torch", reason="the export extra is not installed")

from inficond.core.progress import Silent
from inficond.export.embedded.__main__ import build_pictures, main
from inficond.export.embedded.card import BEGIN, END, ROWS, update_card, write_figures
from inficond.export.embedded.evidence_training import train_evidence
from inficond.export.embedded.measure import SCENES, measure_scenes
from inficond.export.embedded.photographs import read_captions, read_picture


def write_captions(data: Path, text: str) -> None:
    """Write the table of captions, and one picture `a.jpg`."""
    images = data / "flickr8k" / "images"
    images.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), "teal").save(images / "a.jpg")
    (data / "flickr8k" / "captions.csv").write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,text\na.jpg,a sea\n", "must have rows with the columns image, caption"),
        ("image,caption\na.jpg\n", "must have rows with the columns image, caption"),
        ("image,caption\n", "must have rows with the columns image, caption"),
        ("image,caption\nb.jpg,a sea\n", "has none of the pictures that captions.csv lists"),
    ],
)
def test_a_bad_table_of_captions_is_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_captions(tmp_path, text)
    assert main(["neutral", "--data", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("step", ["neutral", "measure", "build", "train"])
def test_a_folder_without_photographs_is_one_line(
    step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([step, "--data", str(tmp_path), "--wordnet", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("module", ["vocabulary", "domains"])
def test_a_missing_wordnet_is_one_line(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [module, "--wordnet", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"inficond.export.embedded.{module}").main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "has no data.noun" in error
    assert error.count("\n") == 1


def test_a_card_without_markers_is_reported_before_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inficond.export.embedded.measure.measure", None)
    card = tmp_path / "CARD.md"
    card.write_text("# Card\n", "utf-8")
    assert main(["measure", "--data", str(tmp_path), "--card", str(card)]) == 2
    assert "lacks the markers" in capsys.readouterr().err


def raises_input_error(call: Callable[[], object], said: str) -> None:
    """Check the message of an error."""
    from inficond.core.errors import InputError

    with pytest.raises(InputError, match=said):
        call()


def test_missing_and_unreadable_pictures_are_named(tmp_path: Path) -> None:
    write_captions(tmp_path, "image,caption\na.jpg,a sea\n")
    assert [p.name for p in read_captions(tmp_path)[0]] == ["a.jpg"]
    raises_input_error(lambda: build_pictures(tmp_path), "imagenet_sample has no pictures")
    (tmp_path / "imagenet_sample").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "imagenet_sample" / "n01440764_tench.jpg")
    raises_input_error(lambda: build_pictures(tmp_path), "too few pictures for calibration")
    raises_input_error(lambda: read_picture(tmp_path / "b.jpg", 32), "cannot read the picture .*b.jpg")
    (tmp_path / "c.jpg").write_bytes(b"text")
    raises_input_error(lambda: read_picture(tmp_path / "c.jpg", 32), "cannot read the picture .*c.jpg")


def test_evidence_is_not_trained_with_an_encoder_of_another_projection(tmp_path: Path) -> None:
    """The words of the encoder and the cells of the projection would be in different spaces."""
    from dataclasses import replace

    from inficond.export.embedded.build import Trained

    trained = Trained.load()
    other = replace(trained, class_vectors=-trained.class_vectors)
    raises_input_error(lambda: train_evidence(tmp_path, other, Silent()), "not built from projection")
    raises_input_error(lambda: train_evidence(tmp_path, trained, Silent()), "cannot read .*panoptic.json")


def test_a_label_without_pictures_has_no_figure(tmp_path: Path) -> None:
    """The mean leaves it out, and the card shows a dash."""
    from inficond.core.models import load_encoder

    images = tmp_path / "scenes" / "images"
    images.mkdir(parents=True)
    rows = []
    for name, colour, sea in (("a.png", "teal", 1), ("b.png", "orange", 0)):
        Image.new("RGB", (64, 64), colour).save(images / name)
        rows.append(",".join([name, *(str(sea if label == "sea" else 0) for label in SCENES)]))
    table = "\n".join([",".join(["image", *SCENES]), *rows, ""])
    (tmp_path / "scenes" / "labels.csv").write_text(table, "utf-8")
    found = measure_scenes(tmp_path, load_encoder("embedded"))
    assert found["trees"] is None
    assert found["map"] == found["sea"] > 0

    figures: dict[str, dict[str, float | None]] = {part: {"images": 2, "labels": 0} for part, *_ in ROWS}
    for part, key, _, _ in ROWS:
        figures[part][key] = None
    figures["coco"]["map_chance"] = None
    assert "| COCO, which pictures: mAP | – | ≥ 0.47, **not reached** | 2 |" in write_figures(figures)
    card = tmp_path / "CARD.md"
    card.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    update_card(card, figures)
    text = card.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
