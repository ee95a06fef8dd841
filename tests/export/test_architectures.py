"""Tiny models of transformers' architectures: exported with equal probabilities, or refused with a reason."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from inficond.core.errors import InputError
from inficond.export.architectures.__main__ import (
    BEGIN,
    END,
    TOLERANCE,
    ExportOutcome,
    examine,
    main,
    table,
    write_table,
)
from inficond.export.architectures.models import survey

MODELS = {tiny.name: tiny for tiny in survey()}
EXPORTED = [
    "dinov2_with_registers",  # positions resampled with antialiasing
    "levit",  # a margin that its processor does not state
    "mobilevit, BGR",
    "pvt_v2, linear attention",  # adaptive pooling to a size that does not divide the input
]
REFUSED = {
    "imagegpt": "reads input_ids",
    "mobilevit, crop above the resize": "pads pictures",
    "textnet": "inputs of different sizes",
}


@pytest.mark.parametrize("name", EXPORTED)
def test_probabilities_equal_those_of_transformers(tmp_path, name):
    outcome = examine(MODELS[name], tmp_path)
    assert outcome.reason == ""
    assert outcome.difference is not None
    assert outcome.difference <= TOLERANCE
    assert outcome.spread > 0.02


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_reason(tmp_path, name):
    outcome = examine(MODELS[name], tmp_path)
    assert outcome.difference is None
    assert REFUSED[name] in outcome.reason
    assert "\n" not in outcome.reason


def test_the_table_replaces_what_stands_between_the_markers(tmp_path):
    document = tmp_path / "encoders.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(document, table([ExportOutcome("one", 2e-7), ExportOutcome("two", None, "a | b")]))
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n2 models: 1 exported, 1 refused.\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| one | 2e-07 |" in text
    assert r"| two | refused: a \| b |" in text
    assert "old" not in text
    document.write_text("no markers")
    with pytest.raises(InputError, match="lacks the markers"):
        write_table(document, "")


@pytest.mark.nightly
def test_the_whole_survey_agrees_or_is_refused(tmp_path, capsys):
    assert len(MODELS) >= 60
    document = tmp_path / "encoders.md"
    document.write_text(f"{BEGIN}\n{END}\n")
    assert main(["--write", str(document)]) == 0, capsys.readouterr().out
    rows = [line for line in document.read_text().splitlines() if line.startswith("| ")]
    assert len([row for row in rows if "refused" not in row]) > 50
